//! Writing effects and run rows, inside the transaction of the row they belong to. Used by the writer and by `rebuild`.

use rusqlite::{Connection, OptionalExtension, params};

use crate::append::{RunChange, RunStatus};
use crate::effect::Effect;
use crate::pins;
use crate::threads;
use crate::writer::REQUEST_KEPT_MS;

/// For whom the effects of one row are written.
pub(crate) struct Subject<'a> {
    /// The run's number in the file.
    pub(crate) run: i64,
    /// Its workflow.
    pub(crate) workflow: &'a str,
    /// When it started. Milliseconds since 1970.
    pub(crate) started_at: i64,
    /// The row.
    pub(crate) seq: i64,
    /// Its place in the journal.
    pub(crate) pos: i64,
    /// When. Milliseconds since 1970.
    pub(crate) at: i64,
}

/// Writes one effect. The row of a run that begins is not for here: see [`insert_run`]; nor is what its thread keeps: see
/// [`threads::keep`].
pub(crate) fn apply(connection: &Connection, subject: &Subject<'_>, effect: &Effect) -> rusqlite::Result<()> {
    match effect {
        Effect::RunStarted { lease, .. } => threads::take_part(connection, subject, *lease),
        Effect::RunDue => {
            connection
                .prepare_cached("UPDATE runs SET started_at = ?2, starts_at = NULL WHERE id = ?1")?
                .execute(params![subject.run, subject.at])?;
            Ok(())
        }
        Effect::ThreadEntered => threads::entered(connection, subject.run),
        Effect::ThreadWritten { .. } => Ok(()),
        Effect::RunAdopted { from, seq } => link(connection, subject.run, from, "fork", Some(*seq), None),
        Effect::ChildUnwanted { run_id, killed } => child_unwanted(connection, run_id, *killed),
        Effect::RunRetried { failed_at, lease } => {
            threads::take_part(connection, subject, *lease)?;
            run_retried(connection, subject, *failed_at)
        }
        Effect::RunEnded { succeeded } => run_ended(connection, subject, *succeeded),
        Effect::RunKilled => {
            connection
                .prepare_cached(
                    "UPDATE reviews SET open = 0, outcome = 'withdrawn', closed_at = ?2 WHERE run = ?1 AND open = 1",
                )?
                .execute(params![subject.run, subject.at])?;
            run_ended(connection, subject, false)
        }
        Effect::RouteDecided { node, route, confidence, below } => {
            route_decided(connection, subject, (node, route), *confidence, *below)
        }
        Effect::ReviewOpened { .. } => review_opened(connection, subject, effect),
        Effect::ReviewAnswered { review_id, approved } => {
            connection
                .prepare_cached("INSERT OR IGNORE INTO review_answers(review_id, seq) VALUES (?1, ?2)")?
                .execute(params![review_id, subject.seq])?;
            if *approved {
                connection
                    .prepare_cached("UPDATE reviews SET approvals = approvals + 1 WHERE review_id = ?1")?
                    .execute([review_id])?;
            }
            Ok(())
        }
        Effect::ReviewClosed { review_id, outcome } => {
            connection
                .prepare_cached(
                    "UPDATE reviews SET open = 0, outcome = ?2, closed_at = ?3 WHERE review_id = ?1",
                )?
                .execute(params![review_id, outcome, subject.at])?;
            Ok(())
        }
    }
}

fn review_opened(connection: &Connection, subject: &Subject<'_>, effect: &Effect) -> rusqlite::Result<()> {
    let Effect::ReviewOpened {
        review_id,
        path,
        title,
        reason,
        asked_by,
        reviewers,
        quorum,
        deadline,
        on_timeout,
    } = effect
    else {
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO reviews(review_id, run, seq, path, workflow, title, reason, asked_by, reviewers, \
             quorum, approvals, opened_at, deadline, on_timeout, open) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12, ?13, 1)",
        )?
        .execute(params![
            review_id,
            subject.run,
            subject.seq,
            path,
            subject.workflow,
            title,
            reason,
            asked_by,
            serde_json::Value::from(reviewers.clone()).to_string(),
            quorum,
            subject.at,
            deadline,
            on_timeout,
        ])?;
    Ok(())
}

/// Adds one choice of a route to a table of them: key, node, route, confidence, whether it was below the threshold.
macro_rules! add_route {
    ($table:literal, $key:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            "(",
            $key,
            ", node, route, count, scored, confidence_sum, confidence_min, confidence_max, low, runs_ended, \
             runs_succeeded, duration_ms_sum) \
             VALUES (?1, ?2, ?3, 1, ?4 IS NOT NULL, ifnull(?4, 0.0), ?4, ?4, ?5, 0, 0, 0) \
             ON CONFLICT DO UPDATE SET count = count + 1, scored = scored + excluded.scored, \
             confidence_sum = confidence_sum + excluded.confidence_sum, \
             confidence_min = min(ifnull(confidence_min, ?4), ifnull(?4, confidence_min)), \
             confidence_max = max(ifnull(confidence_max, ?4), ifnull(?4, confidence_max)), \
             low = low + excluded.low"
        )
    };
}

fn route_decided(
    connection: &Connection,
    subject: &Subject<'_>,
    (node, route): (&str, &str),
    confidence: Option<f64>,
    below: bool,
) -> rusqlite::Result<()> {
    route_of_run(connection, subject.run, (node, route), confidence, below)?;
    connection.prepare_cached(add_route!("routing_stats", "workflow"))?.execute(params![
        subject.workflow,
        node,
        route,
        confidence,
        below
    ])?;
    Ok(())
}

/// What a run's choice adds, kept by run.
pub(crate) fn route_of_run(
    connection: &Connection,
    run: i64,
    (node, route): (&str, &str),
    confidence: Option<f64>,
    below: bool,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(add_route!("run_routes", "run"))?
        .execute(params![run, node, route, confidence, below])?;
    Ok(())
}

/// How a run ended is told to every route it took, once each.
fn run_ended(connection: &Connection, subject: &Subject<'_>, succeeded: bool) -> rusqlite::Result<()> {
    child_ended(connection, subject.run)?;
    threads::leave(connection, subject.run)?;
    let took_ms = subject.at.saturating_sub(subject.started_at);
    routes_of_run_ended(connection, subject.run, succeeded, took_ms)?;
    connection
        .prepare_cached(
            "UPDATE routing_stats SET runs_ended = runs_ended + 1, runs_succeeded = runs_succeeded + ?3, \
             duration_ms_sum = duration_ms_sum + ?4 \
             WHERE workflow = ?1 AND (node, route) IN (SELECT node, route FROM run_routes WHERE run = ?2)",
        )?
        .execute(params![subject.workflow, subject.run, succeeded, took_ms])?;
    Ok(())
}

/// The same, kept by run.
pub(crate) fn routes_of_run_ended(
    connection: &Connection,
    run: i64,
    succeeded: bool,
    took_ms: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE run_routes SET runs_ended = runs_ended + 1, runs_succeeded = runs_succeeded + ?2, \
             duration_ms_sum = duration_ms_sum + ?3 WHERE run = ?1",
        )?
        .execute(params![run, succeeded, took_ms])?;
    Ok(())
}

/// The failure is taken back from every route that the run took.
fn run_retried(connection: &Connection, subject: &Subject<'_>, failed_at: i64) -> rusqlite::Result<()> {
    let took_ms = failed_at.saturating_sub(subject.started_at);
    connection
        .prepare_cached(
            "UPDATE run_routes SET runs_ended = runs_ended - 1, duration_ms_sum = duration_ms_sum - ?2 WHERE run = ?1",
        )?
        .execute(params![subject.run, took_ms])?;
    // It has an end again when it ends again, and another size.
    connection
        .prepare_cached("UPDATE runs SET ended_at = NULL, bytes = NULL WHERE id = ?1")?
        .execute([subject.run])?;
    connection
        .prepare_cached(
            "UPDATE routing_stats SET runs_ended = runs_ended - 1, duration_ms_sum = duration_ms_sum - ?3 \
             WHERE workflow = ?1 AND (node, route) IN (SELECT node, route FROM run_routes WHERE run = ?2)",
        )?
        .execute(params![subject.workflow, subject.run, took_ms])?;
    Ok(())
}

/// Which run a run comes from.
fn link(
    connection: &Connection,
    run: i64,
    from: &str,
    kind: &str,
    seq: Option<u64>,
    path: Option<&str>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO run_links(run, from_run, kind, seq, path) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![run, from, kind, seq.map(signed), path])?;
    Ok(())
}

/// The parent of a child run that has not ended.
pub(crate) fn open_parent(connection: &Connection, run: i64) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT p.run_id FROM run_links l JOIN runs p ON p.run_id = l.from_run \
             WHERE l.run = ?1 AND l.kind = 'child' AND p.ended_at IS NULL",
        )?
        .query_row([run], |row| row.get(0))
        .optional()
}

/// A run has ended: nobody need tell it that it is not wanted, and if it is a child its parent has to be told, which a
/// host that dies now would forget.
fn child_ended(connection: &Connection, run: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM unwanted WHERE run = ?1")?.execute([run])?;
    if let Some(parent) = open_parent(connection, run)? {
        connection.prepare_cached("UPDATE runs SET owed = 1 WHERE run_id = ?1")?.execute([parent])?;
    }
    Ok(())
}

/// A child has to be told that it is not wanted any more, which a host that dies now would forget.
fn child_unwanted(connection: &Connection, run_id: &str, killed: bool) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO unwanted(run, killed) \
             SELECT id, ?2 FROM runs WHERE run_id = ?1 AND ended_at IS NULL",
        )?
        .execute(params![run_id, killed])?;
    connection
        .prepare_cached("UPDATE runs SET owed = 1 WHERE run_id = ?1 AND ended_at IS NULL")?
        .execute([run_id])?;
    Ok(())
}

/// The first values of a run's row, before its caller says more.
pub(crate) fn first_change() -> RunChange {
    RunChange { status: RunStatus::Running, stage: None, held: None, owed: true, next_deadline: None }
}

/// Inserts a run's row; `run` is its number, or none for the next one, which no deleted run had. Returns the number.
pub(crate) fn insert_run(
    connection: &Connection,
    run: Option<i64>,
    started: &Effect,
    at: i64,
    change: &RunChange,
) -> rusqlite::Result<i64> {
    let Effect::RunStarted {
        run_id,
        workflow,
        version,
        thread_id,
        user_id,
        request_id,
        pins,
        rerun_of,
        parent,
        lease: _,
        starts_at,
    } = started
    else {
        return Ok(0);
    };
    let pins = pins::keep(connection, pins)?;
    connection
        .prepare_cached(
            "INSERT INTO runs(id, run_id, workflow, version, thread_id, user_id, started_at, status, owed, head_seq, pins, starts_at) \
             VALUES (ifnull(?1, 1 + max(ifnull((SELECT max(id) FROM runs), 0), \
             ifnull((SELECT number FROM deleted_up_to WHERE what = 'run'), 0))), \
             ?2, ?3, ?4, ?5, ?6, ?7, 'running', 1, 0, ?8, ?9)",
        )?
        .execute(params![run, run_id, workflow, signed(*version), thread_id, user_id, at, pins, starts_at])?;
    let run = connection.last_insert_rowid();
    if let Some(key) = request_id {
        connection
            // One that still holds stays: a run that was imported answers no request of a run that was begun here.
            .prepare_cached(
                "INSERT INTO requests(key, at, answer) VALUES (?1, ?2, ?3) \
                 ON CONFLICT DO UPDATE SET at = excluded.at, answer = excluded.answer \
                 WHERE requests.at < excluded.at - ?4",
            )?
            .execute(params![key, at, run_id, REQUEST_KEPT_MS])?;
    }
    if let Some(from) = rerun_of {
        link(connection, run, from, "rerun", None, None)?;
    }
    if let Some((parent, attempt)) = parent {
        link(connection, run, parent, "child", None, Some(attempt))?;
    }
    update_run(connection, run, at, 0, change)?;
    Ok(run)
}

/// Writes where a run stands.
pub(crate) fn update_run(
    connection: &Connection,
    run: i64,
    at: i64,
    head_seq: i64,
    change: &RunChange,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE runs SET status = ?2, stage = ?3, held = ?4, owed = ?5, next_deadline = ?6, \
             ended_at = CASE WHEN ?7 THEN ifnull(ended_at, ?8) END, head_seq = max(head_seq, ?9), bytes = NULL WHERE id = ?1",
        )?
        .execute(params![
            run,
            change.status.name(),
            change.stage,
            change.held,
            change.owed,
            change.next_deadline.map(|time| time.0),
            change.status.is_ended(),
            at,
            head_seq,
        ])?;
    Ok(())
}

/// A host that died left its reasons behind: it holds nothing any more. Why a run is stuck stays, such a run owes nothing.
pub(crate) fn forget_held(connection: &Connection) -> rusqlite::Result<()> {
    // Mostly there are none; then nothing is written.
    let held = "owed = 1 AND held IS NOT NULL";
    let any = format!("SELECT EXISTS(SELECT 1 FROM runs WHERE {held})");
    if connection.query_row(&any, [], |row| row.get(0))? {
        connection.execute(&format!("UPDATE runs SET held = NULL WHERE {held}"), [])?;
    }
    Ok(())
}

/// When a run whose next row has these effects counts as begun: at that row, if it was to begin later.
pub(crate) fn began_at(before: i64, effects: &[Effect], at: i64) -> i64 {
    if effects.contains(&Effect::RunDue) { at } else { before }
}

/// SQLite counts in signed 64 bits; what is above (nothing real) stays at the end.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Back from [`signed`].
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
