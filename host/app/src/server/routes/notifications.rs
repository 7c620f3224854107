//! Notifications that are not delivered: what waits, what was given up, and sending that again.

use axum::extract::State;
use bandstand_store::Resent;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::runs::limit;
use crate::server::caller::{Operator, Viewer};
use crate::server::extract::{Path, Query, given};
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;
use crate::view::NotificationSummary;

/// The routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(resend))
}

/// Which notifications.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct NotificationsQuery {
    /// To that endpoint
    #[serde(deserialize_with = "given")]
    endpoint: Option<String>,
    /// Only what waits, or what was given up
    #[serde(deserialize_with = "given")]
    #[param(pattern = "^(waiting|failed)$")]
    state: Option<String>,
    /// How many at most
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the page before
    #[serde(deserialize_with = "given")]
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// A page of notifications, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct NotificationList {
    /// What is not delivered.
    items: Vec<NotificationSummary>,
    /// Where the next page begins; none: this is the last.
    next_cursor: Option<String>,
}

/// List the notifications that are not delivered, oldest first.
#[utoipa::path(
    get, path = "/notifications", tag = "notifications", params(NotificationsQuery),
    responses(
        (status = 200, description = "A page", body = NotificationList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    _: Viewer,
    State(state): State<AppState>,
    Query(query): Query<NotificationsQuery>,
) -> Result<axum::Json<NotificationList>, Problem> {
    let limit = limit(query.limit, 1_000)?;
    let wrong = |what: &str| Problem::new(Code::BadRequest, what.to_owned());
    let failed = match query.state.as_deref() {
        None => None,
        Some("waiting") => Some(false),
        Some("failed") => Some(true),
        Some(_) => return Err(wrong("state: there is `waiting` and `failed`")),
    };
    let after = query.cursor.as_deref().map_or(Ok(0), str::parse::<i64>);
    let after = after.map_err(|_| wrong("cursor: it is no `next_cursor` of a page"))?;
    let endpoint = query.endpoint;
    let page =
        state.read(move |reader| reader.all_deliveries(endpoint.as_deref(), failed, after, limit)).await?;
    let next_cursor =
        page.last().filter(|_| page.len() == limit as usize).map(|last| last.number.to_string());
    let items = page.iter().map(NotificationSummary::from).collect();
    Ok(axum::Json(NotificationList { items, next_cursor }))
}

/// What is sent again.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResentNotifications {
    /// How many: one for each endpoint that had given it up.
    resent: u64,
}

/// Send a notification again that was given up: it waits with all its attempts, before what is told of its run later.
#[utoipa::path(
    post, path = "/notifications/{id}/resend", tag = "notifications",
    params(("id" = String, Path, description = "The notification")),
    responses(
        (status = 200, description = "It waits", body = ResentNotifications),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn resend(
    _: Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<axum::Json<ResentNotifications>, Problem> {
    match state.host().resend(Resent::Id(id.clone())).await? {
        0 => {
            let id: String = id.chars().take(200).collect();
            Err(Problem::new(Code::NotFound, format!("no notification `{id}` was given up")))
        }
        resent => Ok(axum::Json(ResentNotifications { resent })),
    }
}
