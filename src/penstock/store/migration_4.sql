-- From version 3 to 4: choices of rules, signals of answers, a person's decisions, samples, and calls that scripts make.
-- schema.sql explains the columns.

ALTER TABLE outcomes ADD COLUMN branch TEXT;
ALTER TABLE outcomes ADD COLUMN route TEXT;
ALTER TABLE outcomes ADD COLUMN local INTEGER NOT NULL DEFAULT 0;
ALTER TABLE judgements ADD COLUMN signals TEXT;

-- SQLite changes no CHECK in place (https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema
-- Changes").
CREATE TABLE new_calls (
  call_no  INTEGER PRIMARY KEY,
  run_no   INTEGER NOT NULL REFERENCES runs (run_no),
  step_no  INTEGER NOT NULL REFERENCES steps (step_no),
  task_no  INTEGER REFERENCES tasks (task_no),
  epoch    INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  send     INTEGER NOT NULL,
  purpose  TEXT NOT NULL CHECK (purpose IN ('answer', 'judge', 'route', 'script')),
  key      BLOB NOT NULL,
  model    TEXT NOT NULL,
  provider TEXT NOT NULL,
  sent_at  REAL NOT NULL,
  worst_tokens INTEGER,
  worst_micros INTEGER
);
INSERT INTO new_calls
SELECT call_no, run_no, step_no, task_no, epoch, attempt, send, purpose, key, model, provider, sent_at, worst_tokens,
       worst_micros
FROM calls;
DROP TABLE calls;
ALTER TABLE new_calls RENAME TO calls;
CREATE INDEX calls_by_step ON calls (step_no);
CREATE INDEX calls_by_task ON calls (task_no) WHERE task_no IS NOT NULL;

CREATE TABLE approvals (
  approval_no INTEGER PRIMARY KEY,
  run_no      INTEGER NOT NULL REFERENCES runs (run_no),
  step_no     INTEGER NOT NULL REFERENCES steps (step_no),
  message     TEXT NOT NULL,
  shown       TEXT NOT NULL,
  digest      BLOB NOT NULL,
  summary     TEXT NOT NULL,
  asked_at    REAL NOT NULL,
  deadline_at REAL
);
CREATE INDEX approvals_by_step ON approvals (step_no);

CREATE TABLE decisions (
  approval_no INTEGER PRIMARY KEY REFERENCES approvals (approval_no),
  approved    INTEGER NOT NULL,
  via         TEXT NOT NULL CHECK (via IN ('person', 'timer')),
  by_whom     TEXT NOT NULL,
  comment     TEXT,
  digest      BLOB NOT NULL,
  decided_at  REAL NOT NULL,
  CHECK (via = 'person' OR approved = 0)
);

CREATE TABLE gates (
  run_no     INTEGER PRIMARY KEY REFERENCES runs (run_no),
  size       INTEGER NOT NULL,
  seed       INTEGER NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('sampling', 'passed', 'failed', 'inconclusive', 'expanded')),
  report     TEXT,
  by_whom    TEXT,
  decided_at REAL
);

CREATE TABLE sampled (
  run_no  INTEGER NOT NULL REFERENCES runs (run_no),
  step_id TEXT NOT NULL,
  draw    INTEGER NOT NULL,
  i       INTEGER NOT NULL,
  total   INTEGER NOT NULL,
  PRIMARY KEY (run_no, step_id, draw)
) WITHOUT ROWID;
