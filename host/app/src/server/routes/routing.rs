//! Routing statistics.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::server::caller::Viewer;
use crate::server::extract::{Query, given};
use crate::server::problem::Problem;
use crate::server::state::AppState;
use crate::view::RouteSummary;

/// The routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which routes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RoutingQuery {
    /// Of that workflow
    #[serde(deserialize_with = "given")]
    workflow: Option<String>,
    /// Of that node
    #[serde(deserialize_with = "given")]
    node: Option<String>,
}

/// Routes with how they were taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct RouteList {
    /// By workflow, node and route.
    items: Vec<RouteSummary>,
}

/// Show how routes were decided and how the runs that took them ended.
#[utoipa::path(
    get, path = "/routing", tag = "routing", params(RoutingQuery),
    responses(
        (status = 200, description = "The statistics", body = RouteList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    _: Viewer,
    State(state): State<AppState>,
    Query(query): Query<RoutingQuery>,
) -> Result<axum::Json<RouteList>, Problem> {
    let RoutingQuery { workflow, node } = query;
    let routes = state.read(move |reader| reader.routing_stats(workflow.as_deref())).await?;
    let wanted = routes.iter().filter(|route| node.as_ref().is_none_or(|node| route.node == *node));
    Ok(axum::Json(RouteList { items: wanted.map(RouteSummary::from).collect() }))
}
