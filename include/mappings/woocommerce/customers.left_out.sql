-- Users who are no customers: what customers.sql does not read.
SELECT u.ID AS id, 'no customer by role, without points and without orders' AS reason
FROM wp_users u
WHERE
    NOT EXISTS (
        SELECT 1 FROM wp_usermeta roles
        WHERE roles.user_id = u.ID AND roles.meta_key = 'wp_capabilities' AND roles.meta_value LIKE '%"customer"%'
    )
    AND NOT EXISTS (SELECT 1 FROM wp_wc_points_rewards_user_points_log log WHERE log.user_id = u.ID)
    AND NOT EXISTS (SELECT 1 FROM wp_wc_orders o WHERE o.customer_id = u.ID)
