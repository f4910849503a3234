-- What is left of each lot of points or stamps. Stamps never expire.
SELECT
    l.member_no AS customer_id,
    l.lot_no AS position,
    CASE l.purse
        WHEN 'P' THEN '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01' -- points
        WHEN 'S' THEN '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b02' -- stamps
        ELSE l.purse
    END AS reward_id,
    l.points AS amount,
    l.granted_at AS issued_at,
    l.expires_on AS expiration_date,
    'CN' AS brand_id
FROM points_lot l
