-- Users who are customers by their role, or hold points, or have ordered. Guests have no user, so they are none.
SELECT
    u.ID AS id,
    COALESCE(
        NULLIF(TRIM(CONCAT(COALESCE(first_name.meta_value, ''), ' ', COALESCE(last_name.meta_value, ''))), ''), u.display_name
    ) AS name,
    LOWER(TRIM(u.user_email)) AS email,
    u.user_registered AS registration_date,
    country.meta_value AS country,
    -- WordPress keeps no change time; WooCommerce notes one in seconds since 1970, and a balance moves with its log.
    GREATEST(
        u.user_registered,
        COALESCE(
            DATE_ADD(CAST('1970-01-01' AS DATETIME), INTERVAL CAST(saved.meta_value AS UNSIGNED) SECOND), u.user_registered
        ),
        COALESCE(log.moved_at, u.user_registered)
    ) AS updated_at
FROM wp_users u
LEFT JOIN wp_usermeta first_name ON first_name.user_id = u.ID AND first_name.meta_key = 'first_name'
LEFT JOIN wp_usermeta last_name ON last_name.user_id = u.ID AND last_name.meta_key = 'last_name'
LEFT JOIN wp_usermeta country ON country.user_id = u.ID AND country.meta_key = 'billing_country'
LEFT JOIN wp_usermeta saved ON saved.user_id = u.ID AND saved.meta_key = 'last_update'
LEFT JOIN wp_usermeta roles ON roles.user_id = u.ID AND roles.meta_key = 'wp_capabilities'
LEFT JOIN (
    SELECT user_id, MAX(date) AS moved_at FROM wp_wc_points_rewards_user_points_log GROUP BY user_id
) log ON log.user_id = u.ID
WHERE
    roles.meta_value LIKE '%"customer"%'
    OR log.user_id IS NOT NULL
    OR EXISTS (SELECT 1 FROM wp_wc_orders o WHERE o.customer_id = u.ID)
