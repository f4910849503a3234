-- The log of points, which only ever grows. Points are signed there, and expiry is a row like any other.
SELECT
    l.user_id AS customer_id,
    l.id AS transaction_id,
    'main' AS brand_id, -- yours is in Masivo
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1d01' AS reward_id, -- points: yours is in Masivo
    -- The only text that Masivo gives back, so the log's own number travels in it.
    CONCAT('legacy:', l.id, ' ', COALESCE(l.type, ''), COALESCE(CONCAT(' of order ', NULLIF(l.order_id, 0)), '')) AS details,
    CASE
        WHEN l.type IN ('order-placed', 'account-signup', 'product-review') THEN 'ACCUMULATION'
        WHEN l.type = 'order-redeem' THEN 'REDEMPTION'
        WHEN l.type = 'expire' THEN 'EXPIRATION'
        -- Both ways: points of the order are taken back, and points spent on it are given back.
        WHEN l.type IN ('order-cancelled', 'order-refunded') THEN 'REVERSAL'
        -- What staff gave was earned, what staff took was taken back.
        WHEN l.type = 'admin-adjustment' AND l.points > 0 THEN 'ACCUMULATION'
        WHEN l.type = 'admin-adjustment' THEN 'REVERSAL'
        ELSE l.type -- of some other extension; quarantined until it is named here
    END AS type,
    l.points AS amount,
    l.date AS issued_at,
    l.date AS resolved_at,
    l.date AS updated_at
FROM wp_wc_points_rewards_user_points_log l
