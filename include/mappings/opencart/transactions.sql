-- Reward points. There is neither a type nor a balance, only a sign and an order; 0 is no order.
-- The description is free text of the staff, so it is not sent.
-- No updated_at: rows are deleted when an order is undone, so the newest of them proves nothing. Runs read them all.
SELECT
    NULLIF(r.customer_id, 0) AS customer_id,
    r.customer_reward_id AS transaction_id,
    'main' AS brand_id, -- yours is in Masivo
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1e01' AS reward_id, -- points: yours is in Masivo
    -- The only text that Masivo gives back, so the row's own number travels in it.
    CONCAT('legacy:', r.customer_reward_id, COALESCE(CONCAT(' of order ', NULLIF(r.order_id, 0)), '')) AS details,
    CASE
        WHEN r.points < 0 AND r.order_id <> 0 THEN 'REDEMPTION'
        WHEN r.points < 0 THEN 'REVERSAL' -- what staff took was taken back
        ELSE 'ACCUMULATION'
    END AS type,
    r.points AS amount,
    r.date_added AS issued_at,
    r.date_added AS resolved_at
FROM oc_customer_reward r
