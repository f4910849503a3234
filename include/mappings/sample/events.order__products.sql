-- Receipt lines. Weighed goods have three decimals.
SELECT
    l.receipt_no AS order__purchase_id,
    l.line_no AS position,
    l.sku AS sku,
    l.quantity AS amount,
    l.gross_cents / 100.0 AS value,
    (l.gross_cents - l.discount_cents) / 100.0 AS discounted_value,
    l.item_name AS metadata__item_name
FROM receipt_line l
