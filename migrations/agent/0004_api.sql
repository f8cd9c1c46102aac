-- Who may call the API over the network. Tokens are kept as SHA-256, as those of consoles are.

CREATE TABLE api_tokens (
    id         TEXT    NOT NULL PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    name       TEXT    NOT NULL,                        -- who uses it: not unique, so that one can replace another
    role       TEXT    NOT NULL CHECK (role IN ('admin', 'operator', 'minter')),
    created    INTEGER NOT NULL,
    created_by TEXT    NOT NULL,                        -- uid:…, certificate:… or token:…
    expires    INTEGER,
    last_used  INTEGER                                  -- give or take ten minutes
) STRICT, WITHOUT ROWID;

-- Which caller of the API had the token made, as in `created_by`; null in rows of earlier releases. What a minter sees
-- and ends is what stands here.
ALTER TABLE tokens ADD COLUMN minted_by TEXT;
