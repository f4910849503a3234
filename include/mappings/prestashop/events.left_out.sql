-- Orders that are no sales, or nobody's: what events.sql does not read, and why.
SELECT
    o.id_order AS order__purchase_id,
    CASE
        WHEN o.valid <> 1 THEN CONCAT('no sale: in state ', o.current_state)
        WHEN c.deleted <> 0 THEN 'of a customer who was deleted'
        ELSE 'of a guest'
    END AS reason
FROM ps_orders o
LEFT JOIN ps_customer c ON c.id_customer = o.id_customer
WHERE o.valid <> 1 OR c.is_guest <> 0 OR c.deleted <> 0
