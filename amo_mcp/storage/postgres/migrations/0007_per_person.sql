-- With whose tokens of amoCRM a change is carried out, also when another replica takes it over.
ALTER TABLE changes ADD COLUMN person text;

-- Which account is at the address that a server is for, as whoever signed in last was told.
CREATE TABLE accounts (
    host text PRIMARY KEY,
    id bigint NOT NULL
);
