//! Routing statistics (R3.4): per workflow, node and route, and how the runs that took the route ended.

use rusqlite::Row;

use crate::effect_apply::unsigned;
use crate::reader::{ReadError, Reader};

/// Routes of one answer at most.
pub const ROUTES_MAX: u32 = 10_000;

/// One route of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteStats {
    /// The workflow.
    pub workflow: String,
    /// The node, by its path in the graph.
    pub node: String,
    /// The route; `default` when there were no options.
    pub route: String,
    /// How often it was taken.
    pub count: u64,
    /// How often with a confidence; the averages are over these.
    pub scored: u64,
    /// Average confidence.
    pub confidence_average: Option<f64>,
    /// Lowest.
    pub confidence_min: Option<f64>,
    /// Highest.
    pub confidence_max: Option<f64>,
    /// How often below the threshold.
    pub low: u64,
    /// Runs that took it, at least once, and have ended.
    pub runs_ended: u64,
    /// Of these, those that succeeded.
    pub runs_succeeded: u64,
    /// Average time of these runs from start to end.
    pub duration_average_ms: Option<f64>,
}

impl RouteStats {
    /// Share of the ended runs that succeeded, 0 to 1.
    pub fn success_rate(&self) -> Option<f64> {
        average(self.runs_succeeded as f64, self.runs_ended)
    }
}

impl Reader {
    /// The statistics of every route, or of one workflow's.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn routing_stats(&self, workflow: Option<&str>) -> Result<Vec<RouteStats>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT workflow, node, route, count, scored, confidence_sum, confidence_min, confidence_max, low, \
                     runs_ended, runs_succeeded, duration_ms_sum FROM routing_stats \
                     WHERE ?1 IS NULL OR workflow = ?1 ORDER BY workflow, node, route LIMIT ?2",
                )?
                .query_map(rusqlite::params![workflow, ROUTES_MAX], stats)?
                .collect()
        })
    }
}

fn stats(row: &Row<'_>) -> rusqlite::Result<RouteStats> {
    let scored = unsigned(row.get(4)?);
    let runs_ended = unsigned(row.get(9)?);
    Ok(RouteStats {
        workflow: row.get(0)?,
        node: row.get(1)?,
        route: row.get(2)?,
        count: unsigned(row.get(3)?),
        scored,
        confidence_average: average(row.get(5)?, scored),
        confidence_min: row.get(6)?,
        confidence_max: row.get(7)?,
        low: unsigned(row.get(8)?),
        runs_ended,
        runs_succeeded: unsigned(row.get(10)?),
        duration_average_ms: average(row.get::<_, i64>(11)? as f64, runs_ended),
    })
}

fn average(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}
