-- Every statement that Penstock sends to its journal, by name. `store/database.py` reads this file.

-- == runs ==

-- name: insert_run
INSERT INTO runs (run_id, workflow, name, state, options, base_no, started_at)
VALUES (:run_id, :workflow, :name, 'running', :options, :base_no, :now);

-- name: set_run_state
UPDATE runs SET state = :state, reason = :reason, ended_at = :ended_at WHERE run_no = :run_no;

-- name: set_run_options
UPDATE runs SET options = :options WHERE run_no = :run_no;

-- name: supersede_runs
UPDATE runs SET superseded_by = :run_no
WHERE workflow = :workflow AND run_no < :run_no AND superseded_by IS NULL
  AND state IN ('running', 'waiting', 'interrupted');

-- name: run_by_id
SELECT * FROM runs WHERE run_id = :run_id;

-- name: run_by_no
SELECT * FROM runs WHERE run_no = :run_no;

-- name: runs_newest_first
SELECT * FROM runs ORDER BY run_no DESC LIMIT :most;

-- name: newest_run_of
SELECT * FROM runs WHERE workflow = :workflow AND run_no < :before ORDER BY run_no DESC LIMIT 1;

-- name: newest_run_id
SELECT run_id FROM runs ORDER BY run_id DESC LIMIT 1;

-- == owners ==

-- name: take_run
INSERT INTO owners (run_no, epoch, host, boot, pid, pid_started, taken_at, heartbeat_at)
VALUES (:run_no, (SELECT coalesce(max(epoch), 0) + 1 FROM owners WHERE run_no = :run_no),
        :host, :boot, :pid, :pid_started, :now, :now);

-- name: owner_of
SELECT * FROM owners WHERE run_no = :run_no ORDER BY epoch DESC LIMIT 1;

-- name: owned_runs
SELECT o.*, r.run_id FROM runs r JOIN owners o ON o.run_no = r.run_no
WHERE r.state = 'running' AND r.superseded_by IS NULL
  AND o.epoch = (SELECT max(epoch) FROM owners WHERE run_no = r.run_no)
ORDER BY r.run_no;

-- name: beat
UPDATE owners SET heartbeat_at = :now WHERE run_no = :run_no AND epoch = :epoch;

-- name: release_run
UPDATE owners SET released_at = :now WHERE run_no = :run_no AND epoch = :epoch;

-- == steps ==

-- name: insert_step
INSERT INTO steps (run_no, step_id, position, state) VALUES (:run_no, :step_id, :position, 'pending');

-- name: steps_of
SELECT * FROM steps WHERE run_no = :run_no ORDER BY position;

-- name: step_by_no
SELECT * FROM steps WHERE step_no = ?;

-- name: open_step
UPDATE steps SET state = 'running', started_at = :now, opened = :opened WHERE step_no = :step_no;

-- name: newest_state_of_step
SELECT s.state FROM steps s JOIN runs r ON r.run_no = s.run_no
WHERE r.workflow = :workflow AND s.step_id = :step_id ORDER BY r.run_no DESC LIMIT 1;

-- name: end_step
UPDATE steps SET state = :state, reason = :reason, ended_at = :now, summary = :summary, total = :total
WHERE step_no = :step_no;

-- name: insert_end
INSERT INTO ends (run_no, end_order, step_no, state, reason, summary, ended_at, ended_after)
SELECT run_no, (SELECT coalesce(max(end_order), 0) + 1 FROM ends WHERE ends.run_no = steps.run_no),
       step_no, state, reason, summary, ended_at, (SELECT coalesce(max(outcome_no), 0) FROM outcomes)
FROM steps WHERE step_no = :step_no;

-- name: steps_ended
SELECT e.*, s.step_id FROM ends e JOIN steps s ON s.step_no = e.step_no
WHERE e.run_no = :run_no AND e.end_order > :after ORDER BY e.end_order;

-- name: verdict_counts
SELECT verdict, count(*) AS count FROM outcomes WHERE step_no = :step_no AND current = 1 GROUP BY verdict;

-- name: reused_count
SELECT count(*) FROM outcomes WHERE step_no = :step_no AND current = 1 AND (reused IS NOT NULL OR (cached > 0 AND sent = 0));

-- name: latency_at
SELECT elapsed_s FROM outcomes WHERE step_no = :step_no AND current = 1 AND verdict <> 'skipped'
ORDER BY elapsed_s LIMIT 1 OFFSET :offset;

-- == tasks ==

-- name: insert_task
INSERT INTO tasks (step_no, i, hash, occurrence, epoch, started_at, input)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: task_at
SELECT t.task_no, t.hash, t.occurrence, t.epoch, o.outcome_no, o.verdict,
       (SELECT count(*) FROM attempts a WHERE a.task_no = t.task_no) AS spent
FROM tasks t LEFT JOIN outcomes o ON o.step_no = t.step_no AND o.i = t.i AND o.current = 1
WHERE t.step_no = ? AND t.i = ? AND t.current = 1;

-- name: occurrences
SELECT coalesce(max(occurrence), -1) + 1 FROM tasks WHERE step_no = ? AND hash = ? AND current = 1;

-- name: task_input
SELECT input FROM tasks WHERE step_no = ? AND i = ? AND current = 1;

-- name: tasks_taken
SELECT count(*) FROM tasks WHERE step_no = ? AND current = 1;

-- name: first_task
SELECT hash FROM tasks WHERE step_no = ? AND current = 1 ORDER BY i LIMIT 1;

-- name: tasks_in_flight
SELECT s.step_id, s.step_no, t.task_no, t.i, t.hash, t.occurrence, t.started_at
FROM steps s JOIN tasks t ON t.step_no = s.step_no AND t.current = 1
LEFT JOIN outcomes o ON o.step_no = t.step_no AND o.i = t.i AND o.current = 1
WHERE s.run_no = :run_no AND s.state IN ('running', 'waiting') AND o.outcome_no IS NULL AND t.epoch > 0
ORDER BY s.position, t.i;

-- name: begin_task
UPDATE tasks SET epoch = ?, started_at = ? WHERE task_no = ?;

-- name: insert_attempt
INSERT OR REPLACE INTO attempts (task_no, number, started_at, elapsed_s, kind, reason, stderr)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: attempts_before
SELECT * FROM attempts WHERE task_no = ? AND number < ? ORDER BY number;

-- == outcomes ==

-- name: insert_outcome
INSERT INTO outcomes (task_no, step_no, i, verdict, form, record, reason, attempt, kind, stderr,
                      ended_at, elapsed_s, cost_micros, fingerprint, reused, model, tokens_in, tokens_out, sent, cached,
                      branch, route, local)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_piece
INSERT INTO pieces (outcome_no, piece, body, file) VALUES (?, ?, ?, ?);

-- name: pieces_of
SELECT piece, body, file FROM pieces WHERE outcome_no = ? ORDER BY piece;

-- name: outcome_at
SELECT * FROM outcomes WHERE step_no = ? AND i = ? AND current = 1;

-- name: reusable
SELECT o.*, r.run_id FROM outcomes o
JOIN steps s ON s.step_no = o.step_no JOIN runs r ON r.run_no = s.run_no
WHERE o.fingerprint = :fingerprint AND o.verdict IN ('accepted', 'rejected')
ORDER BY o.outcome_no DESC LIMIT 1;

-- name: records_by_end
SELECT o.outcome_no, o.i, o.verdict, o.branch, o.form, o.record, o.reason, o.attempt, o.kind, t.input, t.hash,
       t.occurrence
FROM outcomes o JOIN tasks t ON t.task_no = o.task_no
WHERE o.step_no = :step_no AND o.outcome_no > :after AND o.current = 1
ORDER BY o.outcome_no LIMIT :most;

-- name: records_in_order
SELECT o.outcome_no, o.i, o.verdict, o.form, o.record, t.hash, t.occurrence
FROM outcomes o JOIN tasks t ON t.task_no = o.task_no
WHERE o.step_no = :step_no AND o.i >= :from AND o.current = 1
ORDER BY o.i LIMIT :most;

-- `branch` lies behind `record` in a row, so that it is only looked at where somebody asks.
-- name: stream_in_order
SELECT u.i, u.verdict AS above, CASE WHEN :to IS NULL THEN 1 ELSE u.branch IS :to END AS routed,
       o.outcome_no, o.verdict, o.form, o.record, t.hash, t.occurrence
FROM outcomes u
LEFT JOIN outcomes o ON o.step_no = :step_no AND o.i = u.i AND o.current = 1
LEFT JOIN tasks t ON t.task_no = o.task_no
WHERE u.step_no = :above_no AND u.i >= :from AND u.i < :until AND u.current = 1
ORDER BY u.i LIMIT :most;

-- name: outcomes_after
SELECT o.*, s.step_id, t.hash, t.occurrence
FROM outcomes o JOIN steps s ON s.step_no = o.step_no JOIN tasks t ON t.task_no = o.task_no
WHERE s.run_no = :run_no AND o.outcome_no > :after
ORDER BY o.outcome_no LIMIT :most;

-- name: single_outcome_then
SELECT o.* FROM outcomes o JOIN tasks t ON t.task_no = o.task_no
WHERE o.step_no = ? AND t.hash = ? AND o.outcome_no <= ? ORDER BY o.outcome_no DESC LIMIT 1;

-- == branches ==

-- name: first_branch
SELECT branch FROM outcomes WHERE step_no = :step_no AND current = 1 AND verdict = 'accepted' LIMIT 1;

-- name: branch_counts
SELECT branch, count(*) AS count FROM outcomes
WHERE step_no = :step_no AND current = 1 AND branch IS NOT NULL GROUP BY branch;

-- name: kept_local
SELECT 1 FROM outcomes WHERE step_no = ? AND i = ? AND current = 1 AND local = 1;

-- == calls of models ==

-- name: last_call
SELECT coalesce(max(call_no), 0) FROM calls;

-- name: insert_call
INSERT INTO calls (call_no, run_no, step_no, task_no, epoch, attempt, send, purpose, key, model, provider, sent_at,
                   worst_tokens, worst_micros)
VALUES (?, ?, (SELECT step_no FROM tasks WHERE task_no = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_call_end
INSERT INTO call_ends (call_no, run_no, served, fault, kind, message, status, tokens_in, tokens_out, cache_read,
                       cache_write, cost_micros, cost_status, cached, wait_s, elapsed_s, ended_at, exposed_tokens,
                       exposed_micros)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_answer
INSERT INTO answers (call_no, key, status, headers, form, body, at, elapsed_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_judgement
INSERT INTO judgements (task_no, epoch, attempt, call_no, key, contract, ok, tier, flaws, mended, score, signals)
VALUES (?, ?, ?,
        (SELECT call_no FROM calls WHERE task_no = ? AND attempt = ? AND key = ? ORDER BY call_no DESC LIMIT 1),
        ?, ?, ?, ?, ?, ?, ?, ?);

-- name: calls_in_flight
SELECT c.*, s.step_id, t.i, t.hash, t.occurrence
FROM steps s JOIN calls c ON c.step_no = s.step_no
LEFT JOIN call_ends e ON e.call_no = c.call_no LEFT JOIN tasks t ON t.task_no = c.task_no
WHERE s.run_no = :run_no AND e.end_no IS NULL
ORDER BY c.call_no;

-- name: calls_after
SELECT e.*, c.task_no, c.key, c.attempt, c.send, c.purpose, c.model, c.provider, s.step_id, t.i, t.hash, t.occurrence
FROM call_ends e JOIN calls c ON c.call_no = e.call_no JOIN steps s ON s.step_no = c.step_no
LEFT JOIN tasks t ON t.task_no = c.task_no
WHERE e.run_no = :run_no AND e.end_no > :after
ORDER BY e.end_no LIMIT :most;

-- name: spent_on_run
SELECT count(*) AS calls, coalesce(sum(cost_micros), 0) AS known_micros,
       coalesce(sum(cost_micros IS NULL), 0) AS unknown, coalesce(sum(cost_status = 'estimated'), 0) AS estimated,
       coalesce(sum(tokens_in), 0) AS tokens_in, coalesce(sum(tokens_out), 0) AS tokens_out
FROM call_ends WHERE run_no = ? AND cached = 0;

-- name: spent_on_step
SELECT count(*) AS calls, coalesce(sum(cost_micros), 0) AS known_micros,
       coalesce(sum(cost_micros IS NULL), 0) AS unknown, coalesce(sum(cost_status = 'estimated'), 0) AS estimated,
       coalesce(sum(tokens_in), 0) AS tokens_in, coalesce(sum(tokens_out), 0) AS tokens_out
FROM calls c JOIN call_ends e ON e.call_no = c.call_no WHERE c.step_no = ? AND e.cached = 0;

-- name: used_by_steps
-- What a budget holds of a run's earlier lives: by step, and for nothing that was answered from the cache.
SELECT s.step_id, count(*) AS calls, coalesce(sum(e.tokens_in), 0) + coalesce(sum(e.tokens_out), 0) AS tokens,
       coalesce(sum(e.cost_micros), 0) AS micros, coalesce(sum(e.exposed_tokens), 0) AS exposed_tokens,
       coalesce(sum(e.exposed_micros), 0) AS exposed_micros,
       coalesce(sum(e.cost_micros IS NULL AND e.exposed_micros IS NULL), 0) AS unknown
FROM steps s JOIN calls c ON c.step_no = s.step_no JOIN call_ends e ON e.call_no = c.call_no
WHERE s.run_no = :run_no AND e.cached = 0 GROUP BY s.step_id;

-- name: exposed_on_run
-- The most that may have been billed without a word: for calls in flight, and for those that were never heard of again.
SELECT count(*) AS calls, coalesce(sum(micros), 0) AS micros, coalesce(sum(micros IS NULL), 0) AS unknown
FROM (SELECT c.worst_micros AS micros FROM steps s JOIN calls c ON c.step_no = s.step_no
      LEFT JOIN call_ends e ON e.call_no = c.call_no WHERE s.run_no = :run_no AND e.end_no IS NULL
      UNION ALL
      SELECT e.exposed_micros FROM call_ends e
      WHERE e.run_no = :run_no AND e.cached = 0
        AND (e.exposed_micros IS NOT NULL OR (e.cost_micros IS NULL AND e.tokens_in IS NULL AND e.fault IS NOT NULL)));

-- name: seconds_at_work
-- How long Penstock was at work on a run; what passed while it waited for a person is none of it.
SELECT sum(max(0, coalesce(released_at, CASE WHEN :alive THEN :now ELSE heartbeat_at END) - taken_at)) AS seconds
FROM owners WHERE run_no = :run_no;

-- name: seconds_of_lives
SELECT coalesce(sum(max(0, coalesce(released_at, heartbeat_at) - taken_at)), 0) FROM owners
WHERE run_no = :run_no AND epoch < :epoch;

-- name: seconds_of_steps
-- How long each step was open in earlier lives of the run.
SELECT s.step_id, sum(max(0, coalesce(o.released_at, o.heartbeat_at) - max(o.taken_at, s.started_at))) AS seconds
FROM steps s JOIN owners o ON o.run_no = s.run_no
WHERE s.run_no = :run_no AND o.epoch < :epoch AND s.started_at IS NOT NULL GROUP BY s.step_id;

-- name: asks
SELECT 1 FROM calls WHERE step_no = ? LIMIT 1;

-- name: run_asks
SELECT 1 FROM steps s JOIN calls c ON c.step_no = s.step_no WHERE s.run_no = ? LIMIT 1;

-- name: run_asks_for_real
SELECT 1 FROM steps s JOIN calls c ON c.step_no = s.step_no WHERE s.run_no = ? AND c.provider <> 'sim' LIMIT 1;

-- Calls that told how much they used, or gave an answer, and still have no cost: their price is not known.
-- name: unpriced_models
SELECT DISTINCT c.model FROM call_ends e JOIN calls c ON c.call_no = e.call_no
WHERE e.run_no = ? AND e.cached = 0 AND e.cost_micros IS NULL AND (e.fault IS NULL OR e.tokens_in IS NOT NULL)
ORDER BY c.model;

-- name: calls_of_task
SELECT c.call_no, c.epoch, c.attempt, c.send, c.purpose, c.key, c.model, c.provider, c.sent_at,
       e.served, e.fault, e.kind, e.message, e.cost_micros, e.cost_status, e.cached,
       a.status, a.headers, a.form, a.body, a.at, a.elapsed_s,
       j.contract, j.ok, j.tier, j.flaws, j.mended, j.score
FROM calls c LEFT JOIN call_ends e ON e.call_no = c.call_no LEFT JOIN answers a ON a.call_no = c.call_no
LEFT JOIN judgements j ON j.task_no = c.task_no AND j.call_no = c.call_no
WHERE c.task_no = ? ORDER BY c.call_no, j.judgement_no;

-- == answers ==

-- name: answer_by_key
SELECT a.status, a.headers, a.form, a.body, a.at, a.elapsed_s
FROM answers a JOIN call_ends e ON e.call_no = a.call_no
WHERE a.key = ? AND a.body IS NOT NULL AND a.status = 200
  AND (e.fault IS NULL OR e.fault NOT IN ('transport', 'denied'))
ORDER BY a.call_no DESC LIMIT 1;

-- name: answer_of_run
SELECT a.status, a.headers, a.form, a.body, a.at, a.elapsed_s
FROM answers a JOIN call_ends e ON e.call_no = a.call_no
WHERE a.key = ? AND e.run_no = ? AND a.body IS NOT NULL AND a.status = 200
  AND (e.fault IS NULL OR e.fault NOT IN ('transport', 'denied'))
ORDER BY a.call_no DESC LIMIT 1;

-- name: answer_keys_after
SELECT a.key, max(a.call_no), length(a.body) AS bytes
FROM answers a JOIN call_ends e ON e.call_no = a.call_no
WHERE a.key > ? AND a.body IS NOT NULL AND a.status = 200
  AND (e.fault IS NULL OR e.fault NOT IN ('transport', 'denied'))
GROUP BY a.key ORDER BY a.key LIMIT ?;

-- name: answers_after
SELECT call_no, key, status, headers, form, body, at, elapsed_s FROM answers
WHERE call_no > ? AND body IS NOT NULL ORDER BY call_no LIMIT ?;

-- name: only_in_file
SELECT 1 FROM answers WHERE key = ? AND form = 'file' LIMIT 1;

-- name: leave_to_file
UPDATE answers SET form = 'file', body = NULL WHERE call_no = ?;

-- name: vacuum
VACUUM;

-- == files ==

-- name: claim_file
INSERT INTO files (run_no, step_no, task_no, path, kind, state, foreign_bytes)
VALUES (?, ?, ?, ?, ?, 'claimed', ?);

-- name: file_claim
SELECT file_no, step_no, task_no, state, foreign_bytes FROM files WHERE run_no = ? AND path = ? AND state <> 'moved';

-- name: file_written
UPDATE files SET state = 'present', size_bytes = ?, hash = ? WHERE run_no = ? AND path = ? AND state <> 'moved';

-- name: file_moved
UPDATE files SET state = 'moved' WHERE file_no = ?;

-- name: file_begun
UPDATE files SET state = 'claimed' WHERE file_no = ?;

-- name: files_of_task
SELECT path FROM files WHERE task_no = ? AND state <> 'moved' AND kind = 'item';

-- name: files_of_outcome
SELECT f.*, r.run_id FROM files f JOIN runs r ON r.run_no = f.run_no
WHERE f.task_no = (SELECT task_no FROM outcomes WHERE outcome_no = ?) AND f.kind IN ('item', 'output');

-- name: files_in_the_way
SELECT f.*, r.run_id, s.step_id, o.outcome_no IS NOT NULL AS ended FROM files f
JOIN runs r ON r.run_no = f.run_no JOIN steps s ON s.step_no = f.step_no
LEFT JOIN tasks t ON t.task_no = f.task_no
LEFT JOIN outcomes o ON o.step_no = t.step_no AND o.i = t.i AND o.current = 1
WHERE r.workflow = :workflow AND r.run_no < :run_no AND f.file_no > :after
  AND f.state <> 'moved' AND f.kind IN ('append', 'item')
ORDER BY f.file_no LIMIT :most;

-- name: owner_of_file
SELECT f.*, r.run_id, r.workflow FROM files f JOIN runs r ON r.run_no = f.run_no
WHERE f.path = ? AND f.state <> 'moved' ORDER BY f.file_no DESC LIMIT 1;

-- == outputs ==

-- name: insert_output
INSERT OR REPLACE INTO outputs (step_no, path, value, fault) VALUES (?, ?, ?, ?);

-- name: output_of
SELECT value, fault FROM outputs WHERE step_no = ? AND path = ?;

-- == derived files ==

-- name: derived_of
SELECT cursor, bytes FROM derived WHERE run_no = ? AND path = ?;

-- name: set_derived
INSERT INTO derived (run_no, path, cursor, bytes) VALUES (?, ?, ?, ?)
ON CONFLICT (run_no, path) DO UPDATE SET cursor = excluded.cursor, bytes = excluded.bytes;

-- == events ==

-- name: insert_event
INSERT INTO events (run_no, at, kind, subject, detail) VALUES (:run_no, :at, :kind, :subject, :detail);

-- name: when_answer
SELECT detail FROM events WHERE run_no = :run_no AND kind = 'when' AND subject = :step_id
ORDER BY event_no DESC LIMIT 1;

-- name: prices_of
SELECT detail FROM events WHERE run_no = ? AND kind = 'prices' ORDER BY event_no DESC LIMIT 1;

-- == fixtures ==

-- name: signature_counts
SELECT written, counted FROM signatures WHERE step_no = ? AND signature = ?;

-- name: set_signature
INSERT INTO signatures (step_no, signature, written, counted) VALUES (?, ?, ?, ?)
ON CONFLICT (step_no, signature) DO UPDATE SET written = excluded.written, counted = excluded.counted;

-- name: counted_failures
SELECT coalesce(sum(counted), 0) FROM signatures WHERE step_no = ?;

-- == hashes of files read ==

-- name: file_hash
SELECT size, mtime_ns, inode, hash FROM file_hashes WHERE path = ?;

-- name: set_file_hash
INSERT INTO file_hashes (path, size, mtime_ns, inode, hash) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
  inode = excluded.inode, hash = excluded.hash;

-- == what a person takes back ==

-- name: lay_aside_failed
UPDATE tasks SET current = 0 WHERE step_no = :step_no AND current = 1 AND i IN
  (SELECT i FROM outcomes WHERE step_no = :step_no AND current = 1
   AND (verdict = 'failed' OR (verdict = 'skipped' AND substr(reason, 1, length(:unread)) = :unread)));

-- name: renew_failed
INSERT INTO tasks (step_no, i, hash, occurrence, epoch, started_at, input)
SELECT t.step_no, t.i, t.hash, t.occurrence, 0, :now, t.input
FROM outcomes o JOIN tasks t ON t.task_no = o.task_no
WHERE o.step_no = :step_no AND o.current = 1
  AND (o.verdict = 'failed' OR (o.verdict = 'skipped' AND substr(o.reason, 1, length(:unread)) = :unread))
ORDER BY o.i;

-- name: take_back_failed
UPDATE outcomes SET current = 0 WHERE step_no = :step_no AND current = 1
  AND (verdict = 'failed' OR (verdict = 'skipped' AND substr(reason, 1, length(:unread)) = :unread));

-- name: take_back_tasks
UPDATE tasks SET current = 0 WHERE step_no = :step_no AND current = 1;

-- name: take_back_outcomes
UPDATE outcomes SET current = 0 WHERE step_no = :step_no AND current = 1;

-- name: take_back_below
UPDATE tasks SET current = 0 WHERE step_no = :step_no AND current = 1 AND i NOT IN
  (SELECT i FROM outcomes WHERE step_no = :above_no AND current = 1);

-- name: take_back_orphans
UPDATE outcomes SET current = 0 WHERE step_no = :step_no AND current = 1
  AND task_no IN (SELECT task_no FROM tasks WHERE step_no = :step_no AND current = 0);

-- name: take_back_outputs
DELETE FROM outputs WHERE step_no = :step_no;

-- name: reopen_step
UPDATE steps SET state = :state, reason = NULL, ended_at = NULL, summary = NULL, total = NULL,
  started_at = CASE :state WHEN 'pending' THEN NULL ELSE started_at END,
  opened = CASE :state WHEN 'pending' THEN NULL ELSE opened END
WHERE step_no = :step_no;

-- name: set_opened
UPDATE steps SET opened = :opened WHERE step_no = :step_no;

-- name: forget_derived
DELETE FROM derived WHERE run_no = :run_no AND path = :path;

-- name: failed_count
SELECT count(*) FROM outcomes WHERE step_no = :step_no AND current = 1
  AND (verdict = 'failed' OR (verdict = 'skipped' AND substr(reason, 1, length(:unread)) = :unread));

-- name: begun_count
SELECT count(*) FROM tasks t LEFT JOIN outcomes o ON o.step_no = t.step_no AND o.i = t.i AND o.current = 1
WHERE t.step_no = :step_no AND t.current = 1 AND t.epoch > 0 AND o.outcome_no IS NULL;

-- name: accepted_count
SELECT count(*) FROM outcomes WHERE step_no = :step_no AND current = 1 AND verdict IN ('accepted', 'rejected');

-- name: begin_reread
CREATE TEMP TABLE fresh (i INTEGER PRIMARY KEY, hash BLOB NOT NULL);

-- name: fresh_row
INSERT INTO fresh (i, hash) VALUES (?, ?);

-- name: find_moved
CREATE TEMP TABLE moved AS
SELECT t.i AS old_i, f.i AS new_i FROM tasks t JOIN
  (SELECT i, hash, row_number() OVER (PARTITION BY hash ORDER BY i) - 1 AS occurrence FROM fresh) f
  ON f.hash = t.hash AND f.occurrence = t.occurrence
WHERE t.step_no = :step_no AND t.current = 1;

-- name: index_moved
CREATE UNIQUE INDEX moved_by_old ON moved (old_i);

-- name: drop_unmoved_tasks
UPDATE tasks SET current = 0 WHERE step_no = :step_no AND current = 1 AND i NOT IN (SELECT old_i FROM moved);

-- name: drop_displaced_tasks
UPDATE tasks SET current = 0
WHERE step_no = :step_no AND current = 1 AND i NOT IN (SELECT old_i FROM moved WHERE old_i = new_i);

-- name: lift_tasks
UPDATE tasks SET i = -1 - (SELECT new_i FROM moved WHERE old_i = tasks.i) WHERE step_no = :step_no AND current = 1;

-- name: land_tasks
UPDATE tasks SET i = -1 - i WHERE step_no = :step_no AND current = 1;

-- name: lift_outcomes
UPDATE outcomes SET i = -1 - (SELECT new_i FROM moved WHERE old_i = outcomes.i) WHERE step_no = :step_no AND current = 1;

-- name: land_outcomes
UPDATE outcomes SET i = -1 - i WHERE step_no = :step_no AND current = 1;

-- name: end_moved
DROP TABLE moved;

-- name: end_fresh
DROP TABLE fresh;

-- name: kept_count
SELECT count(*) FROM moved;

-- name: derived_paths
SELECT DISTINCT f.path FROM files f WHERE f.run_no = :run_no AND f.step_no = :step_no AND f.kind = 'append';

-- name: files_taken_back
SELECT f.* FROM steps s JOIN tasks t ON t.step_no = s.step_no AND t.current = 0
JOIN files f ON f.task_no = t.task_no
WHERE s.run_no = :run_no AND f.state <> 'moved';

-- == what doctor asks ==

-- name: runs_unended
SELECT * FROM runs WHERE state IN ('running', 'waiting', 'interrupted') AND superseded_by IS NULL ORDER BY run_no;

-- name: tasks_without_outcome
SELECT count(*) FROM tasks t LEFT JOIN outcomes o ON o.step_no = t.step_no AND o.i = t.i AND o.current = 1
WHERE t.step_no = ? AND t.current = 1 AND o.outcome_no IS NULL;

-- name: outcomes_without_task
SELECT count(*) FROM outcomes o LEFT JOIN tasks t ON t.task_no = o.task_no
WHERE o.step_no = ? AND o.current = 1
  AND (t.task_no IS NULL OR t.current = 0 OR t.step_no <> o.step_no OR t.i <> o.i);

-- name: last_outcome
SELECT coalesce(max(o.outcome_no), 0) FROM steps s JOIN outcomes o ON o.step_no = s.step_no WHERE s.run_no = :run_no;

-- name: last_end
SELECT coalesce(max(end_order), 0) FROM ends WHERE run_no = :run_no;

-- name: last_call_end
SELECT coalesce(max(end_no), 0) FROM call_ends WHERE run_no = :run_no;

-- name: next_place
SELECT coalesce(max(i), -1) + 1 FROM outcomes WHERE step_no = ? AND current = 1;

-- name: append_targets
SELECT * FROM files WHERE run_no = :run_no AND step_no = :step_no AND kind = 'append' ORDER BY file_no;

-- name: files_recorded
SELECT file_no, path, state, size_bytes, hash FROM files
WHERE run_no = :run_no AND file_no > :after AND hash IS NOT NULL AND state <> 'claimed'
ORDER BY file_no LIMIT :most;

-- name: records_in_files
SELECT o.outcome_no, o.record FROM steps s JOIN outcomes o ON o.step_no = s.step_no
WHERE s.run_no = :run_no AND o.outcome_no > :after AND o.form = 'file' AND o.current = 1
ORDER BY o.outcome_no LIMIT :most;

-- name: calls_on_files
SELECT c.call_no, c.key FROM calls c
WHERE c.step_no = :step_no AND c.call_no > :after
  AND EXISTS (SELECT 1 FROM answers a WHERE a.key = c.key AND a.form = 'file')
  AND NOT EXISTS (SELECT 1 FROM answers a WHERE a.key = c.key AND a.body IS NOT NULL)
ORDER BY c.call_no LIMIT :most;

-- == what a plan asks ==

-- The newest of its last 20 runs in which the step sent a call that gave a reply.
-- name: step_that_asked
SELECT s.step_no FROM
  (SELECT s.step_no, s.run_no FROM runs r JOIN steps s ON s.run_no = r.run_no
   WHERE r.workflow = :workflow AND s.step_id = :step_id ORDER BY r.run_no DESC LIMIT 20) s
WHERE EXISTS (SELECT 1 FROM calls c JOIN call_ends e ON e.call_no = c.call_no
              WHERE c.step_no = s.step_no AND e.cached = 0 AND e.fault IS NULL)
ORDER BY s.run_no DESC LIMIT 1;

-- name: past_calls
SELECT c.task_no, c.model, c.provider, e.cost_micros, e.tokens_in, e.tokens_out, e.elapsed_s
FROM calls c JOIN call_ends e ON e.call_no = c.call_no
WHERE c.step_no = :step_no AND e.cached = 0 AND e.fault IS NULL
ORDER BY c.call_no DESC LIMIT :most;

-- name: last_run_of_step
SELECT r.*, s.step_no FROM runs r JOIN steps s ON s.run_no = r.run_no
WHERE r.workflow = :workflow AND s.step_id = :step_id AND s.started_at IS NOT NULL
ORDER BY r.run_no DESC LIMIT 1;

-- name: had_item
SELECT 1 FROM tasks WHERE step_no = ? AND hash = ? AND current = 1 LIMIT 1;

-- name: begin_seen
CREATE TEMP TABLE seen (key BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;

-- name: times_seen
SELECT times FROM seen WHERE key = ?;

-- name: see
INSERT INTO seen (key, times) VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1;

-- == approvals ==

-- name: insert_approval
INSERT INTO approvals (run_no, step_no, message, shown, digest, summary, asked_at, deadline_at)
VALUES (:run_no, :step_no, :message, :shown, :digest, :summary, :asked_at, :deadline_at);

-- name: wait_step
UPDATE steps SET state = 'waiting', reason = :reason, started_at = coalesce(started_at, :now) WHERE step_no = :step_no;

-- name: newest_approval
SELECT a.*, r.run_id, s.step_id, s.state, d.approved, d.via, d.by_whom, d.comment, d.digest AS decided_digest, d.decided_at
FROM approvals a JOIN steps s ON s.step_no = a.step_no JOIN runs r ON r.run_no = a.run_no
LEFT JOIN decisions d ON d.approval_no = a.approval_no
WHERE a.step_no = :step_no ORDER BY a.approval_no DESC LIMIT 1;

-- name: approval_by_no
SELECT a.*, r.run_id, s.step_id, s.state, d.approved, d.via, d.by_whom, d.comment, d.digest AS decided_digest,
       d.decided_at, (SELECT max(approval_no) FROM approvals n WHERE n.step_no = a.step_no) AS newest_no
FROM approvals a JOIN steps s ON s.step_no = a.step_no JOIN runs r ON r.run_no = a.run_no
LEFT JOIN decisions d ON d.approval_no = a.approval_no
WHERE a.approval_no = :number;

-- name: approvals_of_run
SELECT a.*, r.run_id, s.step_id, d.approved, d.via, d.by_whom, d.comment, d.digest AS decided_digest, d.decided_at
FROM steps s JOIN runs r ON r.run_no = s.run_no
JOIN approvals a ON a.approval_no = (SELECT max(approval_no) FROM approvals n WHERE n.step_no = s.step_no)
LEFT JOIN decisions d ON d.approval_no = a.approval_no
WHERE s.run_no = :run_no ORDER BY a.approval_no DESC;

-- name: approvals_waiting
SELECT a.*, r.run_id, s.step_id, d.approved, d.via, d.by_whom, d.comment, d.digest AS decided_digest, d.decided_at
FROM runs r JOIN steps s ON s.run_no = r.run_no
JOIN approvals a ON a.approval_no = (SELECT max(approval_no) FROM approvals n WHERE n.step_no = s.step_no)
LEFT JOIN decisions d ON d.approval_no = a.approval_no
WHERE r.state IN ('running', 'waiting', 'interrupted') AND r.superseded_by IS NULL AND s.state = 'waiting'
ORDER BY a.approval_no DESC;

-- name: insert_decision
INSERT INTO decisions (approval_no, approved, via, by_whom, comment, digest, decided_at)
VALUES (:number, :approved, :via, :by_whom, :comment, :digest, :at);

-- name: note_decided
UPDATE steps SET reason = :reason
WHERE state = 'waiting' AND step_no = (SELECT step_no FROM approvals WHERE approval_no = :number);

-- name: waiting_runs_replaced
SELECT * FROM runs WHERE superseded_by = :run_no AND state = 'waiting' ORDER BY run_no;

-- name: approval_events
SELECT count(*) FROM events WHERE run_no = :run_no AND kind = :kind AND subject = :subject
  AND substr(detail, 1, length(:name)) = :name;

-- What an approver is told of the rows before a decision.
-- name: rejections_of_step
SELECT reason, kind, count(*) AS count FROM outcomes
WHERE step_no = :step_no AND current = 1 AND verdict = 'rejected' GROUP BY reason, kind ORDER BY count DESC, reason LIMIT :most;

-- Accepted rows of a step that none of the steps named in `:names` (`,a,b,`) has judged.
-- name: unjudged_rows
SELECT count(*) FROM outcomes g WHERE g.step_no = :step_no AND g.current = 1 AND g.verdict = 'accepted'
  AND NOT EXISTS (SELECT 1 FROM steps s JOIN outcomes v ON v.step_no = s.step_no AND v.i = g.i AND v.current = 1
                  WHERE s.run_no = (SELECT run_no FROM steps WHERE step_no = :step_no)
                    AND instr(:names, ',' || s.step_id || ',') > 0 AND v.verdict IN ('accepted', 'rejected'));

-- Accepted rows for which more than one model of a cascade was asked.
-- name: escalated_rows
SELECT count(*) FROM
  (SELECT o.outcome_no FROM outcomes o JOIN calls c ON c.task_no = o.task_no
   WHERE o.step_no = :step_no AND o.current = 1 AND o.verdict = 'accepted' AND c.purpose = 'answer'
   GROUP BY o.outcome_no HAVING count(DISTINCT c.model) > 1);

-- == samples ==

-- name: begin_gate
INSERT INTO gates (run_no, size, seed, state) VALUES (:run_no, :size, :seed, 'sampling');

-- name: gate_of
SELECT * FROM gates WHERE run_no = :run_no;

-- name: set_gate
UPDATE gates SET state = :state, report = coalesce(:report, report), by_whom = :by_whom, decided_at = :at
WHERE run_no = :run_no;

-- name: keep_drawn
INSERT INTO sampled (run_no, step_id, draw, i, total) VALUES (?, ?, ?, ?, ?);

-- name: drawn
SELECT i, total FROM sampled WHERE run_no = :run_no AND step_id = :step_id ORDER BY draw;

-- name: forget_drawn
DELETE FROM sampled WHERE run_no = :run_no AND step_id = :step_id;

-- How many rows of the root streams there are, and how many of them were begun.
-- name: streams_drawn
SELECT d.step_id, d.total, count(t.task_no) AS begun
FROM (SELECT DISTINCT run_no, step_id, total FROM sampled WHERE run_no = :run_no) d
JOIN steps s ON s.run_no = d.run_no AND s.step_id = d.step_id
LEFT JOIN tasks t ON t.step_no = s.step_no AND t.current = 1
GROUP BY d.step_id ORDER BY s.position;

-- name: newest_outcome
SELECT coalesce(max(outcome_no), 0) FROM outcomes;

-- What stands for a step that is to begin once more with the rows that it has done.
-- name: wait_again
UPDATE steps SET state = 'pending', reason = NULL, ended_at = NULL, summary = NULL, total = NULL
WHERE step_no = :step_no;
