-- Order lines, less what credit slips took back; a line that was given back as a whole is left out. Taxes are included.
SELECT
    l.id_order AS order__purchase_id,
    l.id_order_detail AS position,
    -- The reference as it was when the order was placed; a product without one is known by its numbers.
    COALESCE(
        NULLIF(TRIM(l.product_reference), ''),
        CONCAT('ps-', l.product_id, COALESCE(CONCAT('-', NULLIF(l.product_attribute_id, 0)), ''))
    ) AS sku,
    CAST(l.product_quantity AS SIGNED) - COALESCE(back.pieces, 0) AS amount,
    l.total_price_tax_incl - COALESCE(back.price, 0) AS value,
    l.product_name AS metadata__name
FROM ps_order_detail l
LEFT JOIN (
    SELECT
        d.id_order_detail,
        SUM(CAST(d.product_quantity AS SIGNED)) AS pieces,
        SUM(COALESCE(d.total_price_tax_incl, d.amount_tax_incl)) AS price
    FROM ps_order_slip_detail d
    GROUP BY d.id_order_detail
) back ON back.id_order_detail = l.id_order_detail
WHERE CAST(l.product_quantity AS SIGNED) - COALESCE(back.pieces, 0) <> 0
