-- Receipt lines. The pump counts thousandths of a gallon, unless the fuel was prepaid (then a few pieces).
-- A line that the till did not count (quantity 0) is one piece.
SELECT
    l.basket_id AS order__purchase_id,
    l.line_no AS position,
    l.product_id AS sku,
    CASE
        WHEN l.qty >= 100 AND p.product_type = 'GASOLINE-REG UNLEADED' THEN l.qty / 1000.0
        WHEN l.qty = 0 THEN 1
        ELSE l.qty
    END AS amount,
    (l.sales_cents + l.retail_disc_cents + l.match_disc_cents) / 100.0 AS value,
    (l.sales_cents - l.coupon_disc_cents) / 100.0 AS discounted_value
FROM pos_receipt_line l
LEFT JOIN product p ON p.product_id = l.product_id
