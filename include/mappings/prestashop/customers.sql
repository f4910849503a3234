-- Registered customers. Guests have a row of their own for each order, and deleted customers keep theirs: both are left out, and counted.
SELECT
    c.id_customer AS id,
    TRIM(CONCAT(c.firstname, ' ', c.lastname)) AS name,
    LOWER(TRIM(c.email)) AS email,
    -- The kind of title that was chosen: 0 male, 1 female, 2 neutral.
    CASE title.type WHEN 0 THEN 'MALE' WHEN 1 THEN 'FEMALE' END AS gender,
    CASE WHEN YEAR(c.birthday) > 0 THEN c.birthday END AS dob,
    c.date_add AS registration_date,
    CASE c.active WHEN 1 THEN 'ACTIVE' WHEN 0 THEN 'INACTIVE' ELSE c.active END AS status,
    c.id_default_group AS metadata__default_group_id,
    c.newsletter AS metadata__newsletter,
    -- A balance moves with its rows of points.
    GREATEST(c.date_upd, COALESCE(points.moved_at, c.date_upd)) AS updated_at
FROM ps_customer c
LEFT JOIN ps_gender title ON title.id_gender = c.id_gender
LEFT JOIN (
    SELECT l.id_customer, MAX(l.date_upd) AS moved_at FROM ps_loyalty l GROUP BY l.id_customer
) points ON points.id_customer = c.id_customer
WHERE c.is_guest = 0 AND c.deleted = 0
