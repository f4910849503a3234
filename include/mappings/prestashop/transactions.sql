-- The module keeps one row for an order and changes its state: 1 waiting, 2 available, 3 cancelled, 4 converted to a voucher, 5 no
-- points on discounts. So one row gives up to two transactions: what it earned, and what became of that.
SELECT
    l.id_customer AS customer_id,
    CONCAT(l.id_loyalty, '-earned') AS transaction_id,
    'main' AS brand_id, -- yours is in Masivo
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1a01' AS reward_id, -- points: yours is in Masivo
    -- The only text that Masivo gives back, so the row's own number travels in it.
    CONCAT('legacy:', l.id_loyalty, '-earned', COALESCE(CONCAT(' by order ', l.id_order), '')) AS details,
    CASE WHEN l.points < 0 THEN 'REVERSAL' ELSE 'ACCUMULATION' END AS type,
    l.points AS amount,
    l.date_add AS issued_at,
    l.date_add AS resolved_at,
    l.date_upd AS updated_at
FROM ps_loyalty l
LEFT JOIN ps_customer c ON c.id_customer = l.id_customer
WHERE
    l.points <> 0
    AND (l.id_loyalty_state IN (2, 4, 5) OR (l.id_loyalty_state = 3 AND l.points < 0))
    AND COALESCE(c.is_guest, 0) = 0 AND COALESCE(c.deleted, 0) = 0
UNION ALL
SELECT
    l.id_customer,
    CONCAT(l.id_loyalty, '-converted'),
    'main',
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1a01',
    CONCAT('legacy:', l.id_loyalty, '-converted', COALESCE(CONCAT(' to voucher ', l.id_cart_rule), '')),
    'REDEMPTION',
    -l.points,
    l.date_upd,
    l.date_upd,
    l.date_upd
FROM ps_loyalty l
LEFT JOIN ps_customer c ON c.id_customer = l.id_customer
WHERE l.points <> 0 AND l.id_loyalty_state = 4 AND COALESCE(c.is_guest, 0) = 0 AND COALESCE(c.deleted, 0) = 0
UNION ALL
SELECT
    l.id_customer,
    CONCAT(l.id_loyalty, '-expired'),
    'main',
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1a01',
    CONCAT('legacy:', l.id_loyalty, '-expired'),
    'EXPIRATION',
    -l.points,
    DATE(l.date_add) + INTERVAL moment.validity + 1 DAY,
    DATE(l.date_add) + INTERVAL moment.validity + 1 DAY,
    l.date_upd
FROM ps_loyalty l
LEFT JOIN ps_customer c ON c.id_customer = l.id_customer
CROSS JOIN (
    -- The cut-over, the same as in customers.balance.sql, and the shop's setting in days; 0 is no limit.
    SELECT
        DATE('2024-07-01') AS at,
        COALESCE(
            (SELECT MAX(CAST(s.value AS SIGNED)) FROM ps_configuration s WHERE s.name = 'PS_LOYALTY_VALIDITY_PERIOD'), 0
        ) AS validity
) moment
WHERE
    l.points <> 0
    AND (l.id_loyalty_state IN (2, 5) OR (l.id_loyalty_state = 3 AND l.points < 0))
    AND moment.validity > 0
    AND DATEDIFF(moment.at, l.date_add) > moment.validity
    AND COALESCE(c.is_guest, 0) = 0 AND COALESCE(c.deleted, 0) = 0
