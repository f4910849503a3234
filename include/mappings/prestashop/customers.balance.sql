-- What is left of the points of each order, less what was returned of it, and the day on which the module stops to count them.
SELECT
    l.id_customer AS customer_id,
    l.id_order AS position,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1a01' AS reward_id, -- points: yours is in Masivo
    SUM(l.points) AS amount,
    MIN(l.date_add) AS issued_at,
    CASE
        WHEN MIN(moment.validity) > 0 THEN DATE(MIN(l.date_add)) + INTERVAL MIN(moment.validity) + 1 DAY
    END AS expiration_date,
    'main' AS brand_id -- yours is in Masivo
FROM ps_loyalty l
CROSS JOIN (
    -- The cut-over, the same as in transactions.sql, and the shop's setting in days; 0 is no limit.
    SELECT
        DATE('2024-07-01') AS at,
        COALESCE(
            (SELECT MAX(CAST(s.value AS SIGNED)) FROM ps_configuration s WHERE s.name = 'PS_LOYALTY_VALIDITY_PERIOD'), 0
        ) AS validity
) moment
WHERE
    (l.id_loyalty_state IN (2, 5) OR (l.id_loyalty_state = 3 AND l.points < 0))
    AND (moment.validity = 0 OR DATEDIFF(moment.at, l.date_add) <= moment.validity)
GROUP BY l.id_customer, l.id_order
HAVING SUM(l.points) <> 0
