-- Orders that are no purchases, or not yet: what events.sql does not read, and why.
SELECT
    o.order_id AS order__purchase_id,
    CASE o.order_status_id
        WHEN 0 THEN 'never ordered: a basket that was left at the till'
        WHEN 1 THEN 'pending: a later run reads it'
        WHEN 2 THEN 'being processed: a later run reads it'
        WHEN 7 THEN 'cancelled'
        WHEN 8 THEN 'denied'
        WHEN 10 THEN 'failed'
        WHEN 11 THEN 'refunded'
        WHEN 12 THEN 'reversed'
        WHEN 13 THEN 'charged back'
        WHEN 14 THEN 'expired'
        ELSE 'voided'
    END AS reason
FROM oc_order o
WHERE o.order_status_id IN (0, 1, 2, 7, 8, 10, 11, 12, 13, 14, 16)
