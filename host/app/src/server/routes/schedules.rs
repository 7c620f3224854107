//! Cron triggers: when each fires, and what it began last.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::driver::now;
use crate::server::caller::Viewer;
use crate::server::problem::Problem;
use crate::server::state::AppState;
use crate::view::ScheduleSummary;

/// The routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The cron triggers of what is served.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduleList {
    /// By workflow and number.
    items: Vec<ScheduleSummary>,
}

/// List the cron triggers of the workflows that are served: when each fires next, and the last run that it began.
#[utoipa::path(
    get, path = "/schedules", tag = "schedules",
    responses(
        (status = 200, description = "The triggers", body = ScheduleList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(_: Viewer, State(state): State<AppState>) -> Result<axum::Json<ScheduleList>, Problem> {
    let listed = state.read(move |reader| {
        let kept = reader.schedules()?.into_iter();
        kept.map(|kept| ScheduleSummary::of(reader, kept, now())).collect::<Result<Vec<_>, _>>()
    });
    Ok(axum::Json(ScheduleList { items: listed.await? }))
}
