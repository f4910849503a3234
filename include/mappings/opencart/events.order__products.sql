-- Order lines. Price and tax are of one piece, the total is that of the line without its tax.
SELECT
    l.order_id AS order__purchase_id,
    l.order_product_id AS position,
    -- The order keeps the model; the SKU is the product's of today, and the product may be gone.
    COALESCE(NULLIF(p.sku, ''), NULLIF(l.model, ''), CONCAT('oc-', l.product_id)) AS sku,
    l.quantity AS amount,
    l.total + l.tax * l.quantity AS value,
    REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(
        l.name, '&quot;', '"'), '&#039;', ''''), '&lt;', '<'), '&gt;', '>'), '&amp;', '&') AS metadata__name
FROM oc_order_product l
LEFT JOIN oc_product p ON p.product_id = l.product_id
