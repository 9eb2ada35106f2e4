-- Gives the audit to a role that the server does not have, so that the server can add to it and read it, and no more.
-- A superuser runs this once the tables are there; again, it changes nothing.
ALTER TABLE audit OWNER TO amo_auditor;
ALTER FUNCTION audit_only_grows() OWNER TO amo_auditor;
GRANT SELECT, INSERT ON audit TO amo;
