-- Odoo's models loyalty.history and loyalty.card, as its ORM creates them on PostgreSQL: Float is double precision.
CREATE TABLE loyalty_card (
  id serial PRIMARY KEY,
  partner_id integer,
  code varchar NOT NULL UNIQUE,
  points double precision
);
CREATE TABLE loyalty_history (
  id serial PRIMARY KEY,
  card_id integer NOT NULL REFERENCES loyalty_card ON DELETE CASCADE,
  order_id integer,
  order_model varchar,
  description text NOT NULL,
  expiration_date date,
  active boolean,
  issued double precision,
  available_issued_points double precision,
  used double precision,
  create_date timestamp,
  write_date timestamp
);
