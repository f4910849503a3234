-- Receipts of tills and web shop, as purchases. One that is not settled yet has no resolved_at.
SELECT
    r.member_no AS customer_id,
    r.receipt_no AS order__purchase_id,
    'PURCHASE' AS type,
    s.brand_code AS brand_id,
    CASE r.channel WHEN 'S' THEN 'store' WHEN 'W' THEN 'web' ELSE r.channel END AS channel_id,
    r.shop_no AS store_id,
    r.shop_no AS order__store_id,
    r.total_cents / 100.0 AS order__value,
    (r.total_cents - r.discount_cents) / 100.0 AS order__discounted_value,
    -- What was paid first; a second payment only ever completes it in cash.
    CASE p.method_code
        WHEN 'C' THEN 'CREDIT'
        WHEN 'D' THEN 'DEBIT'
        WHEN 'E' THEN 'CASH'
        WHEN 'T' THEN 'BANK_TRANSFER'
        WHEN '9' THEN 'OTHER'
        ELSE p.method_code
    END AS order__payment_method,
    CASE WHEN r.settled_at IS NULL THEN 0 ELSE 1 END AS fulfilled,
    r.sold_at AS issued_at,
    r.settled_at AS resolved_at,
    r.changed_at AS updated_at
FROM receipt r
LEFT JOIN shop s ON s.shop_no = r.shop_no
LEFT JOIN payment p ON p.receipt_no = r.receipt_no AND p.seq_no = 1
