-- Changes. One that is running belongs to whoever holds its lease, under its latest epoch.
CREATE TABLE changes (
    number bigint GENERATED ALWAYS AS IDENTITY,
    account bigint NOT NULL,
    id text NOT NULL,
    at double precision NOT NULL,
    tool text NOT NULL,
    status text NOT NULL,
    undoes text,
    plan text,
    noted double precision NOT NULL,
    noted_after bigint NOT NULL,
    -- What was agreed to, but for its steps; who asked for it; why it stopped; whether who asked was told of its end.
    request text NOT NULL,
    owner text NOT NULL,
    asked_by text,
    approval bytea,
    reason text,
    told boolean NOT NULL DEFAULT false,
    holder text NOT NULL,
    epoch integer NOT NULL DEFAULT 1,
    lease_until double precision NOT NULL,
    stop_requested boolean NOT NULL DEFAULT false,
    PRIMARY KEY (account, id)
);
CREATE UNIQUE INDEX changes_number ON changes (account, number);
CREATE INDEX changes_undoes ON changes (account, undoes) WHERE undoes IS NOT NULL;
CREATE INDEX changes_open ON changes (account, number) WHERE status IN ('running', 'interrupted');
CREATE INDEX changes_untold ON changes (account, owner) WHERE NOT told;

-- A step whole is in `record`; beside it is what is looked for. `sent_by` is the last epoch that was about to send it;
-- `late` has what came of it under a lease that was lost, each with its epoch.
CREATE TABLE steps (
    account bigint NOT NULL,
    change text NOT NULL,
    position integer NOT NULL,
    record text NOT NULL,
    kind text NOT NULL,
    outcome text NOT NULL,
    undoes integer,
    before_id bigint,
    created_id bigint,
    sent_by integer NOT NULL DEFAULT 0,
    late text NOT NULL DEFAULT '[]',
    PRIMARY KEY (account, change, position),
    FOREIGN KEY (account, change) REFERENCES changes ON DELETE CASCADE
);

-- How many changes were forgotten while they could still have been undone.
CREATE TABLE forgotten (
    account bigint PRIMARY KEY,
    undoable integer NOT NULL
);
