-- Which ports of this host are whose: one row for each port number, whatever the address.

CREATE TABLE ports (
    port    INTEGER NOT NULL PRIMARY KEY CHECK (port BETWEEN 1 AND 65535),
    state   TEXT    NOT NULL CHECK (state IN ('pending', 'leased', 'releasing', 'foreign')),
    domain  TEXT,                                       -- whose it is; null where something outside of libvirt holds it
    device  TEXT,                                       -- which of its devices listens there: vnc-0, serial-1, …
    adopted INTEGER NOT NULL CHECK (adopted IN (0, 1)), -- found in use by the domain, not asked for
    since   INTEGER NOT NULL,                           -- when it came to be in this state
    expires INTEGER,                                    -- when this state ends by itself
    CHECK ((domain IS NULL) = (state = 'foreign') AND (device IS NULL) = (domain IS NULL)),
    CHECK ((expires IS NULL) = (state = 'leased')),
    -- A device asks for one port; until its domain starts anew it may still listen on another one.
    UNIQUE (domain, device, adopted)
) STRICT, WITHOUT ROWID;
