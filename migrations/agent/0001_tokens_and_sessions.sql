-- Times are whole seconds since 1970-01-01T00:00:00Z. Nothing here is a secret: tokens and binding secrets are kept as
-- SHA-256, which is enough because both have full entropy.

CREATE TABLE tokens (
    id          TEXT    NOT NULL PRIMARY KEY,           -- the claim `jti`
    hash        BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    boot_id     TEXT    NOT NULL,                       -- a reboot of the host voids the token
    source      TEXT    NOT NULL CHECK (source IN ('libvirt', 'external')),
    uuid        TEXT    NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind IN ('vnc', 'spice', 'serial', 'tcp')),
    idx         INTEGER NOT NULL CHECK (idx BETWEEN 0 AND 255),
    name        TEXT    NOT NULL,
    requestor   TEXT,
    policy      TEXT    NOT NULL CHECK (policy IN ('bound', 'once', 'reusable')),
    created     INTEGER NOT NULL,
    redeem_by   INTEGER NOT NULL,
    expires     INTEGER NOT NULL,                       -- brought forward by the first use of a bound token
    uses        INTEGER NOT NULL DEFAULT 0 CHECK (uses >= 0),
    first_used  INTEGER,
    bind_hash   BLOB    CHECK (bind_hash IS NULL OR length(bind_hash) = 32),
    revoked     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_expiry ON tokens (expires);

CREATE TABLE sessions (
    id             TEXT    NOT NULL PRIMARY KEY,
    token_id       TEXT    NOT NULL REFERENCES tokens (id),
    source         TEXT    NOT NULL,
    uuid           TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    idx            INTEGER NOT NULL,
    name           TEXT    NOT NULL,
    requestor      TEXT,
    client_address TEXT    NOT NULL,                    -- of the latest connection, as the edge sees it
    edge           TEXT    NOT NULL,
    edge_instance  TEXT    NOT NULL,
    started        INTEGER NOT NULL,
    open           INTEGER NOT NULL CHECK (open >= 0),  -- connections that have not ended
    connections    INTEGER NOT NULL,                    -- connections that it ever had
    bytes_in       INTEGER NOT NULL DEFAULT 0,
    bytes_out      INTEGER NOT NULL DEFAULT 0,
    ended          INTEGER,
    reason         TEXT,
    CHECK ((open = 0) = (ended IS NOT NULL) AND (ended IS NULL) = (reason IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_token ON sessions (token_id, started);
CREATE INDEX sessions_by_end ON sessions (ended);
