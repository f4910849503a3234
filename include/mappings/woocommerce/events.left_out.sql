-- Rows of the orders' table that are no purchases, or not yet: what events.sql does not read, and why.
SELECT
    o.id AS order__purchase_id,
    CASE
        WHEN o.type = 'shop_order_refund' THEN 'a refund: it is taken off its order'
        WHEN COALESCE(o.type, '') <> 'shop_order' THEN 'no order: of another type'
        WHEN o.status IN ('wc-checkout-draft', 'auto-draft') THEN 'a draft: never ordered'
        WHEN o.status IN ('wc-pending', 'wc-on-hold') THEN 'not paid yet: a later run reads it'
        WHEN o.status IN ('wc-failed', 'wc-cancelled', 'trash') THEN 'failed, cancelled or in the trash'
        WHEN o.status = 'wc-refunded' THEN 'refunded as a whole'
        WHEN o.status IS NULL THEN 'without a status'
        WHEN o.payment_method = 'cod' THEN 'to be paid on delivery: a later run reads it'
        -- Orders from before WooCommerce 3.0, and imported ones: see the page, *Orders without a date of payment*.
        ELSE 'being processed, without a date of payment'
    END AS reason
FROM wp_wc_orders o
LEFT JOIN wp_wc_order_operational_data d ON d.order_id = o.id
WHERE
    COALESCE(o.type, '') <> 'shop_order'
    OR COALESCE(o.status, 'trash') IN (
        'wc-pending', 'wc-on-hold', 'wc-failed', 'wc-cancelled', 'wc-refunded', 'wc-checkout-draft', 'auto-draft', 'trash'
    )
    OR (o.status = 'wc-processing' AND d.date_paid_gmt IS NULL)
