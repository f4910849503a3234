-- Tables that stand beside those that the mapping reads, and that a draft might take for them:
-- woocommerce/woocommerce, plugins/woocommerce/includes/class-wc-install.php at 0129f192, and WordPress's schema.php,
-- without what no draft looks at.
CREATE TABLE wp_comments (
  comment_ID bigint(20) unsigned NOT NULL auto_increment PRIMARY KEY,
  comment_post_ID bigint(20) unsigned NOT NULL default '0',
  comment_author tinytext NOT NULL,
  comment_author_email varchar(100) NOT NULL default '',
  comment_date datetime NOT NULL,
  user_id bigint(20) unsigned NOT NULL default '0'
);
CREATE TABLE wp_wc_customer_lookup (
  customer_id bigint(20) unsigned NOT NULL auto_increment PRIMARY KEY,
  user_id bigint(20) unsigned DEFAULT NULL,
  username varchar(60) DEFAULT '' NOT NULL,
  first_name varchar(255) NOT NULL,
  last_name varchar(255) NOT NULL,
  email varchar(100) NULL default NULL,
  date_last_active timestamp NULL default null,
  date_registered timestamp NULL default null,
  country char(2) DEFAULT '' NOT NULL
);
CREATE TABLE wp_wc_order_stats (
  order_id bigint(20) unsigned NOT NULL PRIMARY KEY,
  parent_id bigint(20) unsigned DEFAULT 0 NOT NULL,
  date_created datetime NOT NULL,
  num_items_sold int(11) DEFAULT 0 NOT NULL,
  total_sales double DEFAULT 0 NOT NULL,
  net_total double DEFAULT 0 NOT NULL,
  status varchar(20) NOT NULL,
  customer_id bigint(20) unsigned NOT NULL
);
CREATE TABLE wp_wc_order_product_lookup (
  order_item_id bigint(20) unsigned NOT NULL PRIMARY KEY,
  order_id bigint(20) unsigned NOT NULL,
  product_id bigint(20) unsigned NOT NULL,
  customer_id bigint(20) unsigned NULL,
  date_created datetime NOT NULL,
  product_qty int(11) NOT NULL,
  product_net_revenue double DEFAULT 0 NOT NULL
);
CREATE TABLE wp_wc_orders_meta (
  id bigint(20) unsigned auto_increment primary key,
  order_id bigint(20) unsigned null,
  meta_key varchar(255),
  meta_value text null
);
CREATE TABLE wp_wc_order_addresses (
  id bigint(20) unsigned auto_increment primary key,
  order_id bigint(20) unsigned NOT NULL,
  address_type varchar(20) null,
  first_name text null,
  last_name text null,
  email varchar(320) null
);
CREATE TABLE wp_woocommerce_sessions (
  session_id bigint(20) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  session_key char(32) NOT NULL,
  session_value longtext NOT NULL,
  session_expiry bigint(20) unsigned NOT NULL
);
