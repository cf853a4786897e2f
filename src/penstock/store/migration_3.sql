-- From version 2 to 3: the most that a call may cost, and what a call that nobody heard of again may have cost.

ALTER TABLE calls ADD COLUMN worst_tokens INTEGER;
ALTER TABLE calls ADD COLUMN worst_micros INTEGER;
ALTER TABLE call_ends ADD COLUMN exposed_tokens INTEGER;
ALTER TABLE call_ends ADD COLUMN exposed_micros INTEGER;
