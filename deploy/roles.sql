-- What the image of PostgreSQL runs when it makes the database: the server's role, which is no superuser and owns only
-- the tables that it makes, and another one for the audit.
\getenv password AMO_DATABASE_PASSWORD
CREATE ROLE amo LOGIN PASSWORD :'password';
GRANT CREATE ON SCHEMA public TO amo;
CREATE ROLE amo_auditor NOLOGIN;
