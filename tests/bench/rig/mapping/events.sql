SELECT
    r.member_no AS customer_id,
    r.no AS order__purchase_id,
    'PURCHASE' AS type,
    'CN' AS brand_id,
    r.channel AS channel_id,
    r.shop_no AS store_id,
    r.total AS order__value,
    r.discounted AS order__discounted_value,
    r.method AS order__payment_method,
    true AS fulfilled,
    r.sold_at AS issued_at,
    r.sold_at AS resolved_at,
    r.sold_at AS updated_at
FROM receipt r
