-- Invoices, as purchases. Members paid half of their lines, down to half a cent.
SELECT
    i.CustomerId AS customer_id,
    i.InvoiceId AS order__purchase_id,
    'PURCHASE' AS type,
    'MUSIC' AS brand_id,
    1 AS fulfilled,
    i.Total AS order__value,
    (SELECT SUM(l.UnitPrice * l.Quantity) / 2 FROM InvoiceLine l WHERE l.InvoiceId = i.InvoiceId)
        AS order__discounted_value,
    'CREDIT' AS order__payment_method,
    i.InvoiceDate AS issued_at,
    i.InvoiceDate AS resolved_at,
    i.ChangedAt AS updated_at
FROM Invoice i
