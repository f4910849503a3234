-- The points ledger. Points are unsigned there, and the kind says which way they go.
SELECT
    l.member_no AS customer_id,
    l.entry_no AS transaction_id,
    'CN' AS brand_id,
    CASE l.purse
        WHEN 'P' THEN '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01' -- points
        WHEN 'S' THEN '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b02' -- stamps
        ELSE l.purse
    END AS reward_id,
    -- The only text that Masivo gives back, so the ledger's own number travels in it.
    REPLACE(
        REPLACE('legacy:{entry} {reason}', '{entry}', CAST(l.entry_no AS CHAR(20))), '{reason}', l.reason
    ) AS details,
    CASE l.kind
        WHEN 'O' THEN 'MIGRATION' -- brought along from the paper cards
        WHEN 'E' THEN 'ACCUMULATION'
        WHEN 'R' THEN 'REDEMPTION'
        WHEN 'X' THEN 'EXPIRATION'
        WHEN 'V' THEN 'REVERSAL'
        ELSE l.kind
    END AS type,
    CASE WHEN l.kind IN ('R', 'X', 'V') THEN -l.points ELSE l.points END AS amount,
    l.cost_cents / 100.0 AS cost,
    l.shop_no AS store_id,
    l.booked_at AS issued_at,
    l.effective_at AS resolved_at,
    l.changed_at AS updated_at
FROM points_ledger l
