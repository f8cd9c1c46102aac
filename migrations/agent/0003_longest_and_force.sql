-- What else a token allows, and why one that is void is void. A row of an earlier release allows what all did then.

ALTER TABLE tokens ADD COLUMN force INTEGER NOT NULL DEFAULT 0 CHECK (force IN (0, 1));
ALTER TABLE tokens ADD COLUMN longest INTEGER CHECK (longest > 0);  -- seconds that a session may last
ALTER TABLE tokens ADD COLUMN void_reason TEXT;                     -- with `revoked`: what a later use is told
ALTER TABLE tokens ADD COLUMN number INTEGER NOT NULL DEFAULT 0;    -- later ones have greater ones: times count whole seconds

-- For the end of a domain: only what is not void yet is looked for.
CREATE INDEX tokens_by_console ON tokens (uuid) WHERE revoked IS NULL;
