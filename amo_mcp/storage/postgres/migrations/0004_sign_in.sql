-- Signing in with amoCRM. Of every secret only its SHA-256 is kept.
CREATE TABLE clients (
    id text PRIMARY KEY,
    document text NOT NULL,
    made double precision NOT NULL,
    used double precision
);
CREATE INDEX clients_made ON clients (made);

-- What waits for a person: for a yes on our page, then, in the browser that gave it, for amoCRM's answer.
CREATE TABLE sign_in_requests (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id bytea NOT NULL UNIQUE,
    content text NOT NULL,
    state bytea UNIQUE,
    browser bytea,
    admin text NOT NULL DEFAULT '',
    expires double precision NOT NULL
);

CREATE TABLE codes (
    digest bytea PRIMARY KEY,
    content text NOT NULL,
    expires double precision NOT NULL
);

-- One person with one client.
CREATE TABLE sign_ins (
    id text PRIMARY KEY,
    person text NOT NULL REFERENCES people,
    client_id text NOT NULL,
    client_name text NOT NULL,
    scope text NOT NULL,
    resource text NOT NULL,
    made double precision NOT NULL,
    used double precision NOT NULL,
    ended double precision
);
CREATE INDEX sign_ins_person ON sign_ins (person) WHERE ended IS NULL;

CREATE TABLE refresh_tokens (
    digest bytea PRIMARY KEY,
    sign_in text NOT NULL REFERENCES sign_ins ON DELETE CASCADE,
    rotated double precision,
    key_id text
);
CREATE INDEX refresh_tokens_sign_in ON refresh_tokens (sign_in);

-- An access token is a token of a sign-in; a personal one has none.
ALTER TABLE tokens ADD COLUMN sign_in text REFERENCES sign_ins ON DELETE CASCADE;
ALTER TABLE tokens ADD COLUMN scope text;
CREATE INDEX tokens_sign_in ON tokens (sign_in);

-- The code that makes the first admin.
CREATE TABLE bootstrap (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    digest text NOT NULL,
    used double precision
);

-- Who is signed in in a browser, by the SHA-256 of its cookie.
CREATE TABLE browsers (
    digest bytea PRIMARY KEY,
    person text NOT NULL REFERENCES people,
    expires double precision NOT NULL
);
CREATE INDEX browsers_person ON browsers (person);
CREATE INDEX browsers_expires ON browsers (expires);
