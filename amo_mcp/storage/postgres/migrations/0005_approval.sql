-- A question that is answered on a page of the server: its public name, who asked with which client, who said what to it
-- and why, and what came of a yes of which the journal has nothing.
ALTER TABLE approvals
    ADD COLUMN page text UNIQUE,
    ADD COLUMN asked_by text REFERENCES people,
    ADD COLUMN client text,
    ADD COLUMN answer text CHECK (answer IN ('yes', 'no')),
    ADD COLUMN answered_by text REFERENCES people,
    ADD COLUMN answered_at double precision,
    ADD COLUMN comment text,
    ADD COLUMN outcome text;

-- What a yes was used for.
CREATE INDEX changes_approval ON changes (approval) WHERE approval IS NOT NULL;
