SELECT
    m.no AS customer_id,
    1 AS position,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01' AS reward_id,
    m.balance AS amount,
    m.first_at AS issued_at,
    'CN' AS brand_id
FROM member m
WHERE m.balance <> 0
