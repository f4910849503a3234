SELECT
    s.member_id AS customer_id,
    s.id AS order__purchase_id,
    'PURCHASE' AS type,
    'B1' AS brand_id,
    s.cents / 100.0 AS order__value,
    s.cents / 100.0 AS order__discounted_value,
    'CASH' AS order__payment_method,
    1 AS fulfilled,
    s.sold_at AS issued_at,
    s.sold_at AS resolved_at,
    s.changed_at AS updated_at
FROM sale s
