SELECT
    r.member_no AS customer,
    r.no,
    r.channel,
    r.shop_no,
    r.total::float8 AS total, -- a Decimal would arrive as a JSON string
    r.discounted::float8 AS discounted,
    r.method,
    to_char(r.sold_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS sold_at,
    (
        SELECT json_agg(
            json_build_object(
                'sku', l.sku, 'amount', l.quantity, 'value', l.gross, 'discounted_value', l.gross - l.discount,
                'metadata', json_build_object('item_name', l.name)
            ) ORDER BY l.line_no
        )
        FROM line l
        WHERE l.receipt_no = r.no
    )::text AS lines
FROM receipt r
ORDER BY r.member_no, r.no
