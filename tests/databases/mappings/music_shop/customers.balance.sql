-- What was earned, by the rule of points, less what was spent of it.
SELECT
    p.CustomerId AS customer_id,
    1 AS position,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01' AS reward_id,
    SUM(p.Points) AS amount
FROM (
    SELECT i.CustomerId AS CustomerId, r.Points * l.Quantity AS Points
    FROM Invoice i
    JOIN InvoiceLine l ON l.InvoiceId = i.InvoiceId
    JOIN Track t ON t.TrackId = l.TrackId
    JOIN PointsRule r ON r.MediaTypeId = t.MediaTypeId
    UNION ALL
    SELECT b.CustomerId, b.Points FROM PointsBooking b
) p
GROUP BY p.CustomerId
