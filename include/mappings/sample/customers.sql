-- Members of the club, as customers.
-- A code outside the lists is passed on as it is, so that the row is quarantined and not guessed at.
SELECT
    m.member_no AS id,
    -- REPLACE, because no other way to join texts is the same in every database.
    TRIM(REPLACE(REPLACE('{first} {last}', '{first}', m.first_name), '{last}', m.last_name)) AS name,
    -- Masivo compares addresses as they are written; the club's cashiers typed them in any case.
    LOWER(TRIM(c.contact_value)) AS email,
    CASE m.gender_code
        WHEN 0 THEN NULL -- not asked
        WHEN 1 THEN 'MALE'
        WHEN 2 THEN 'FEMALE'
        ELSE TRIM(CAST(m.gender_code AS CHAR(6)))
    END AS gender,
    m.birth_date AS dob,
    m.joined_at AS registration_date,
    m.club_since AS metrics__lifetime__from,
    m.changed_at AS metrics__lifetime__to,
    CASE m.tier_code
        WHEN 'BRO' THEN '5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c01'
        WHEN 'SIL' THEN '5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c02'
        WHEN 'GOL' THEN '5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c03'
        WHEN 'PLA' THEN '5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c04'
        ELSE m.tier_code
    END AS metrics__lifetime__tier_id,
    m.last_visit_at AS metrics__lifetime__last_visit,
    m.spend_cents / 100.0 AS metrics__lifetime__spend_total,
    m.visit_count AS metrics__lifetime__number_of_purchases,
    m.changed_at AS metrics__updated_at,
    CASE m.status WHEN 'A' THEN 'ACTIVE' WHEN 'I' THEN 'INACTIVE' ELSE m.status END AS status,
    m.extra_json AS metadata,
    m.changed_at AS updated_at
FROM member m
LEFT JOIN member_contact c ON c.member_no = m.member_no AND c.kind = 'E' AND c.is_primary = 1
