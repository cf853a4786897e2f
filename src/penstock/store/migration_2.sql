-- From version 1 to 2: what is asked of models, what comes of it, and how it is judged. schema.sql explains the columns.

CREATE TABLE calls (
  call_no  INTEGER PRIMARY KEY,
  run_no   INTEGER NOT NULL REFERENCES runs (run_no),
  step_no  INTEGER NOT NULL REFERENCES steps (step_no),
  task_no  INTEGER REFERENCES tasks (task_no),
  epoch    INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  send     INTEGER NOT NULL,
  purpose  TEXT NOT NULL CHECK (purpose IN ('answer', 'judge')),
  key      BLOB NOT NULL,
  model    TEXT NOT NULL,
  provider TEXT NOT NULL,
  sent_at  REAL NOT NULL
);
CREATE INDEX calls_by_step ON calls (step_no);
CREATE INDEX calls_by_task ON calls (task_no) WHERE task_no IS NOT NULL;

CREATE TABLE call_ends (
  end_no      INTEGER PRIMARY KEY,
  call_no     INTEGER NOT NULL UNIQUE REFERENCES calls (call_no),
  run_no      INTEGER NOT NULL REFERENCES runs (run_no),
  served      TEXT,
  fault       TEXT,
  kind        TEXT,
  message     TEXT,
  status      INTEGER,
  tokens_in   INTEGER,
  tokens_out  INTEGER,
  cache_read  INTEGER,
  cache_write INTEGER,
  cost_micros INTEGER,
  cost_status TEXT NOT NULL CHECK (cost_status IN ('exact', 'estimated', 'unknown')),
  cached      INTEGER NOT NULL,
  wait_s      REAL,
  elapsed_s   REAL,
  ended_at    REAL NOT NULL
);
CREATE INDEX call_ends_by_run ON call_ends (run_no, end_no);

CREATE TABLE answers (
  call_no   INTEGER PRIMARY KEY REFERENCES calls (call_no),
  key       BLOB NOT NULL,
  status    INTEGER NOT NULL,
  headers   TEXT NOT NULL,
  form      TEXT NOT NULL CHECK (form IN ('raw', 'zlib', 'file')),
  body      BLOB,
  at        REAL NOT NULL,
  elapsed_s REAL NOT NULL
);
CREATE INDEX answers_by_key ON answers (key);

CREATE TABLE judgements (
  judgement_no INTEGER PRIMARY KEY,
  task_no      INTEGER NOT NULL REFERENCES tasks (task_no),
  epoch        INTEGER NOT NULL,
  attempt      INTEGER NOT NULL,
  call_no      INTEGER REFERENCES calls (call_no),
  key          BLOB,
  contract     BLOB NOT NULL,
  ok           INTEGER NOT NULL,
  tier         TEXT,
  flaws        TEXT,
  mended       INTEGER NOT NULL,
  score        REAL
);
CREATE INDEX judgements_by_task ON judgements (task_no);

ALTER TABLE outcomes ADD COLUMN model TEXT;
ALTER TABLE outcomes ADD COLUMN tokens_in INTEGER;
ALTER TABLE outcomes ADD COLUMN tokens_out INTEGER;
ALTER TABLE outcomes ADD COLUMN sent INTEGER;
ALTER TABLE outcomes ADD COLUMN cached INTEGER;
