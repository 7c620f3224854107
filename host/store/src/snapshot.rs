//! Snapshots of runs: one for each, overwritten, opaque here. One that cannot be read is ignored while the journal
//! before it exists.

use rusqlite::{Connection, OptionalExtension, params};

use crate::chain::{self, Check};
use crate::codec;
use crate::effect_apply::{signed, unsigned};
use crate::open_run::StoredSnapshot;

/// Keeps the state of a run after its first `seq` events. One that does not fit the journal is not kept.
pub(crate) fn save(connection: &Connection, run_id: &str, seq: u64, bytes: &[u8]) -> rusqlite::Result<()> {
    let last = connection
        .prepare_cached(
            "SELECT j.run, j.seq, j.\"check\", j.events FROM journal j JOIN runs r ON r.id = j.run \
             WHERE r.run_id = ?1 AND j.seq < ?2 ORDER BY j.seq DESC LIMIT 1",
        )?
        .query_row(params![run_id, signed(seq)], |row| {
            let events = row.get_ref(3)?.as_bytes().unwrap_or_default().to_vec();
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?, events))
        })
        .optional()?;
    let fits = last.filter(|(_, first, _, events)| {
        let count = std::str::from_utf8(events).ok().and_then(codec::count);
        count.and_then(|count| unsigned(*first).checked_add(count)) == Some(seq)
    });
    let Some((run, _, check, _)) = fits else {
        tracing::warn!(run_id, seq, "a snapshot does not fit the journal and is not kept");
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO snapshots(run, seq, \"check\", sum, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![run, signed(seq), check, sum(bytes).to_vec(), bytes])?;
    Ok(())
}

/// The latest snapshot of a run and the `check` to go on from; none if there is none, or if it is damaged.
pub(crate) fn load(connection: &Connection, run: i64) -> rusqlite::Result<Option<(StoredSnapshot, Check)>> {
    let found = connection
        .prepare_cached("SELECT seq, \"check\", sum, bytes FROM snapshots WHERE run = ?1")?
        .query_row([run], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, Vec<u8>>(2)?,
                row.get::<_, Vec<u8>>(3)?,
            ))
        })
        .optional()?;
    Ok(found.and_then(|(seq, check, stored, bytes)| {
        let check = Check::try_from(check.as_slice()).ok()?;
        (sum(&bytes)[..] == stored[..]).then(|| (StoredSnapshot { seq: unsigned(seq), bytes }, check))
    }))
}

/// Tells damage of bytes that stand alone.
pub(crate) fn sum(bytes: &[u8]) -> Check {
    chain::link(&Check::default(), 0, 0, bytes)
}
