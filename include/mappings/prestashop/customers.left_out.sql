-- Customers without an account: what customers.sql does not read.
SELECT
    c.id_customer AS id,
    CASE WHEN c.deleted <> 0 THEN 'deleted in the shop' ELSE 'a guest: a customer of one order' END AS reason
FROM ps_customer c
WHERE c.is_guest <> 0 OR c.deleted <> 0
