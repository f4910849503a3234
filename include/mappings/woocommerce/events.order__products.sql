-- Order lines, less what was refunded of them; a line that was refunded as a whole is left out. Taxes are included.
-- Amounts are text in a key-value table. One that is no number is passed on as it is, and quarantined: CAST would make it 0.
SELECT
    i.order_id AS order__purchase_id,
    i.order_item_id AS position,
    -- A product that was deleted, or has no SKU, is known by its number.
    COALESCE(
        NULLIF(variant.sku, ''), NULLIF(product.sku, ''),
        CONCAT('wc-', COALESCE(NULLIF(variant_id.meta_value, '0'), NULLIF(product_id.meta_value, '0')))
    ) AS sku,
    CASE
        WHEN refund.item_id IS NULL THEN quantity.meta_value
        ELSE CAST(quantity.meta_value AS DECIMAL(18, 6)) + refund.quantity
    END AS amount,
    CASE
        WHEN CONCAT(full_price.meta_value, '+', COALESCE(NULLIF(full_tax.meta_value, ''), '0'))
            REGEXP '^-?[0-9]+([.][0-9]+)?[+]-?[0-9]+([.][0-9]+)?$'
            THEN CAST(full_price.meta_value AS DECIMAL(26, 8))
                + CAST(COALESCE(NULLIF(full_tax.meta_value, ''), '0') AS DECIMAL(26, 8))
                + COALESCE(refund.full_price, 0)
        ELSE CONCAT(full_price.meta_value, '+', COALESCE(NULLIF(full_tax.meta_value, ''), '0'))
    END AS value,
    CASE
        WHEN CONCAT(price.meta_value, '+', COALESCE(NULLIF(tax.meta_value, ''), '0'))
            REGEXP '^-?[0-9]+([.][0-9]+)?[+]-?[0-9]+([.][0-9]+)?$'
            THEN CAST(price.meta_value AS DECIMAL(26, 8))
                + CAST(COALESCE(NULLIF(tax.meta_value, ''), '0') AS DECIMAL(26, 8))
                + COALESCE(refund.price, 0)
        ELSE CONCAT(price.meta_value, '+', COALESCE(NULLIF(tax.meta_value, ''), '0'))
    END AS discounted_value,
    i.order_item_name AS metadata__name
FROM wp_woocommerce_order_items i
LEFT JOIN wp_woocommerce_order_itemmeta quantity
    ON quantity.order_item_id = i.order_item_id AND quantity.meta_key = '_qty'
LEFT JOIN wp_woocommerce_order_itemmeta full_price
    ON full_price.order_item_id = i.order_item_id AND full_price.meta_key = '_line_subtotal'
LEFT JOIN wp_woocommerce_order_itemmeta full_tax
    ON full_tax.order_item_id = i.order_item_id AND full_tax.meta_key = '_line_subtotal_tax'
LEFT JOIN wp_woocommerce_order_itemmeta price
    ON price.order_item_id = i.order_item_id AND price.meta_key = '_line_total'
LEFT JOIN wp_woocommerce_order_itemmeta tax
    ON tax.order_item_id = i.order_item_id AND tax.meta_key = '_line_tax'
LEFT JOIN wp_woocommerce_order_itemmeta product_id
    ON product_id.order_item_id = i.order_item_id AND product_id.meta_key = '_product_id'
LEFT JOIN wp_woocommerce_order_itemmeta variant_id
    ON variant_id.order_item_id = i.order_item_id AND variant_id.meta_key = '_variation_id'
LEFT JOIN wp_wc_product_meta_lookup product ON product.product_id = CAST(product_id.meta_value AS UNSIGNED)
LEFT JOIN wp_wc_product_meta_lookup variant ON variant.product_id = CAST(variant_id.meta_value AS UNSIGNED)
LEFT JOIN (
    SELECT
        CAST(origin.meta_value AS UNSIGNED) AS item_id,
        SUM(CASE WHEN m.meta_key = '_qty' THEN CAST(m.meta_value AS DECIMAL(18, 6)) ELSE 0 END) AS quantity,
        SUM(
            CASE
                WHEN m.meta_key IN ('_line_subtotal', '_line_subtotal_tax') THEN CAST(m.meta_value AS DECIMAL(26, 8))
                ELSE 0
            END
        ) AS full_price,
        SUM(
            CASE WHEN m.meta_key IN ('_line_total', '_line_tax') THEN CAST(m.meta_value AS DECIMAL(26, 8)) ELSE 0 END
        ) AS price
    FROM wp_woocommerce_order_itemmeta origin
    JOIN wp_woocommerce_order_itemmeta m ON m.order_item_id = origin.order_item_id
    WHERE origin.meta_key = '_refunded_item_id'
    GROUP BY CAST(origin.meta_value AS UNSIGNED)
) refund ON refund.item_id = i.order_item_id
WHERE
    i.order_item_type = 'line_item'
    AND (refund.item_id IS NULL OR CAST(quantity.meta_value AS DECIMAL(18, 6)) + refund.quantity <> 0)
