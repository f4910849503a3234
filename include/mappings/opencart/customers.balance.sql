-- OpenCart keeps no balance: it is what the rows add up to, and they never expire.
SELECT
    r.customer_id AS customer_id,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1e01' AS reward_id, -- points: yours is in Masivo
    SUM(r.points) AS amount,
    'main' AS brand_id -- yours is in Masivo
FROM oc_customer_reward r
GROUP BY r.customer_id
HAVING SUM(r.points) <> 0
