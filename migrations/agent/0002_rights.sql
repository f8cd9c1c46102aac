-- What a token's holder may do, decided when it is made.

ALTER TABLE tokens ADD COLUMN read_only INTEGER NOT NULL DEFAULT 0 CHECK (read_only IN (0, 1));
-- Seconds without input after which a session ends; null for never.
ALTER TABLE tokens ADD COLUMN idle INTEGER CHECK (idle IS NULL OR idle > 0);
