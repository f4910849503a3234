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
