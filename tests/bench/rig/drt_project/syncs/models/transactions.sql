SELECT
    p.member_no AS customer,
    p.no,
    p.points::float8 AS points, -- a Decimal would arrive as a JSON string
    to_char(p.booked_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS booked_at
FROM points p
ORDER BY p.member_no, p.no
