-- The derived points ledger. Points are unsigned there, and the kind says which way they go.
SELECT
    l.household_id AS customer_id,
    l.entry_id AS transaction_id,
    'complete-journey' AS brand_id,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1c01' AS reward_id,
    -- The only text that Masivo gives back, so the ledger's own number travels in it.
    REPLACE(
        REPLACE('legacy:{entry} {reason}', '{entry}', CAST(l.entry_id AS CHAR(20))), '{reason}', l.reason
    ) AS details,
    CASE l.kind
        WHEN 'E' THEN 'ACCUMULATION'
        WHEN 'R' THEN 'REDEMPTION'
        WHEN 'X' THEN 'EXPIRATION'
        ELSE l.kind
    END AS type,
    CASE WHEN l.kind IN ('R', 'X') THEN -l.points ELSE l.points END AS amount,
    l.booked_at AS issued_at,
    l.booked_at AS resolved_at,
    l.booked_at AS updated_at
FROM points_ledger l
