SELECT
    m.id AS id,
    m.name AS name,
    m.email AS email,
    m.joined_at AS registration_date,
    m.purchases AS metrics__lifetime__number_of_purchases,
    m.changed_at AS updated_at
FROM member m
