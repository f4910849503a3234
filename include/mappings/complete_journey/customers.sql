-- Households, as customers. They have neither name nor address: both are made up, under a domain that no mail reaches.
-- No metrics: Masivo works them out from the purchases.
SELECT
    h.household_id AS id,
    REPLACE('Household {id}', '{id}', CAST(h.household_id AS CHAR(10))) AS name,
    REPLACE('household-{id}@complete-journey.invalid', '{id}', CAST(h.household_id AS CHAR(10))) AS email,
    h.enrolled_at AS registration_date,
    h.age_band AS metadata__age_band,
    h.income_band AS metadata__income_band,
    h.home_ownership AS metadata__home_ownership,
    h.marital_status AS metadata__marital_status,
    h.household_size AS metadata__household_size,
    h.household_comp AS metadata__household_comp,
    h.kids_count AS metadata__kids_count,
    h.changed_at AS updated_at
FROM household h
