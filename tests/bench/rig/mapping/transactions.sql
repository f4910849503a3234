SELECT
    p.member_no AS customer_id,
    p.no AS transaction_id,
    'CN' AS brand_id,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01' AS reward_id,
    'legacy:' || p.no AS details,
    'ACCUMULATION' AS type,
    p.points AS amount,
    p.booked_at AS issued_at,
    p.booked_at AS resolved_at,
    p.booked_at AS updated_at
FROM points p
