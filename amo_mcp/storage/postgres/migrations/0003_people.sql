-- Who is known, and with which role. Whoever was removed stays here, so that what they did stays in their name.
CREATE TABLE people (
    id text PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'editor', 'approver', 'admin')),
    made double precision NOT NULL,
    removed double precision
);
CREATE UNIQUE INDEX people_name ON people (name) WHERE removed IS NULL;

-- Personal tokens: of each only its SHA-256.
CREATE TABLE tokens (
    id text PRIMARY KEY,
    digest bytea NOT NULL,
    person text NOT NULL REFERENCES people,
    made double precision NOT NULL,
    expires double precision,
    used double precision,
    revoked double precision
);
CREATE INDEX tokens_person ON tokens (person);
