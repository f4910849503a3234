-- Customers of the shop who joined its loyalty scheme.
SELECT
    c.CustomerId AS id,
    TRIM(REPLACE(REPLACE('{first} {last}', '{first}', c.FirstName), '{last}', c.LastName)) AS name,
    LOWER(TRIM(c.Email)) AS email,
    m.BirthDate AS dob,
    m.JoinedAt AS registration_date,
    CASE WHEN m.IsActive THEN 'ACTIVE' ELSE 'INACTIVE' END AS status,
    (SELECT SUM(l.UnitPrice * l.Quantity) FROM Invoice i JOIN InvoiceLine l ON l.InvoiceId = i.InvoiceId
        WHERE i.CustomerId = c.CustomerId) AS metrics__lifetime__spend_total,
    (SELECT COUNT(*) FROM Invoice i WHERE i.CustomerId = c.CustomerId) AS metrics__lifetime__number_of_purchases,
    (SELECT MAX(i.InvoiceDate) FROM Invoice i WHERE i.CustomerId = c.CustomerId) AS metrics__lifetime__last_visit,
    c.Company AS metadata__company,
    c.City AS metadata__city,
    c.Phone AS metadata__phone,
    m.BirthDate AS metadata__born,
    m.Discount AS metadata__discount,
    m.ChangedAt AS updated_at
FROM Customer c
JOIN Member m ON m.CustomerId = c.CustomerId
