-- Orders that count as sales (`valid`, which the shop sets from the state of the order), less what was refunded of them by credit
-- slips. Taxes are included, shipping is told apart from the goods. A purchase that was sent cannot be changed.
SELECT
    o.id_customer AS customer_id,
    o.id_order AS order__purchase_id,
    'PURCHASE' AS type,
    'main' AS brand_id, -- yours is in Masivo
    'web' AS channel_id,
    o.id_shop AS store_id,
    o.id_shop AS order__store_id,
    o.total_products_wt + o.total_wrapping_tax_incl - COALESCE(slip.goods, 0) AS order__value,
    -- A voucher for free shipping is among the discounts, and takes nothing off the goods.
    o.total_products_wt + o.total_wrapping_tax_incl - o.total_discounts_tax_incl
        + CASE WHEN voucher.is_free = 1 THEN o.total_shipping_tax_incl ELSE 0 END
        - COALESCE(slip.goods, 0) AS order__discounted_value,
    o.total_shipping_tax_incl - COALESCE(slip.shipping, 0) AS order__shipping__value,
    -- A module that is not named here is passed on as it is, and quarantined: name yours.
    CASE o.module
        WHEN 'ps_wirepayment' THEN 'BANK_TRANSFER'
        WHEN 'bankwire' THEN 'BANK_TRANSFER'
        WHEN 'ps_cashondelivery' THEN 'CASH'
        WHEN 'cashondelivery' THEN 'CASH'
        WHEN 'ps_checkpayment' THEN 'OTHER'
        WHEN 'cheque' THEN 'OTHER'
        WHEN 'paypal' THEN 'OTHER'
        WHEN 'ps_checkout' THEN 'OTHER'
        WHEN 'free_order' THEN 'OTHER' -- nothing was left to pay
        ELSE o.module
    END AS order__payment_method,
    money.iso_code AS order__metadata__currency,
    o.reference AS order__metadata__reference,
    1 AS fulfilled,
    o.date_add AS issued_at,
    CASE WHEN YEAR(o.invoice_date) > 0 THEN o.invoice_date END AS resolved_at,
    GREATEST(o.date_upd, COALESCE(slip.changed_at, o.date_upd)) AS updated_at
FROM ps_orders o
LEFT JOIN ps_customer c ON c.id_customer = o.id_customer
LEFT JOIN ps_currency money ON money.id_currency = o.id_currency
LEFT JOIN (
    SELECT r.id_order, MAX(r.free_shipping) AS is_free FROM ps_order_cart_rule r GROUP BY r.id_order
) voucher ON voucher.id_order = o.id_order
LEFT JOIN (
    SELECT
        s.id_order,
        SUM(COALESCE(s.total_products_tax_incl, s.amount)) AS goods,
        SUM(COALESCE(s.total_shipping_tax_incl, s.shipping_cost_amount)) AS shipping,
        MAX(s.date_upd) AS changed_at
    FROM ps_order_slip s
    GROUP BY s.id_order
) slip ON slip.id_order = o.id_order
WHERE o.valid = 1 AND COALESCE(c.is_guest, 0) = 0 AND COALESCE(c.deleted, 0) = 0
