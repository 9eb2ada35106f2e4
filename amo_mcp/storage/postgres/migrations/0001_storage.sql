-- Moments are Unix seconds of the database's clock.
CREATE FUNCTION unix_now() RETURNS double precision
LANGUAGE sql VOLATILE AS 'SELECT extract(epoch FROM clock_timestamp())::double precision';

CREATE TABLE plans (
    account bigint NOT NULL,
    id text NOT NULL,
    made double precision NOT NULL,
    owner text NOT NULL,
    steps text NOT NULL,
    fields text NOT NULL,
    applied boolean NOT NULL DEFAULT false,
    PRIMARY KEY (account, id)
);
CREATE INDEX plans_made ON plans (made);

-- The id of an approval is a secret, and only its SHA-256 is kept.
CREATE TABLE approvals (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    nonce text NOT NULL,
    channel text NOT NULL,
    caller text NOT NULL,
    tool text NOT NULL,
    request_digest text NOT NULL,
    change text NOT NULL,
    reader text NOT NULL,
    expires double precision NOT NULL,
    used_at double precision
);
CREATE UNIQUE INDEX approvals_nonce ON approvals (nonce) WHERE used_at IS NULL;
CREATE INDEX approvals_caller ON approvals (caller, number) WHERE used_at IS NULL;
CREATE INDEX approvals_expires ON approvals (expires);

-- amoCRM's tokens, encrypted: with which key of the ring, and what came of it.
CREATE TABLE credentials (
    owner text PRIMARY KEY,
    key_id text NOT NULL,
    ciphertext bytea NOT NULL
);

-- Whoever refreshes tokens holds the row here, so that the new ones can be committed meanwhile.
CREATE TABLE credential_locks (
    owner text PRIMARY KEY
);

-- The slots of the rate limit: the table of storage/slots.py.
CREATE TABLE slots (
    account text PRIMARY KEY,
    content text NOT NULL
);
