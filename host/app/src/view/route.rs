//! One route's statistics.

use bandstand_store::RouteStats;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How one route of one node was taken, over all runs that there were.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RouteSummary {
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
    /// Average confidence, 0 to 1.
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
    /// Share of the ended runs that succeeded, 0 to 1.
    pub success_rate: Option<f64>,
    /// Average time of these runs from start to end. Milliseconds.
    pub duration_average_ms: Option<f64>,
}

impl From<&RouteStats> for RouteSummary {
    fn from(route: &RouteStats) -> RouteSummary {
        RouteSummary {
            workflow: route.workflow.clone(),
            node: route.node.clone(),
            route: route.route.clone(),
            count: route.count,
            scored: route.scored,
            confidence_average: route.confidence_average,
            confidence_min: route.confidence_min,
            confidence_max: route.confidence_max,
            low: route.low,
            runs_ended: route.runs_ended,
            runs_succeeded: route.runs_succeeded,
            success_rate: route.success_rate(),
            duration_average_ms: route.duration_average_ms,
        }
    }
}
