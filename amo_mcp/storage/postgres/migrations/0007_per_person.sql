-- With whose tokens of amoCRM a change is carried out, also when another replica takes it over.
ALTER TABLE changes ADD COLUMN person text;

-- When their person has signed in for them; a refresh does not count.
ALTER TABLE credentials ADD COLUMN made double precision NOT NULL DEFAULT unix_now();

-- Which account is at the address that a server is for, as whoever signed in last was told.
CREATE TABLE accounts (
    host text PRIMARY KEY,
    id bigint NOT NULL
);

-- When the people are to be compared with the users of amoCRM next.
CREATE TABLE comparisons (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    due double precision NOT NULL
);
