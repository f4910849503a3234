SELECT
    m.no AS customer,
    m.name,
    m.email,
    m.gender,
    to_char(m.born, 'YYYY-MM-DD"T00:00:00.000Z"') AS born,
    to_char(m.joined_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS joined_at,
    m.balance::float8 AS balance, -- a Decimal would arrive as a JSON string
    to_char(m.first_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS first_at
FROM member m
ORDER BY m.no
