-- Orders that were settled, as purchases, in the shop's default currency. Taxes are included, shipping is told apart.
-- Orders that are still open (1 Pending, 2 Processing) wait: a purchase that was sent cannot be changed.
SELECT
    NULLIF(o.customer_id, 0) AS customer_id, -- a guest's order has none, and is quarantined; see the page for other choices
    o.order_id AS order__purchase_id,
    'PURCHASE' AS type,
    'main' AS brand_id, -- yours is in Masivo
    'web' AS channel_id,
    o.store_id AS store_id,
    o.store_id AS order__store_id,
    -- Gift vouchers and store credit are money, so they do not lower what was bought; coupons and points do.
    o.total - COALESCE(totals.shipping, 0) - COALESCE(totals.paid, 0) - COALESCE(totals.discount, 0) AS order__value,
    o.total - COALESCE(totals.shipping, 0) - COALESCE(totals.paid, 0) AS order__discounted_value,
    totals.shipping AS order__shipping__value,
    -- A code that is not named here is passed on as it is, and quarantined: name yours.
    CASE o.payment_code
        WHEN 'cod' THEN 'CASH'
        WHEN 'bank_transfer' THEN 'BANK_TRANSFER'
        WHEN 'cheque' THEN 'OTHER'
        WHEN 'free_checkout' THEN 'OTHER'
        WHEN 'pp_standard' THEN 'OTHER'
        WHEN 'pp_express' THEN 'OTHER'
        ELSE o.payment_code
    END AS order__payment_method,
    o.currency_code AS order__metadata__currency,
    -- 3 Shipped, 5 Complete, 9 Canceled Reversal, 15 Processed. A status of your own is passed on as it is, and quarantined.
    CASE WHEN o.order_status_id IN (3, 5, 9, 15) THEN 1 ELSE o.order_status_id + 1000 END AS fulfilled,
    o.date_added AS issued_at,
    settled.settled_at AS resolved_at,
    o.date_modified AS updated_at
FROM oc_order o
LEFT JOIN (
    SELECT
        t.order_id,
        SUM(CASE WHEN t.code = 'shipping' THEN t.value END) AS shipping,
        SUM(CASE WHEN t.code IN ('voucher', 'credit') THEN t.value END) AS paid,
        SUM(CASE WHEN t.code IN ('coupon', 'reward') THEN t.value END) AS discount
    FROM oc_order_total t
    GROUP BY t.order_id
) totals ON totals.order_id = o.order_id
LEFT JOIN (
    -- Not date_modified, which any later edit moves.
    SELECT h.order_id, MIN(h.date_added) AS settled_at
    FROM oc_order_history h
    WHERE h.order_status_id IN (3, 5, 9, 15)
    GROUP BY h.order_id
) settled ON settled.order_id = o.order_id
-- 0 never ordered, 1 Pending, 2 Processing, 7 Canceled, 8 Denied, 10 Failed, 11 Refunded, 12 Reversed, 13 Chargeback, 14 Expired, 16 Voided
WHERE o.order_status_id NOT IN (0, 1, 2, 7, 8, 10, 11, 12, 13, 14, 16)
