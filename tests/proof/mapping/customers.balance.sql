SELECT
    l.member_id AS customer_id,
    l.position AS position,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01' AS reward_id,
    l.points AS amount
FROM lot l
