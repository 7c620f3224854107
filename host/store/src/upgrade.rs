//! Filling what a newer schema has from the journal of an older one. Rows that do not read are passed over: their run is
//! called stuck when it is opened.

use bandstand_engine::event::Event;
use rusqlite::Connection;

use crate::codec;
use crate::effect::{Effect, effects};
use crate::effect_apply;
use crate::pins;

/// What each run pins, and what its routes add to the statistics.
pub(crate) fn to_v2(connection: &Connection) -> rusqlite::Result<()> {
    let mut firsts = connection
        .prepare("SELECT r.id, j.events FROM runs r JOIN journal j ON j.run = r.id AND j.seq = 0")?;
    let mut rows = firsts.query([])?;
    while let Some(row) = rows.next()? {
        let events = codec::parse(row.get_ref(1)?.as_str().unwrap_or_default()).unwrap_or_default();
        if let Some(Event::RunStarted(started)) = events.first() {
            let set = pins::keep(connection, &pins::of(started))?;
            connection
                .prepare_cached("UPDATE runs SET pins = ?2 WHERE id = ?1")?
                .execute([row.get::<_, i64>(0)?, set])?;
        }
    }
    drop(rows);
    let mut routes = connection.prepare(
        "SELECT r.id, r.started_at, j.at, j.events FROM journal j JOIN runs r ON r.id = j.run \
         WHERE r.id IN (SELECT run FROM journal WHERE events LIKE '%\"route.decided\"%') \
         AND (j.events LIKE '%\"route.decided\"%' OR j.events LIKE '%\"run.%') ORDER BY j.pos",
    )?;
    let mut rows = routes.query([])?;
    while let Some(row) = rows.next()? {
        let (run, started_at, at): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let events = codec::parse(row.get_ref(3)?.as_str().unwrap_or_default()).unwrap_or_default();
        for effect in effects(&events) {
            match effect {
                Effect::RouteDecided { node, route, confidence, below } => {
                    effect_apply::route_of_run(connection, run, (&node, &route), confidence, below)?;
                }
                Effect::RunEnded { succeeded } => {
                    let took_ms = at.saturating_sub(started_at);
                    effect_apply::routes_of_run_ended(connection, run, succeeded, took_ms)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}
