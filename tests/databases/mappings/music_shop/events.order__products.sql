SELECT
    l.InvoiceId AS order__purchase_id,
    l.InvoiceLineId AS position,
    l.TrackId AS sku,
    l.Quantity AS amount,
    l.UnitPrice AS value,
    t.Name AS metadata__track,
    a.Title AS metadata__album,
    s.Name AS metadata__artist,
    t.Milliseconds / 1000.0 AS metadata__seconds
FROM InvoiceLine l
LEFT JOIN Track t ON t.TrackId = l.TrackId
LEFT JOIN Album a ON a.AlbumId = t.AlbumId
LEFT JOIN Artist s ON s.ArtistId = a.ArtistId
