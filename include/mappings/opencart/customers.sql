-- Registered customers. Deleted ones are gone from the table, guests were never in it.
-- No updated_at: OpenCart keeps no change time here. Runs read them all, and content hashes tell what changed.
SELECT
    c.customer_id AS id,
    -- Forms are stored with HTML's entities: O&quot;Neill & Sons is &amp; there.
    REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(
        TRIM(CONCAT(c.firstname, ' ', c.lastname)),
        '&quot;', '"'), '&#039;', ''''), '&lt;', '<'), '&gt;', '>'), '&amp;', '&') AS name,
    LOWER(TRIM(c.email)) AS email,
    c.date_added AS registration_date,
    CASE c.status WHEN 1 THEN 'ACTIVE' WHEN 0 THEN 'INACTIVE' ELSE c.status END AS status,
    c.customer_group_id AS metadata__customer_group_id,
    c.newsletter AS metadata__newsletter
FROM oc_customer c
