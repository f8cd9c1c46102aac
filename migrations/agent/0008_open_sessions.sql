-- The sessions that are open are few among all that are kept: they are found without looking at the others. A link for
-- many may have thousands that have ended, and each opening looks.

CREATE INDEX open_sessions_by_token ON sessions (token_id) WHERE open > 0;
