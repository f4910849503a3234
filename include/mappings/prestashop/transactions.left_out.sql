-- Rows of points that move nothing, or nobody's: what transactions.sql does not read, and why.
SELECT
    CONCAT(l.id_loyalty, '-earned') AS transaction_id,
    CASE
        WHEN c.deleted <> 0 THEN 'of a customer who was deleted'
        WHEN c.is_guest <> 0 THEN 'of a guest'
        WHEN l.id_loyalty_state = 1 THEN 'waiting: a later run reads it when the order is delivered'
        WHEN l.id_loyalty_state NOT IN (2, 3, 4, 5) THEN CONCAT('in a state that the module does not have: ', l.id_loyalty_state)
        WHEN l.points = 0 THEN 'no points'
        ELSE 'cancelled with its order'
    END AS reason
FROM ps_loyalty l
LEFT JOIN ps_customer c ON c.id_customer = l.id_customer
WHERE
    NOT (
        l.points <> 0
        AND (l.id_loyalty_state IN (2, 4, 5) OR (l.id_loyalty_state = 3 AND l.points < 0))
        AND COALESCE(c.is_guest, 0) = 0 AND COALESCE(c.deleted, 0) = 0
    )
