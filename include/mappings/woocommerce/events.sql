-- Orders that were paid, as purchases, less what was refunded of them. Shipping is told apart from the goods; taxes are included.
-- An order goes once it is paid, and says the same when it is completed: a purchase that was sent cannot be changed.
SELECT
    NULLIF(o.customer_id, 0) AS customer_id, -- a guest's order has none, and is quarantined; see the page for other choices
    o.id AS order__purchase_id,
    'PURCHASE' AS type,
    'main' AS brand_id, -- yours is in Masivo
    'web' AS channel_id,
    o.total_amount - COALESCE(d.shipping_total_amount, 0) - COALESCE(d.shipping_tax_amount, 0)
        + COALESCE(d.discount_total_amount, 0) + COALESCE(d.discount_tax_amount, 0)
        + COALESCE(refund.goods, 0) AS order__value,
    o.total_amount - COALESCE(d.shipping_total_amount, 0) - COALESCE(d.shipping_tax_amount, 0)
        + COALESCE(refund.goods, 0) AS order__discounted_value,
    COALESCE(d.shipping_total_amount, 0) + COALESCE(d.shipping_tax_amount, 0)
        + COALESCE(refund.shipping, 0) AS order__shipping__value,
    -- A gateway that is not named here is passed on as it is, and quarantined: name yours.
    CASE o.payment_method
        WHEN 'bacs' THEN 'BANK_TRANSFER'
        WHEN 'cod' THEN 'CASH'
        WHEN 'cheque' THEN 'OTHER'
        WHEN 'paypal' THEN 'OTHER'
        WHEN 'ppcp-gateway' THEN 'OTHER'
        WHEN 'stripe' THEN 'CREDIT' -- cards; it does not keep which kind
        WHEN 'woocommerce_payments' THEN 'CREDIT' -- likewise
        WHEN '' THEN 'OTHER' -- nothing was left to pay
        ELSE o.payment_method
    END AS order__payment_method,
    o.currency AS order__metadata__currency,
    d.created_via AS order__metadata__created_via,
    -- A status of some other extension is passed on as it is, and quarantined: name it here, or in the list below.
    CASE o.status WHEN 'wc-completed' THEN 1 WHEN 'wc-processing' THEN 1 ELSE o.status END AS fulfilled,
    o.date_created_gmt AS issued_at,
    COALESCE(d.date_paid_gmt, d.date_completed_gmt) AS resolved_at,
    GREATEST(o.date_updated_gmt, COALESCE(refund.changed_at, o.date_updated_gmt)) AS updated_at
FROM wp_wc_orders o
LEFT JOIN wp_wc_order_operational_data d ON d.order_id = o.id
LEFT JOIN (
    -- Refunds are orders of their own, below zero.
    SELECT
        r.parent_order_id,
        SUM(r.total_amount - COALESCE(rd.shipping_total_amount, 0) - COALESCE(rd.shipping_tax_amount, 0)) AS goods,
        SUM(COALESCE(rd.shipping_total_amount, 0) + COALESCE(rd.shipping_tax_amount, 0)) AS shipping,
        MAX(r.date_updated_gmt) AS changed_at
    FROM wp_wc_orders r
    LEFT JOIN wp_wc_order_operational_data rd ON rd.order_id = r.id
    WHERE r.type = 'shop_order_refund'
    GROUP BY r.parent_order_id
) refund ON refund.parent_order_id = o.id
WHERE
    o.type = 'shop_order'
    AND o.status NOT IN (
        'wc-pending', 'wc-on-hold', 'wc-failed', 'wc-cancelled', 'wc-refunded', 'wc-checkout-draft', 'auto-draft', 'trash'
    )
    AND NOT (o.status = 'wc-processing' AND d.date_paid_gmt IS NULL) -- to be paid on delivery
