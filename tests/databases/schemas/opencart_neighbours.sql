-- Tables that stand beside those that the mapping reads, and that a draft might take for them:
-- opencart/opencart, upload/install/opencart.sql at 004e3c10 (3.0), without what no draft looks at.
CREATE TABLE oc_address (
  address_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id int(11) NOT NULL,
  firstname varchar(32) NOT NULL,
  lastname varchar(32) NOT NULL,
  city varchar(128) NOT NULL,
  country_id int(11) NOT NULL DEFAULT '0'
);
CREATE TABLE oc_user (
  user_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  username varchar(20) NOT NULL,
  firstname varchar(32) NOT NULL,
  lastname varchar(32) NOT NULL,
  email varchar(96) NOT NULL,
  status tinyint(1) NOT NULL,
  date_added datetime NOT NULL
);
CREATE TABLE oc_customer_group (
  customer_group_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  approval int(1) NOT NULL,
  sort_order int(3) NOT NULL
);
CREATE TABLE oc_customer_transaction (
  customer_transaction_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id int(11) NOT NULL,
  order_id int(11) NOT NULL,
  description text NOT NULL,
  amount decimal(15,4) NOT NULL,
  date_added datetime NOT NULL
);
CREATE TABLE oc_customer_activity (
  customer_activity_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id int(11) NOT NULL,
  `key` varchar(64) NOT NULL,
  data text NOT NULL,
  ip varchar(40) NOT NULL,
  date_added datetime NOT NULL
);
CREATE TABLE oc_cart (
  cart_id int(11) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id int(11) NOT NULL,
  product_id int(11) NOT NULL,
  `option` text NOT NULL,
  quantity int(5) NOT NULL,
  date_added datetime NOT NULL
);
CREATE TABLE oc_return (
  return_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  order_id int(11) NOT NULL,
  product_id int(11) NOT NULL,
  customer_id int(11) NOT NULL,
  firstname varchar(32) NOT NULL,
  lastname varchar(32) NOT NULL,
  email varchar(96) NOT NULL,
  quantity int(4) NOT NULL,
  date_added datetime NOT NULL,
  date_modified datetime NOT NULL
);
CREATE TABLE oc_order_option (
  order_option_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  order_id int(11) NOT NULL,
  order_product_id int(11) NOT NULL,
  name varchar(255) NOT NULL,
  value text NOT NULL
);
CREATE TABLE oc_order_voucher (
  order_voucher_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  order_id int(11) NOT NULL,
  voucher_id int(11) NOT NULL,
  code varchar(10) NOT NULL,
  amount decimal(15,4) NOT NULL
);
CREATE TABLE oc_order_status (
  order_status_id int(11) NOT NULL,
  language_id int(11) NOT NULL,
  name varchar(32) NOT NULL,
  PRIMARY KEY (order_status_id, language_id)
);
CREATE TABLE oc_product_reward (
  product_reward_id int(11) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  product_id int(11) NOT NULL DEFAULT '0',
  customer_group_id int(11) NOT NULL DEFAULT '0',
  points int(8) NOT NULL DEFAULT '0'
);
