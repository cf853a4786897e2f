-- The journal: the one source of truth about every run of the workflows in one folder.
--
-- Columns that mean the same in every table: `run_no`, `step_no`, `task_no`, `outcome_no`, `call_no` and `approval_no`
-- number the rows of their tables; `i` is an item's place in the root stream, from 0; `path` a file's path in the workflow's folder;
-- `state` where a run or a step stands (core/states.py); `reason` a sentence for people; `kind` of an attempt or
-- outcome is how it failed (`exit`, `timeout`, …), null if it did not; `stderr` the last words of its command;
-- `hash` the SHA-256 of a content.
-- Times (`started_at`, `ended_at`, …) are seconds since 1970, UTC, as REAL; `elapsed_s` are seconds; money
-- (`cost_micros`) is INTEGER micro-dollars, null where it is not known.
--
-- A row of tasks, attempts and outcomes is written once and not edited but for `current`, which is 0 once a person
-- took it back: a later stage is a new row. Rows about calls are not edited, but for where an answer's body lies.
-- `PRAGMA user_version` is the version of this schema; database.py leads every earlier one to it.

-- One row a run. `run_id` is its name, which sorts by time; `workflow` the workflow's file, `name` what that calls
-- itself. `options` is JSON: what the command line asked for ({"only", "vars", "concurrency"}). `base_no` is the run
-- whose finished steps an `--only` run stands on, `superseded_by` a later run that moved its files.
CREATE TABLE runs (
  run_no        INTEGER PRIMARY KEY,
  run_id        TEXT NOT NULL UNIQUE,
  workflow      TEXT NOT NULL,
  name          TEXT NOT NULL,
  state         TEXT NOT NULL CHECK (state IN
                  ('running', 'succeeded', 'failed', 'rejected', 'waiting', 'interrupted')),
  reason        TEXT,
  options       TEXT NOT NULL,
  base_no       INTEGER REFERENCES runs (run_no),
  superseded_by INTEGER REFERENCES runs (run_no),
  started_at    REAL NOT NULL,
  ended_at      REAL
);
CREATE INDEX runs_by_workflow ON runs (workflow, run_no);

-- Who carried a run, one row a life of its process, numbered by `epoch` from 1. The newest epoch is the owner while
-- `released_at` is null. `host`, `boot`, `pid` and `pid_started` tell its process from any other that may ever be;
-- it took the run at `taken_at` and showed at `heartbeat_at` that it lives.
CREATE TABLE owners (
  run_no       INTEGER NOT NULL REFERENCES runs (run_no),
  epoch        INTEGER NOT NULL,
  host         TEXT NOT NULL,
  boot         TEXT NOT NULL,
  pid          INTEGER NOT NULL,
  pid_started  TEXT NOT NULL,
  taken_at     REAL NOT NULL,
  heartbeat_at REAL NOT NULL,
  released_at  REAL,
  PRIMARY KEY (run_no, epoch)
) WITHOUT ROWID;

-- One row a step of a run. `step_id` is its id, `position` its place in the file. `opened` is JSON about the input as
-- it was when the step began to read it; `total` the rows of its source, null until it has ended; `summary` JSON,
-- null until then.
CREATE TABLE steps (
  step_no     INTEGER PRIMARY KEY,
  run_no      INTEGER NOT NULL REFERENCES runs (run_no),
  step_id     TEXT NOT NULL,
  position    INTEGER NOT NULL,
  state       TEXT NOT NULL CHECK (state IN
                ('pending', 'running', 'waiting', 'succeeded', 'skipped', 'failed', 'rejected', 'blocked', 'cancelled')),
  reason      TEXT,
  started_at  REAL,
  ended_at    REAL,
  opened      TEXT,
  total       INTEGER,
  summary     TEXT,
  UNIQUE (run_no, step_id)
);

-- How steps ended, one row an end: a step that a person opened again ends once more, and the log keeps both.
-- `end_order` numbers the ends of a run from 1, `ended_after` is the newest outcome before it; `summary` and the others
-- are what `steps` held then.
CREATE TABLE ends (
  run_no      INTEGER NOT NULL REFERENCES runs (run_no),
  end_order   INTEGER NOT NULL,
  step_no     INTEGER NOT NULL REFERENCES steps (step_no),
  state       TEXT NOT NULL,
  reason      TEXT,
  summary     TEXT,
  ended_at    REAL NOT NULL,
  ended_after INTEGER NOT NULL,
  PRIMARY KEY (run_no, end_order)
) WITHOUT ROWID;

-- One row an item that a step took in (or the step itself, `i` = 0), written before its command starts, in the life
-- `epoch` of its run: a current task without a current outcome is in flight, or is to be begun anew if `epoch` is 0.
-- `hash` is 16 bytes of the SHA-256 of the item's text, `occurrence` counts earlier rows with the same text; `input` is
-- the text, kept where a later step reads it. A row that a person took back (`--reread`, `--failed`) is not `current`.
CREATE TABLE tasks (
  task_no    INTEGER PRIMARY KEY,
  step_no    INTEGER NOT NULL REFERENCES steps (step_no),
  i          INTEGER NOT NULL,
  hash       BLOB NOT NULL,
  occurrence INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  started_at REAL NOT NULL,
  input      BLOB,
  current    INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX tasks_by_place ON tasks (step_no, i) WHERE current = 1;
CREATE UNIQUE INDEX tasks_by_identity ON tasks (step_no, hash, occurrence) WHERE current = 1;
CREATE INDEX tasks_taken_back ON tasks (step_no) WHERE current = 0;

-- Tries that ended and were followed by another, `number` from 1. The last try of a task is told by its outcome.
CREATE TABLE attempts (
  task_no    INTEGER NOT NULL REFERENCES tasks (task_no),
  number     INTEGER NOT NULL,
  started_at REAL NOT NULL,
  elapsed_s  REAL NOT NULL,
  kind       TEXT,
  reason     TEXT,
  stderr     TEXT,
  PRIMARY KEY (task_no, number)
) WITHOUT ROWID;

-- How tasks ended, in the order of their ends. `verdict` is accepted, rejected, failed or skipped; `record` what the
-- task gave, in the `form` that core/model.py describes; `attempt` the number of its last try, 0 if none was made.
-- `fingerprint` is the cache key; `reused` the outcome that this one repeats. What its model calls came to: the `model`
-- that gave the last answer, `tokens_in` and `tokens_out`, calls `sent` and answered from the cache (`cached`); null for
-- a command. `branch` is the branch that a `route` step sent the item to, `route` JSON about the choice that a rule or a
-- model made for it: {"rule", "to", "why"}; `local`: from here on no model elsewhere may see the item.
CREATE TABLE outcomes (
  outcome_no  INTEGER PRIMARY KEY,
  task_no     INTEGER NOT NULL REFERENCES tasks (task_no),
  step_no     INTEGER NOT NULL REFERENCES steps (step_no),
  i           INTEGER NOT NULL,
  current     INTEGER NOT NULL DEFAULT 1,
  verdict     TEXT NOT NULL CHECK (verdict IN ('accepted', 'rejected', 'failed', 'skipped')),
  form        TEXT CHECK (form IN ('json', 'text', 'file')),
  record      BLOB,
  reason      TEXT,
  attempt     INTEGER NOT NULL,
  kind        TEXT,
  stderr      TEXT,
  ended_at    REAL NOT NULL,
  elapsed_s   REAL NOT NULL,
  cost_micros INTEGER,
  fingerprint BLOB,
  reused      INTEGER,
  model       TEXT,
  tokens_in   INTEGER,
  tokens_out  INTEGER,
  sent        INTEGER,
  cached      INTEGER,
  branch      TEXT,
  route       TEXT,
  local       INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX outcomes_by_place ON outcomes (step_no, i) WHERE current = 1;
CREATE INDEX outcomes_by_end ON outcomes (step_no, outcome_no);
CREATE INDEX outcomes_by_fingerprint ON outcomes (fingerprint) WHERE fingerprint IS NOT NULL;

-- One row a request to a model, written before it is sent, or once its answer was found in the cache. One without a row
-- in call_ends is in flight, or was lost with its process. `epoch` is the life of the run that it belongs to;
-- `attempt` counts a task's tries from 1, `send` the sends of one try from 1; `purpose` is `answer`; `judge` for one
-- that judges an answer, `route` for one that chooses a branch, `script` for one that a command made. `key` is the request's fingerprint, 32 bytes; `model` the workflow's name for the model,
-- `provider` whom it is asked of; `sent_at` when it was about to be sent. `task_no` is null if no task made the call.
-- `worst_tokens` and `worst_micros` are the most that it may use, null where nothing bounds that.
CREATE TABLE calls (
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
CREATE INDEX calls_by_step ON calls (step_no);
CREATE INDEX calls_by_task ON calls (task_no) WHERE task_no IS NOT NULL;

-- How calls ended, `end_no` in the order of their ends. `served` is the model that answered, by its provider's name.
-- `fault` is the class of what went wrong (core/calls.py), null for a reply; `kind` the kind of a transport fault, or
-- `lost` (its process died meanwhile), or `stopped` (it was never sent); `message` what was said; `status` is HTTP's.
-- `tokens_in` and `tokens_out` were used, `cache_read` and `cache_write` are parts of `tokens_in`; `cost_status` says
-- how well the cost is known. `cached`: answered from the cache, nothing was sent. `wait_s` passed before it was sent.
-- `exposed_tokens` and `exposed_micros` are what the server may have charged without a word (after a timeout, or when
-- its process died), null where it cannot have, or where nothing bounds it: then `cost_micros` is null too.
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
  ended_at    REAL NOT NULL,
  exposed_tokens INTEGER,
  exposed_micros INTEGER
);
CREATE INDEX call_ends_by_run ON call_ends (run_no, end_no);

-- What calls brought, raw, whatever its status: the durable copy. `key` is the call's, `status` HTTP's,
-- `headers` JSON pairs of name and value, `at` when the response came. `form` tells how `body` is kept: `raw`;
-- `zlib` if it is large; `file` if it is no longer here, but in the cache's file of that key, which was on disk first.
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

-- One row an answer that was judged: verdicts under two contracts stand apart. `judgement_no` numbers them; `epoch` and
-- `attempt` are those of `call_no`, the call that gave the answer under `key`; both are null where no call gave it.
-- `contract` is the contract's SHA-256, `ok` whether it was met, `tier` the first tier that failed. `flaws` is JSON:
-- [pointer, expected, got] each, null if there are none; `mended`: it parsed only then; `score` is the judge's.
-- `signals` is JSON: {"attempts", "mended", "judge_score", "logprob"}, and in a cascade `accept_when` with what that saw;
-- null where nobody looked at them.
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
  score        REAL,
  signals      TEXT
);
CREATE INDEX judgements_by_task ON judgements (task_no);

-- What a task appends to its step's append target number `piece`: the bytes in `body`, or a `file` of the run's folder.
CREATE TABLE pieces (
  outcome_no INTEGER NOT NULL REFERENCES outcomes (outcome_no),
  piece      INTEGER NOT NULL,
  body       BLOB,
  file       TEXT,
  PRIMARY KEY (outcome_no, piece)
) WITHOUT ROWID;

-- Files in the workflow's folder that belong to a run; `file_no` numbers them, `task_no` is the task that writes it.
-- `kind` is `append` (a target of `>>`), `item` (a file of one item) or `output` (of a step without items).
-- `state`: `claimed`, a task that writes it has started; `present`, written, with `size_bytes` and `hash` as given;
-- `moved`, no longer in place: in the run's folder, under files/, or not ours any more. `foreign_bytes`: how much of
-- an append target's head is not ours.
CREATE TABLE files (
  file_no       INTEGER PRIMARY KEY,
  run_no        INTEGER NOT NULL REFERENCES runs (run_no),
  step_no       INTEGER NOT NULL REFERENCES steps (step_no),
  task_no       INTEGER REFERENCES tasks (task_no),
  path          TEXT NOT NULL,
  kind          TEXT NOT NULL CHECK (kind IN ('append', 'item', 'output')),
  state         TEXT NOT NULL CHECK (state IN ('claimed', 'present', 'moved')),
  size_bytes    INTEGER,
  hash          BLOB,
  foreign_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX files_by_path ON files (run_no, path) WHERE state <> 'moved';
CREATE INDEX files_in_place ON files (path) WHERE state <> 'moved';
CREATE INDEX files_by_task ON files (task_no) WHERE task_no IS NOT NULL;

-- Values under `outputs`, parsed once when their step ended: JSON in `value`, or a sentence in `fault`.
CREATE TABLE outputs (
  step_no INTEGER NOT NULL REFERENCES steps (step_no),
  path    TEXT NOT NULL,
  value   TEXT,
  fault   TEXT,
  PRIMARY KEY (step_no, path)
) WITHOUT ROWID;

-- How far the derived files have come: `cursor` is the next outcome or index to write, `bytes` their length.
-- A `path` that begins with `./` is one in the run's folder.
CREATE TABLE derived (
  run_no INTEGER NOT NULL REFERENCES runs (run_no),
  path   TEXT NOT NULL,
  cursor INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,
  PRIMARY KEY (run_no, path)
) WITHOUT ROWID;

-- Decisions and accidents that are not outcomes, each with its reason: `when` answers, moves of files, reuse, warnings.
-- `event_no` numbers them, `at` is when, `kind` what. `subject` is a step's id, an item's key or a path; `detail` a
-- sentence or JSON.
CREATE TABLE events (
  event_no INTEGER PRIMARY KEY,
  run_no   INTEGER NOT NULL REFERENCES runs (run_no),
  at       REAL NOT NULL,
  kind     TEXT NOT NULL,
  subject  TEXT NOT NULL,
  detail   TEXT NOT NULL
);
CREATE INDEX events_by_run ON events (run_no, event_no);

-- One row each time that a person's word was asked for, at `asked_at`. `message` is what was asked, `shown` JSON about what was shown:
-- [{"what", "sha256", "size_bytes"}], `digest` the SHA-256 over all of it, `summary` JSON: what approving would do.
-- `deadline_at` is null without one.
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

-- The one decision on what was asked: the first that is written. `via` is `person`, or `timer`: that never approves.
-- `approved` is the word; `by_whom` the name that was given, empty for a timer, `comment` what was said with it;
-- `digest` is of what was shown when it was decided, at `decided_at`.
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

-- One row a run that began with a sample of `size` rows of each root stream, drawn with `seed`. `state` is where its
-- gate stands (core/sampling.py), `report` JSON: what it found, null until it was asked; `by_whom` let the whole run
-- follow all the same, null where nobody did; `decided_at` is when.
CREATE TABLE gates (
  run_no     INTEGER PRIMARY KEY REFERENCES runs (run_no),
  size       INTEGER NOT NULL,
  seed       INTEGER NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('sampling', 'passed', 'failed', 'inconclusive', 'expanded')),
  report     TEXT,
  by_whom    TEXT,
  decided_at REAL
);

-- The rows of a sample, numbered by `draw` from 0 as they were drawn: `i` is the place of each in the root stream that
-- the step `step_id` reads. `total` is how many rows that had when it was drawn.
CREATE TABLE sampled (
  run_no  INTEGER NOT NULL REFERENCES runs (run_no),
  step_id TEXT NOT NULL,
  draw    INTEGER NOT NULL,
  i       INTEGER NOT NULL,
  total   INTEGER NOT NULL,
  PRIMARY KEY (run_no, step_id, draw)
) WITHOUT ROWID;

-- Failures that share a `signature` (rules/failures.py): `written` is how many fixtures this run made new for them,
-- `counted` how many it only counted.
CREATE TABLE signatures (
  step_no   INTEGER NOT NULL REFERENCES steps (step_no),
  signature TEXT NOT NULL,
  written   INTEGER NOT NULL,
  counted   INTEGER NOT NULL,
  PRIMARY KEY (step_no, signature)
) WITHOUT ROWID;

-- Hashes of files that steps read, so that one whose `size`, `mtime_ns` and `inode` are unchanged is read once.
CREATE TABLE file_hashes (
  path     TEXT PRIMARY KEY,
  size     INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  inode    INTEGER NOT NULL,
  hash     BLOB NOT NULL
) WITHOUT ROWID;
