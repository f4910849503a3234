SELECT
    b.member_id AS customer_id,
    b.id AS transaction_id,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01' AS reward_id,
    b.id AS details,
    b.kind AS type,
    b.points AS amount,
    b.booked_at AS issued_at,
    b.booked_at AS resolved_at,
    b.changed_at AS updated_at
FROM booking b
