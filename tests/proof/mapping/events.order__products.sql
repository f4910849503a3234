SELECT
    l.sale_id AS order__purchase_id,
    l.position AS position,
    l.sku AS sku,
    1 AS amount,
    l.cents / 100.0 AS value
FROM sale_line l
