-- Which life of its guest a token was made in, so that one that ended unseen ends it afterwards. Rows of an earlier release
-- do not say, and stay as they are.

ALTER TABLE tokens ADD COLUMN life INTEGER;         -- libvirt's number of the running domain, which each start makes anew
ALTER TABLE tokens ADD COLUMN life_worked INTEGER;  -- milliseconds of processor time that it had used by then
