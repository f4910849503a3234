-- What is left of the points, by the day on which they expire.
SELECT
    l.household_id AS customer_id,
    l.expires_at AS position,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1c01' AS reward_id,
    l.points AS amount,
    l.earned_from AS issued_at,
    l.expires_at AS expiration_date,
    'complete-journey' AS brand_id
FROM points_lot l
