-- Domains that come, or have come lately, from elsewhere: their definitions are given this host's ports once they are there.

CREATE TABLE arrivals (
    domain TEXT    NOT NULL PRIMARY KEY,
    since  INTEGER NOT NULL             -- the last sign of it
) STRICT, WITHOUT ROWID;
