//! The tables of the file, version by version. A file is brought to this host's version when a host opens it; a file
//! of a newer host is refused.

use rusqlite::Connection;

use crate::upgrade;

/// The version this host reads and writes: `PRAGMA user_version`.
pub(crate) const VERSION: i64 = 9;

/// Marks the file as ours for `file(1)` and for a person's mistake: `BAND`.
pub(crate) const APPLICATION_ID: i64 = 0x4241_4e44;

/// One version to the next: tables, then what fills the new ones from the journal.
struct Step {
    sql: &'static str,
    fill: fn(&Connection) -> rusqlite::Result<()>,
}

/// Step `n` leads from version `n` to `n + 1`. A step is never changed once released.
const STEPS: [Step; 9] = [
    Step { sql: V1, fill: |_| Ok(()) },
    Step { sql: V2, fill: upgrade::to_v2 },
    // Runs of an earlier version come from no other run.
    Step { sql: V3, fill: |_| Ok(()) },
    // Runs of an earlier version are nobody's child.
    Step { sql: V4, fill: |_| Ok(()) },
    // Nothing was kept before.
    Step { sql: V5, fill: |_| Ok(()) },
    // Runs of an earlier version kept nothing in their threads.
    Step { sql: V6, fill: |_| Ok(()) },
    // Nothing was known against any plugin before.
    Step { sql: V7, fill: |_| Ok(()) },
    // Nobody was notified, nothing began by itself, and which runs were imported is not known.
    Step { sql: V8, fill: |_| Ok(()) },
    // No run was to begin later before.
    Step { sql: V9, fill: |_| Ok(()) },
];

/// Brings the file up to [`VERSION`], each step in its own transaction.
pub(crate) fn migrate(connection: &mut Connection, from: i64, now_ms: i64) -> rusqlite::Result<()> {
    let first = usize::try_from(from).unwrap_or(0);
    for (index, step) in STEPS.iter().enumerate().skip(first) {
        let version = i64::try_from(index + 1).unwrap_or(VERSION);
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(step.sql)?;
        (step.fill)(&transaction)?;
        transaction.execute(
            "INSERT INTO migrations(version, at, host) VALUES (?1, ?2, ?3)",
            (version, now_ms, env!("CARGO_PKG_VERSION")),
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Tables that [`rebuild`](crate::Store::rebuild) empties and fills again from the journal.
pub(crate) const READ_MODELS: [&str; 10] = [
    "runs",
    "pins",
    "run_links",
    "unwanted",
    "reviews",
    "review_answers",
    "run_routes",
    "routing_stats",
    "requests",
    "thread_leases",
];

const V1: &str = r#"
CREATE TABLE migrations(version INTEGER PRIMARY KEY, at INTEGER NOT NULL, host TEXT NOT NULL) STRICT;

-- Append-only in commit order, one row for each decision: pages, not rows, are the price of a commit.
CREATE TABLE journal(
  pos INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  at INTEGER NOT NULL,
  "check" BLOB NOT NULL,
  events TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX journal_run ON journal(run, seq);

-- Changes when one of status, stage, held, owed, next_deadline does; a plain step leaves it alone.
CREATE TABLE runs(
  id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  workflow TEXT NOT NULL,
  version INTEGER NOT NULL,
  thread_id TEXT,
  user_id TEXT,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  status TEXT NOT NULL,
  stage TEXT,
  held TEXT,
  owed INTEGER NOT NULL,
  next_deadline INTEGER,
  head_seq INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_owed ON runs(id) WHERE owed = 1;
CREATE INDEX runs_deadline ON runs(next_deadline, id) WHERE next_deadline IS NOT NULL;
CREATE INDEX runs_workflow ON runs(workflow, id);
CREATE INDEX runs_status ON runs(status, id);
CREATE INDEX runs_thread ON runs(thread_id, id) WHERE thread_id IS NOT NULL;

CREATE TABLE blobs(digest BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE blob_refs(digest BLOB NOT NULL, run INTEGER NOT NULL, PRIMARY KEY(digest, run)) STRICT, WITHOUT ROWID;
CREATE INDEX blob_refs_run ON blob_refs(run);
CREATE TABLE snapshots(
  run INTEGER PRIMARY KEY, seq INTEGER NOT NULL, "check" BLOB NOT NULL, sum BLOB NOT NULL, bytes BLOB NOT NULL
) STRICT;
-- What runs pin: workflow texts and checked graphs. Plugins are files beside this one.
-- `sum` is ours: `digest` is whatever the caller pins by.
CREATE TABLE documents(digest TEXT PRIMARY KEY, kind TEXT NOT NULL, sum BLOB NOT NULL, bytes BLOB NOT NULL) STRICT;

CREATE TABLE reviews(
  review_id TEXT PRIMARY KEY,
  run INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  path TEXT NOT NULL,
  workflow TEXT NOT NULL,
  title TEXT NOT NULL,
  reason TEXT NOT NULL,
  asked_by TEXT NOT NULL,
  reviewers TEXT NOT NULL,
  quorum INTEGER NOT NULL,
  approvals INTEGER NOT NULL,
  opened_at INTEGER NOT NULL,
  deadline INTEGER NOT NULL,
  on_timeout TEXT NOT NULL,
  open INTEGER NOT NULL,
  outcome TEXT,
  closed_at INTEGER
) STRICT;
CREATE INDEX reviews_open ON reviews(deadline, review_id) WHERE open = 1;
CREATE INDEX reviews_run ON reviews(run);
CREATE TABLE review_answers(
  review_id TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(review_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_routes(
  run INTEGER NOT NULL, node TEXT NOT NULL, route TEXT NOT NULL, PRIMARY KEY(run, node, route)
) STRICT, WITHOUT ROWID;
CREATE TABLE routing_stats(
  workflow TEXT NOT NULL,
  node TEXT NOT NULL,
  route TEXT NOT NULL,
  count INTEGER NOT NULL,
  scored INTEGER NOT NULL,
  confidence_sum REAL NOT NULL,
  confidence_min REAL,
  confidence_max REAL,
  low INTEGER NOT NULL,
  runs_ended INTEGER NOT NULL,
  runs_succeeded INTEGER NOT NULL,
  duration_ms_sum INTEGER NOT NULL,
  PRIMARY KEY(workflow, node, route)
) STRICT, WITHOUT ROWID;

CREATE TABLE requests(key TEXT PRIMARY KEY, at INTEGER NOT NULL, answer TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX requests_at ON requests(at);

-- AUTOINCREMENT: the id of something forgotten never names something else.
CREATE TABLE audit_events(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workflow TEXT NOT NULL,
  thread TEXT NOT NULL,
  at INTEGER NOT NULL,
  thread_id TEXT,
  user_id TEXT,
  source TEXT NOT NULL,
  action TEXT NOT NULL,
  payload TEXT NOT NULL,
  tags TEXT NOT NULL
) STRICT;
CREATE INDEX audit_thread ON audit_events(workflow, thread, id);

CREATE TABLE facts(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workflow TEXT NOT NULL,
  at INTEGER NOT NULL,
  text TEXT NOT NULL,
  kind TEXT NOT NULL,
  tags TEXT NOT NULL,
  user_id TEXT,
  thread_id TEXT,
  salience REAL NOT NULL,
  confidence REAL NOT NULL,
  source TEXT NOT NULL,
  embedding BLOB
) STRICT;
CREATE INDEX facts_workflow ON facts(workflow, id);
CREATE INDEX facts_source ON facts(workflow, source);
CREATE VIRTUAL TABLE facts_words USING fts5(text, content='facts', content_rowid='id', tokenize='unicode61 remove_diacritics 2');

-- So that a limit costs one row to keep, not a count of all.
CREATE TABLE memory_counts(
  workflow TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY(workflow, what)
) STRICT, WITHOUT ROWID;

CREATE TABLE slots(
  workflow TEXT NOT NULL, thread TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(workflow, thread, name)
) STRICT, WITHOUT ROWID;
"#;

const V2: &str = r#"
-- Which set of documents and plugins a run pins; few sets, each shared by all runs of a workflow's version.
ALTER TABLE runs ADD COLUMN pins INTEGER;
-- What an ended run takes, once somebody has counted it: not in a rebuild.
ALTER TABLE runs ADD COLUMN bytes INTEGER;
CREATE INDEX runs_pins ON runs(pins);
CREATE INDEX runs_ended ON runs(ended_at, id) WHERE ended_at IS NOT NULL;
-- `id` follows from `digests`, a JSON array.
CREATE TABLE pins(id INTEGER PRIMARY KEY, digests TEXT NOT NULL) STRICT;

-- Runs that are deleted and whose rows are still being removed, a slice at a time.
CREATE TABLE doomed(run INTEGER PRIMARY KEY) STRICT;
-- The greatest `runs.id` and `journal.pos` that were deleted: neither names something else later.
CREATE TABLE deleted_up_to(what TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- With what each run adds to the statistics, so that a deleted run's part can be kept.
DROP TABLE run_routes;
CREATE TABLE run_routes(
  run INTEGER NOT NULL,
  node TEXT NOT NULL,
  route TEXT NOT NULL,
  count INTEGER NOT NULL,
  scored INTEGER NOT NULL,
  confidence_sum REAL NOT NULL,
  confidence_min REAL,
  confidence_max REAL,
  low INTEGER NOT NULL,
  runs_ended INTEGER NOT NULL,
  runs_succeeded INTEGER NOT NULL,
  duration_ms_sum INTEGER NOT NULL,
  PRIMARY KEY(run, node, route)
) STRICT, WITHOUT ROWID;
-- The statistics of runs that were deleted: a rebuild begins with them.
CREATE TABLE routing_kept(
  workflow TEXT NOT NULL,
  node TEXT NOT NULL,
  route TEXT NOT NULL,
  count INTEGER NOT NULL,
  scored INTEGER NOT NULL,
  confidence_sum REAL NOT NULL,
  confidence_min REAL,
  confidence_max REAL,
  low INTEGER NOT NULL,
  runs_ended INTEGER NOT NULL,
  runs_succeeded INTEGER NOT NULL,
  duration_ms_sum INTEGER NOT NULL,
  PRIMARY KEY(workflow, node, route)
) STRICT, WITHOUT ROWID;
"#;

const V3: &str = r#"
-- Which run a run comes from, and how. The other one may be gone, or in another store.
CREATE TABLE run_links(run INTEGER PRIMARY KEY, from_run TEXT NOT NULL, kind TEXT NOT NULL, seq INTEGER) STRICT;
CREATE INDEX run_links_from ON run_links(from_run);
"#;

const V4: &str = r#"
-- Of a child run: the attempt that it is.
ALTER TABLE run_links ADD COLUMN path TEXT;
-- Child runs that their parents do not want any more, until they have ended: they may not have been told.
CREATE TABLE unwanted(run INTEGER PRIMARY KEY, killed INTEGER NOT NULL) STRICT;
"#;

const V5: &str = r#"
-- Replies that agents' nodes keep for equal visits. No read model: the run that gave one may be gone. A large output is a
-- blob, and `blob_refs` names it by the number that `owner` gives this row.
CREATE TABLE kept_replies(
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  until INTEGER NOT NULL,
  run_id TEXT NOT NULL,
  path TEXT NOT NULL,
  reply TEXT NOT NULL,
  bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX kept_replies_until ON kept_replies(until);
-- One row, so that the limits cost no counting.
CREATE TABLE kept_total(entries INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
INSERT INTO kept_total(entries, bytes) VALUES (0, 0);
"#;

const V6: &str = r#"
-- Runs that write a thread or wait for it, until they end. At most one of a thread holds it. `arrival` is their order: the
-- place in the journal at which each came.
CREATE TABLE thread_leases(
  run INTEGER PRIMARY KEY, workflow TEXT NOT NULL, thread_id TEXT NOT NULL, held INTEGER NOT NULL, arrival INTEGER NOT NULL
) STRICT;
CREATE INDEX thread_leases_thread ON thread_leases(workflow, thread_id, arrival);
CREATE INDEX thread_leases_queued ON thread_leases(arrival) WHERE held = 0;

-- What threads keep for their next run. No read model: it outlives the runs that wrote it, and a rebuild leaves it alone.
-- Large values are blobs, named in `blob_refs` by the number that `owner` gives the thread.
CREATE TABLE threads(
  id INTEGER PRIMARY KEY, workflow TEXT NOT NULL, thread_id TEXT NOT NULL, UNIQUE(workflow, thread_id)
) STRICT;
CREATE TABLE thread_values(
  thread INTEGER NOT NULL, channel TEXT NOT NULL, value TEXT, digest BLOB, run_id TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(thread, channel)
) STRICT, WITHOUT ROWID;
"#;

const V7: &str = r#"
-- What is known against plugins, by digest. No read model: it is the host's, not a run's, and a rebuild leaves it alone.
CREATE TABLE breakers(
  plugin TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  workflow TEXT NOT NULL,
  state TEXT NOT NULL,
  faults INTEGER NOT NULL,
  opened INTEGER NOT NULL,
  since INTEGER,
  probe_at INTEGER,
  fault TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"#;

const V8: &str = r#"
-- Who is notified, and up to which place of the journal that is planned. No read model: a rebuild leaves these three alone.
CREATE TABLE endpoints(
  name TEXT PRIMARY KEY, pos INTEGER NOT NULL, delivered INTEGER NOT NULL, delivered_at INTEGER
) STRICT, WITHOUT ROWID;
-- Notifications that are not delivered yet (`next_at`: when it is tried next), and those that were given up (none).
-- AUTOINCREMENT: `number` is their order, and a later one never stands before an earlier one.
CREATE TABLE deliveries(
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  endpoint TEXT NOT NULL,
  id TEXT NOT NULL,
  event TEXT NOT NULL,
  run_id TEXT NOT NULL,
  body TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  next_at INTEGER,
  tried_at INTEGER,
  problem TEXT,
  UNIQUE(endpoint, id)
) STRICT;
CREATE INDEX deliveries_waiting ON deliveries(endpoint, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_run ON deliveries(endpoint, run_id, number) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_failed ON deliveries(tried_at) WHERE next_at IS NULL;
-- Rows up to there came with the run's file: what they tell happened elsewhere, and nobody is notified of it here.
CREATE TABLE imported(run INTEGER PRIMARY KEY, pos INTEGER NOT NULL) STRICT;

-- How far each cron trigger of a deployed workflow is. No read model: a trigger that was passed over left no run.
CREATE TABLE schedules(
  workflow TEXT NOT NULL,
  number INTEGER NOT NULL,
  cron TEXT NOT NULL,
  zone TEXT NOT NULL,
  up_to INTEGER NOT NULL,
  queued_at INTEGER,
  run_id TEXT,
  problem TEXT,
  PRIMARY KEY(workflow, number)
) STRICT, WITHOUT ROWID;
"#;

const V9: &str = r#"
-- Of a run that is to begin later and has not begun: when it is to.
ALTER TABLE runs ADD COLUMN starts_at INTEGER;
-- For lists. The first grows at its end only, the second has only runs that are for somebody.
CREATE INDEX runs_started ON runs(started_at, id);
CREATE INDEX runs_user ON runs(user_id, id) WHERE user_id IS NOT NULL;
-- So that counting what was given up, and forgetting the oldest of it, costs little.
CREATE INDEX deliveries_given_up ON deliveries(endpoint, number) WHERE next_at IS NULL;
-- What becomes of a time that comes while the run before still goes on; empty: an older host wrote the row.
ALTER TABLE schedules ADD COLUMN overlap TEXT NOT NULL DEFAULT '';
"#;
