-- Tables that stand beside those that the mapping reads, and that a draft might take for them:
-- PrestaShop/PrestaShop, install-dev/data/db_structure.sql at 00242955, and the loyalty module, without what no draft looks at.
CREATE TABLE ps_address (
  id_address int(10) unsigned NOT NULL auto_increment PRIMARY KEY,
  id_country int(10) unsigned NOT NULL,
  id_customer int(10) unsigned NOT NULL DEFAULT '0',
  lastname varchar(255) NOT NULL,
  firstname varchar(255) NOT NULL,
  date_add datetime NOT NULL,
  date_upd datetime NOT NULL
);
CREATE TABLE ps_cart (
  id_cart int(10) unsigned NOT NULL auto_increment PRIMARY KEY,
  id_currency int(10) unsigned NOT NULL,
  id_customer int(10) unsigned NOT NULL,
  id_guest int(10) unsigned NOT NULL,
  date_add datetime NOT NULL,
  date_upd datetime NOT NULL
);
CREATE TABLE ps_cart_product (
  id_cart int(10) unsigned NOT NULL,
  id_product int(10) unsigned NOT NULL,
  quantity int(10) unsigned NOT NULL DEFAULT '0',
  date_add datetime NOT NULL,
  PRIMARY KEY (id_cart, id_product)
);
CREATE TABLE ps_contact (
  id_contact int(10) unsigned NOT NULL auto_increment PRIMARY KEY,
  email varchar(128) NOT NULL,
  customer_service tinyint(1) NOT NULL DEFAULT '0'
);
CREATE TABLE ps_employee (
  id_employee int(10) unsigned NOT NULL auto_increment PRIMARY KEY,
  lastname varchar(32) NOT NULL,
  firstname varchar(32) NOT NULL,
  email varchar(128) NOT NULL,
  active tinyint(1) unsigned NOT NULL DEFAULT '0',
  id_last_order int(10) unsigned NOT NULL DEFAULT '0'
);
CREATE TABLE ps_customer_group (
  id_customer int(10) unsigned NOT NULL,
  id_group int(10) unsigned NOT NULL,
  PRIMARY KEY (id_customer, id_group)
);
CREATE TABLE ps_customer_thread (
  id_customer_thread int(11) unsigned NOT NULL auto_increment PRIMARY KEY,
  id_customer int(10) unsigned DEFAULT NULL,
  id_order int(10) unsigned DEFAULT NULL,
  status enum('open','closed','pending1','pending2') NOT NULL DEFAULT 'open',
  email varchar(128) NOT NULL,
  date_add datetime NOT NULL,
  date_upd datetime NOT NULL
);
CREATE TABLE ps_cart_rule (
  id_cart_rule int(10) unsigned NOT NULL auto_increment PRIMARY KEY,
  id_customer int unsigned NOT NULL DEFAULT '0',
  date_from datetime NOT NULL,
  date_to datetime NOT NULL,
  quantity int(10) unsigned NOT NULL DEFAULT '0',
  code varchar(254) NOT NULL,
  reduction_amount decimal(17,2) NOT NULL DEFAULT '0',
  active tinyint(1) unsigned NOT NULL DEFAULT '0'
);
CREATE TABLE ps_order_history (
  id_order_history int(10) unsigned NOT NULL auto_increment PRIMARY KEY,
  id_employee int(10) unsigned NOT NULL,
  id_order int(10) unsigned NOT NULL,
  id_order_state int(10) unsigned NOT NULL,
  date_add datetime NOT NULL
);
CREATE TABLE ps_order_invoice (
  id_order_invoice int(11) unsigned NOT NULL auto_increment PRIMARY KEY,
  id_order int(11) NOT NULL,
  number int(11) NOT NULL,
  total_paid_tax_incl decimal(20,6) NOT NULL DEFAULT '0.00',
  date_add datetime NOT NULL
);
CREATE TABLE ps_order_payment (
  id_order_payment int NOT NULL auto_increment PRIMARY KEY,
  order_reference varchar(9),
  amount decimal(10,2) NOT NULL,
  payment_method varchar(255) NOT NULL,
  date_add datetime NOT NULL
);
CREATE TABLE ps_order_return (
  id_order_return int(10) unsigned NOT NULL auto_increment PRIMARY KEY,
  id_customer int(10) unsigned NOT NULL,
  id_order int(10) unsigned NOT NULL,
  state tinyint(1) unsigned NOT NULL DEFAULT '1',
  date_add datetime NOT NULL,
  date_upd datetime NOT NULL
);
CREATE TABLE ps_order_state (
  id_order_state int(10) unsigned NOT NULL auto_increment PRIMARY KEY,
  invoice tinyint(1) unsigned DEFAULT '0',
  paid tinyint(1) unsigned NOT NULL DEFAULT '0'
);
CREATE TABLE ps_loyalty_history (
  id_loyalty_history int unsigned NOT NULL auto_increment PRIMARY KEY,
  id_loyalty int unsigned DEFAULT NULL,
  id_loyalty_state int unsigned NOT NULL DEFAULT 1,
  points int NOT NULL DEFAULT 0,
  date_add datetime NOT NULL
);
CREATE TABLE ps_loyalty_state (
  id_loyalty_state int unsigned NOT NULL auto_increment PRIMARY KEY,
  id_order_state int unsigned DEFAULT NULL
);
