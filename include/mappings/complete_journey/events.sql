-- Baskets, as purchases. A receipt has no total of its own: it is what its lines come to.
SELECT
    r.household_id AS customer_id,
    r.basket_id AS order__purchase_id,
    'PURCHASE' AS type,
    'complete-journey' AS brand_id,
    'store' AS channel_id,
    r.store_no AS store_id,
    r.store_no AS order__store_id,
    (
        SELECT SUM(l.sales_cents + l.retail_disc_cents + l.match_disc_cents)
        FROM pos_receipt_line l
        WHERE l.basket_id = r.basket_id
    ) / 100.0 AS order__value,
    -- Below zero in 19 baskets, whose coupons were worth more than what they were for.
    (
        SELECT SUM(l.sales_cents - l.coupon_disc_cents)
        FROM pos_receipt_line l
        WHERE l.basket_id = r.basket_id
    ) / 100.0 AS order__discounted_value,
    'OTHER' AS order__payment_method, -- the tills did not record it
    1 AS fulfilled,
    r.sold_at AS issued_at,
    r.sold_at AS resolved_at,
    r.sold_at AS updated_at
FROM pos_receipt r
