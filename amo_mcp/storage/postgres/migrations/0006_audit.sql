-- What everybody did. Nobody can take anything back: not even who owns the table, unless they take the table apart.
CREATE TABLE audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at double precision NOT NULL,
    kind text NOT NULL,
    what text NOT NULL,
    outcome text NOT NULL,
    person text,
    name text NOT NULL,
    client text NOT NULL,
    subject text NOT NULL,
    approved_by text NOT NULL,
    approved_how text NOT NULL,
    touched text NOT NULL,
    comment text NOT NULL
);
CREATE INDEX audit_subject ON audit (subject, number);
CREATE INDEX audit_person ON audit (person, number);
CREATE INDEX audit_at ON audit (at);

CREATE FUNCTION audit_only_grows() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit only grows' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
