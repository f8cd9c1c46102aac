-- Who did what to consoles. Times are whole seconds since 1970-01-01T00:00:00Z. Nothing here is a secret.

CREATE TABLE entries (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,  -- in the order of writing; none is used twice
    at          INTEGER NOT NULL,
    event       TEXT    NOT NULL,
    caller      TEXT,                                        -- of the API
    requestor   TEXT,                                        -- for whom
    source      TEXT,
    uuid        TEXT,
    kind        TEXT,
    idx         INTEGER,
    name        TEXT,
    token       TEXT,                                        -- its public id
    session     TEXT,
    client      TEXT,                                        -- an address and port; of refusals, a network
    edge        TEXT,
    reason      TEXT,
    bytes_in    INTEGER,
    bytes_out   INTEGER,
    connections INTEGER,                                     -- of the session, after this; of a deed, that it ended
    count       INTEGER,                                     -- how many of the same this entry stands for
    first       INTEGER                                      -- when the first of them was; `at` is the last
) STRICT;

CREATE INDEX entries_by_time ON entries (at);
-- They are the ones that strangers can cause, so they make room first.
CREATE INDEX entries_of_refusals ON entries (event) WHERE event = 'refused';
