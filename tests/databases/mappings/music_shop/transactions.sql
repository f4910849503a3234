-- The shop keeps no points of a purchase: they are its tracks, each by the rule of its media type.
SELECT
    p.CustomerId AS customer_id,
    p.No AS transaction_id,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01' AS reward_id,
    REPLACE('{no} of the music shop', '{no}', p.No) AS details,
    p.Kind AS type,
    p.Points AS amount,
    p.BookedAt AS issued_at,
    p.BookedAt AS resolved_at,
    p.ChangedAt AS updated_at
FROM (
    SELECT
        i.CustomerId AS CustomerId,
        REPLACE('i-{no}', '{no}', CAST(i.InvoiceId AS CHAR(20))) AS No,
        'ACCUMULATION' AS Kind,
        SUM(r.Points * l.Quantity) AS Points,
        i.InvoiceDate AS BookedAt,
        i.ChangedAt AS ChangedAt
    FROM Invoice i
    JOIN InvoiceLine l ON l.InvoiceId = i.InvoiceId
    JOIN Track t ON t.TrackId = l.TrackId
    JOIN PointsRule r ON r.MediaTypeId = t.MediaTypeId
    GROUP BY i.InvoiceId, i.CustomerId, i.InvoiceDate, i.ChangedAt
    UNION ALL
    SELECT
        b.CustomerId,
        REPLACE('B{no}', '{no}', CAST(b.PointsBookingId AS CHAR(20))),
        CASE b.Kind WHEN 'S' THEN 'REDEMPTION' WHEN 'X' THEN 'EXPIRATION' ELSE b.Kind END,
        b.Points,
        b.BookedAt,
        b.ChangedAt
    FROM PointsBooking b
) p
