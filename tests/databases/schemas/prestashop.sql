-- PrestaShop/loyalty, loyalty.php at 0870cf5d (module 1.2.8), with the prefix ps_.
CREATE TABLE `ps_loyalty` (
  `id_loyalty` INT UNSIGNED NOT NULL AUTO_INCREMENT,
  `id_loyalty_state` INT UNSIGNED NOT NULL DEFAULT 1,
  `id_customer` INT UNSIGNED NOT NULL,
  `id_order` INT UNSIGNED DEFAULT NULL,
  `id_cart_rule` INT UNSIGNED DEFAULT NULL,
  `points` INT NOT NULL DEFAULT 0,
  `date_add` DATETIME NOT NULL,
  `date_upd` DATETIME NOT NULL,
  PRIMARY KEY (`id_loyalty`),
  INDEX index_loyalty_loyalty_state (`id_loyalty_state`),
  INDEX index_loyalty_order (`id_order`),
  INDEX index_loyalty_discount (`id_cart_rule`),
  INDEX index_loyalty_customer (`id_customer`)
) DEFAULT CHARSET=utf8;
-- PrestaShop/PrestaShop, install-dev/data/db_structure.sql at 00242955 (1.7), what the mapping reads of it.
CREATE TABLE `ps_customer` (
  `id_customer` int(10) unsigned NOT NULL auto_increment,
  `id_shop` int(11) unsigned NOT NULL DEFAULT '1',
  `id_gender` int(10) unsigned NOT NULL,
  `id_default_group` int(10) unsigned NOT NULL DEFAULT '1',
  `id_lang` int(10) unsigned NULL,
  `company` varchar(64),
  `firstname` varchar(255) NOT NULL,
  `lastname` varchar(255) NOT NULL,
  `email` varchar(128) NOT NULL,
  `birthday` date DEFAULT NULL,
  `newsletter` tinyint(1) unsigned NOT NULL DEFAULT '0',
  `newsletter_date_add` datetime DEFAULT NULL,
  `website` varchar(128),
  `active` tinyint(1) unsigned NOT NULL DEFAULT '0',
  `is_guest` tinyint(1) NOT NULL DEFAULT '0',
  `deleted` tinyint(1) NOT NULL DEFAULT '0',
  `date_add` datetime NOT NULL,
  `date_upd` datetime NOT NULL,
  PRIMARY KEY (`id_customer`),
  KEY `customer_email` (`email`),
  KEY `id_gender` (`id_gender`)
) DEFAULT CHARSET=utf8;
CREATE TABLE `ps_gender` (
  `id_gender` int(11) NOT NULL auto_increment,
  `type` tinyint(1) NOT NULL,
  PRIMARY KEY (`id_gender`)
) DEFAULT CHARSET=utf8;
CREATE TABLE `ps_orders` (
  `id_order` int(10) unsigned NOT NULL auto_increment,
  `reference` varchar(9),
  `id_shop_group` int(11) unsigned NOT NULL DEFAULT '1',
  `id_shop` int(11) unsigned NOT NULL DEFAULT '1',
  `id_carrier` int(10) unsigned NOT NULL,
  `id_customer` int(10) unsigned NOT NULL,
  `id_cart` int(10) unsigned NOT NULL,
  `id_currency` int(10) unsigned NOT NULL,
  `current_state` int(10) unsigned NOT NULL,
  `payment` varchar(255) NOT NULL,
  `conversion_rate` decimal(13,6) NOT NULL DEFAULT 1,
  `module` varchar(255) DEFAULT NULL,
  `total_discounts` decimal(20,6) NOT NULL DEFAULT '0.00',
  `total_discounts_tax_incl` decimal(20,6) NOT NULL DEFAULT '0.00',
  `total_paid` decimal(20,6) NOT NULL DEFAULT '0.00',
  `total_paid_tax_incl` decimal(20,6) NOT NULL DEFAULT '0.00',
  `total_products` decimal(20,6) NOT NULL DEFAULT '0.00',
  `total_products_wt` decimal(20,6) NOT NULL DEFAULT '0.00',
  `total_shipping` decimal(20,6) NOT NULL DEFAULT '0.00',
  `total_shipping_tax_incl` decimal(20,6) NOT NULL DEFAULT '0.00',
  `total_wrapping_tax_incl` decimal(20,6) NOT NULL DEFAULT '0.00',
  `invoice_number` int(10) unsigned NOT NULL DEFAULT '0',
  `invoice_date` datetime NOT NULL,
  `delivery_date` datetime NOT NULL,
  `valid` int(1) unsigned NOT NULL DEFAULT '0',
  `date_add` datetime NOT NULL,
  `date_upd` datetime NOT NULL,
  PRIMARY KEY (`id_order`),
  KEY `reference` (`reference`),
  KEY `id_customer` (`id_customer`),
  KEY `current_state` (`current_state`),
  KEY `date_add` (`date_add`)
) DEFAULT CHARSET=utf8;
CREATE TABLE `ps_order_detail` (
  `id_order_detail` int(10) unsigned NOT NULL auto_increment,
  `id_order` int(10) unsigned NOT NULL,
  `id_shop` int(11) unsigned NOT NULL,
  `product_id` int(10) unsigned NOT NULL,
  `product_attribute_id` int(10) unsigned DEFAULT NULL,
  `product_name` varchar(255) NOT NULL,
  `product_quantity` int(10) unsigned NOT NULL DEFAULT '0',
  `product_quantity_refunded` int(10) unsigned NOT NULL DEFAULT '0',
  `product_price` decimal(20,6) NOT NULL DEFAULT '0.000000',
  `product_ean13` varchar(13) DEFAULT NULL,
  `product_reference` varchar(32) DEFAULT NULL,
  `total_price_tax_incl` decimal(20,6) NOT NULL DEFAULT '0.000000',
  `total_price_tax_excl` decimal(20,6) NOT NULL DEFAULT '0.000000',
  `unit_price_tax_incl` decimal(20,6) NOT NULL DEFAULT '0.000000',
  PRIMARY KEY (`id_order_detail`),
  KEY `order_detail_order` (`id_order`)
) DEFAULT CHARSET=utf8;
CREATE TABLE `ps_order_cart_rule` (
  `id_order_cart_rule` int(10) unsigned NOT NULL auto_increment,
  `id_order` int(10) unsigned NOT NULL,
  `id_cart_rule` int(10) unsigned NOT NULL,
  `name` varchar(254) NOT NULL,
  `value` decimal(17,2) NOT NULL DEFAULT '0.00',
  `free_shipping` tinyint(1) NOT NULL DEFAULT '0',
  PRIMARY KEY (`id_order_cart_rule`),
  KEY `id_order` (`id_order`)
) DEFAULT CHARSET=utf8;
CREATE TABLE `ps_order_slip` (
  `id_order_slip` int(10) unsigned NOT NULL auto_increment,
  `id_customer` int(10) unsigned NOT NULL,
  `id_order` int(10) unsigned NOT NULL,
  `total_products_tax_incl` decimal(20,6) NULL,
  `total_shipping_tax_incl` decimal(20,6) NULL,
  `amount` decimal(10,2) NOT NULL,
  `shipping_cost_amount` decimal(10,2) NOT NULL,
  `date_add` datetime NOT NULL,
  `date_upd` datetime NOT NULL,
  PRIMARY KEY (`id_order_slip`),
  KEY `id_order` (`id_order`)
) DEFAULT CHARSET=utf8;
CREATE TABLE `ps_order_slip_detail` (
  `id_order_slip` int(10) unsigned NOT NULL,
  `id_order_detail` int(10) unsigned NOT NULL,
  `product_quantity` int(10) unsigned NOT NULL DEFAULT '0',
  `total_price_tax_incl` decimal(20,6),
  `amount_tax_incl` decimal(20,6) DEFAULT NULL,
  PRIMARY KEY (`id_order_slip`, `id_order_detail`)
) DEFAULT CHARSET=utf8;
CREATE TABLE `ps_currency` (
  `id_currency` int(10) unsigned NOT NULL auto_increment,
  `iso_code` varchar(3) NOT NULL DEFAULT '0',
  PRIMARY KEY (`id_currency`)
) DEFAULT CHARSET=utf8;
CREATE TABLE `ps_configuration` (
  `id_configuration` int(10) unsigned NOT NULL auto_increment,
  `name` varchar(254) NOT NULL,
  `value` text,
  PRIMARY KEY (`id_configuration`),
  KEY `name` (`name`)
) DEFAULT CHARSET=utf8;
