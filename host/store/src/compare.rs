//! Holds what is stored about one run against its journal: the read models are made again, beside the file, from the
//! run's rows, and compared. Whether the rows themselves can be trusted says [`Reader::open_run`].

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::append::RunChange;
use crate::codec;
use crate::effect::{Effect, effects};
use crate::effect_apply::{self, Subject, signed};
use crate::reader::{ReadError, Reader};
use crate::schema;

/// Something stored that does not follow from the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where: a table and what names the row in it.
    pub place: String,
    /// What stands there.
    pub stored: String,
    /// What the journal gives.
    pub by_journal: String,
}

/// What is compared: a table, what names a row in it, and what of it does not follow from the journal alone.
const TABLES: [(&str, &str, &str, &[&str]); 6] = [
    // `head_seq` says when the row last changed, `held` what the driver is doing, `bytes` what somebody has counted; `owed`
    // also whether a child run goes on by itself, or has to be heard of.
    ("runs", "id", "run_id", &["head_seq", "held", "bytes", "owed"]),
    ("run_links", "run", "from_run", &[]),
    ("reviews", "run", "review_id", &[]),
    ("review_answers", "review_id IN (SELECT review_id FROM reviews WHERE run = ?1) AND ?1", "seq", &[]),
    ("run_routes", "run", "node", &[]),
    ("thread_leases", "run", "thread_id", &[]),
];

impl Reader {
    /// Compares a run's read models with what its journal gives. `stand` says where the run stands after its first
    /// `next_seq` events: the engine folds them, the store cannot. `None`: it has gone on meanwhile.
    ///
    /// # Errors
    /// When there is no such run, or the file cannot be read.
    pub fn compare(
        &self,
        run_id: &str,
        next_seq: u64,
        stand: &RunChange,
    ) -> Result<Option<Vec<Difference>>, ReadError> {
        self.query(|connection| {
            let run: Option<i64> = connection
                .prepare_cached("SELECT id FROM runs WHERE run_id = ?1")?
                .query_row([run_id], |row| row.get(0))
                .optional()?;
            let Some(run) = run else { return Ok(Some(Vec::new())) };
            let after: i64 = connection
                .prepare_cached("SELECT count(*) FROM journal WHERE run = ?1 AND seq >= ?2")?
                .query_row(params![run, signed(next_seq)], |row| row.get(0))?;
            if after > 0 {
                return Ok(None);
            }
            let again = again(connection, run, stand)?;
            let mut differences = Vec::new();
            for (table, of_run, name, left_out) in TABLES {
                let stored = lines(connection, table, of_run, name, left_out, run)?;
                let by_journal = lines(&again, table, of_run, name, left_out, run)?;
                differences.extend(compare(table, &stored, &by_journal));
            }
            Ok(Some(differences))
        })
    }
}

/// The read models of one run, made of its journal.
fn again(connection: &Connection, run: i64, stand: &RunChange) -> rusqlite::Result<Connection> {
    let mut again = Connection::open_in_memory()?;
    schema::migrate(&mut again, 0, 0)?;
    let mut statement =
        connection.prepare_cached("SELECT seq, at, events, pos FROM journal WHERE run = ?1 ORDER BY seq")?;
    let mut rows = statement.query([run])?;
    let mut known: Option<(String, i64)> = None;
    let mut last = (0_i64, 0_i64);
    while let Some(row) = rows.next()? {
        let (seq, at, pos): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let text = String::from_utf8_lossy(row.get_ref(2)?.as_bytes().unwrap_or_default()).into_owned();
        let Ok(events) = codec::parse(&text) else { continue };
        let effects = effects(&events);
        if let Some(started @ Effect::RunStarted { workflow, .. }) = effects.first() {
            effect_apply::insert_run(&again, Some(run), started, at, &effect_apply::first_change())?;
            known = Some((workflow.clone(), at));
        }
        let Some((workflow, started_at)) = &mut known else { continue };
        *started_at = effect_apply::began_at(*started_at, &effects, at);
        let subject = Subject { run, workflow, started_at: *started_at, seq, pos, at };
        effects.iter().try_for_each(|effect| effect_apply::apply(&again, &subject, effect))?;
        last = (seq, at);
    }
    effect_apply::update_run(&again, run, last.1, last.0, stand)?;
    Ok(again)
}

/// The rows of a table that belong to the run, by what names them: each as its columns.
fn lines(
    connection: &Connection,
    table: &str,
    of_run: &str,
    name: &str,
    left_out: &[&str],
    run: i64,
) -> rusqlite::Result<BTreeMap<String, Vec<(String, String)>>> {
    let mut statement = connection.prepare(&format!("SELECT {name}, * FROM {table} WHERE {of_run} = ?1"))?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([run])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let mut columns = Vec::new();
        for (index, column) in names.iter().enumerate().skip(1) {
            if !left_out.contains(&column.as_str()) {
                columns.push((column.clone(), text(row.get_ref(index)?)));
            }
        }
        let mut key = text(row.get_ref(0)?);
        while found.contains_key(&key) {
            key.push('\'');
        }
        found.insert(key, columns);
    }
    Ok(found)
}

fn text(value: rusqlite::types::ValueRef<'_>) -> String {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Null => "none".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => codec::hex(bytes),
    }
}

fn compare(
    table: &str,
    stored: &BTreeMap<String, Vec<(String, String)>>,
    by_journal: &BTreeMap<String, Vec<(String, String)>>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let whole = |columns: &[(String, String)]| {
        columns.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    for (key, columns) in stored {
        match by_journal.get(key) {
            None => differences.push(Difference {
                place: format!("{table} {key}"),
                stored: whole(columns),
                by_journal: "nothing".to_owned(),
            }),
            Some(others) => {
                let pairs = columns.iter().zip(others).filter(|(one, other)| one != other);
                differences.extend(pairs.map(|((name, stored), (_, by_journal))| Difference {
                    place: format!("{table} {key} {name}"),
                    stored: stored.clone(),
                    by_journal: by_journal.clone(),
                }));
            }
        }
    }
    let missing = by_journal.iter().filter(|(key, _)| !stored.contains_key(*key));
    differences.extend(missing.map(|(key, columns)| Difference {
        place: format!("{table} {key}"),
        stored: "nothing".to_owned(),
        by_journal: whole(columns),
    }));
    differences
}
