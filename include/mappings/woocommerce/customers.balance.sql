-- What is left of each award of points, and when the daily job would take it: the award's date and the shop's own setting.
-- Where points were taken back after they had been spent, an award stands below zero: the customer's awards become one line.
SELECT
    award.user_id AS customer_id,
    MIN(award.id) AS position,
    '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1d01' AS reward_id, -- points: yours is in Masivo
    SUM(award.points_balance) AS amount,
    MIN(award.date) AS issued_at,
    -- One line for several awards lives as long as the longest of them.
    CASE
        WHEN COUNT(CASE WHEN award.points_balance > 0 AND award.expires_at IS NULL THEN 1 END) = 0
            THEN MAX(CASE WHEN award.points_balance > 0 THEN award.expires_at END)
    END AS expiration_date,
    'main' AS brand_id -- yours is in Masivo
FROM (
    SELECT
        p.id,
        p.user_id,
        p.points_balance,
        p.date,
        CASE
            WHEN EXISTS (
                SELECT 1
                FROM wp_wc_points_rewards_user_points below
                WHERE below.user_id = p.user_id AND below.points_balance < 0
            ) THEN 0
            ELSE p.id
        END AS line,
        CASE
            WHEN p.date < CAST(NULLIF(since.option_value, '') AS DATETIME) THEN NULL
            WHEN period.option_value LIKE '%:DAY'
                THEN DATE_ADD(p.date, INTERVAL SUBSTRING_INDEX(period.option_value, ':', 1) DAY)
            WHEN period.option_value LIKE '%:WEEK'
                THEN DATE_ADD(p.date, INTERVAL SUBSTRING_INDEX(period.option_value, ':', 1) WEEK)
            WHEN period.option_value LIKE '%:MONTH'
                THEN DATE_ADD(p.date, INTERVAL SUBSTRING_INDEX(period.option_value, ':', 1) MONTH)
            WHEN period.option_value LIKE '%:YEAR'
                THEN DATE_ADD(p.date, INTERVAL SUBSTRING_INDEX(period.option_value, ':', 1) YEAR)
        END AS expires_at
    FROM wp_wc_points_rewards_user_points p
    LEFT JOIN wp_options period ON period.option_name = 'wc_points_rewards_points_expiry'
    LEFT JOIN wp_options since ON since.option_name = 'wc_points_rewards_points_expire_points_since'
    WHERE p.points_balance <> 0
) award
GROUP BY award.user_id, award.line
HAVING SUM(award.points_balance) <> 0
