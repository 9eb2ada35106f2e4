-- What somebody calls a personal token of theirs.
ALTER TABLE tokens ADD COLUMN label text NOT NULL DEFAULT '';
