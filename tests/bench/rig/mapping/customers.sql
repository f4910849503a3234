SELECT
    m.no AS id,
    m.name AS name,
    m.email AS email,
    m.gender AS gender,
    m.born AS dob,
    m.joined_at AS registration_date,
    m.joined_at AS metrics__lifetime__from,
    m.joined_at AS metrics__lifetime__to,
    m.balance AS metrics__lifetime__spend_total,
    'ACTIVE' AS status,
    m.joined_at AS metrics__updated_at,
    m.joined_at AS updated_at
FROM member m
