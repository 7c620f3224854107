//! Webhooks in: `POST /hooks/NAME` begins a run of the workflow that has such a trigger. Who calls shows it by a signature, or, where the
//! file asks for none, by a token that may start runs.

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bandstand_engine::Timestamp;
use serde_json::json;

use crate::host::{Call, WEBHOOK_BODY_BYTES_MAX, WebhookError};
use crate::project::server::Role;
use crate::server::extract::Body;
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;

/// The routes, outside `/api/v1`: whoever calls them is another program with a contract of its own.
pub fn routes() -> Router<AppState> {
    Router::new().route("/hooks/{name}", post(call)).layer(DefaultBodyLimit::max(WEBHOOK_BODY_BYTES_MAX))
}

/// Begins a run, or finds the one that an equal call began.
async fn call(
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    if state.is_closing() {
        return Err(Problem::new(Code::Unavailable, "the server is closing; call again").retry_after(1));
    }
    let may_start = state.doorkeeper().admit(&headers).is_ok_and(|caller| caller.may(Role::Operator));
    let now = Timestamp(jiff::Timestamp::now().as_millisecond());
    let call = Call { webhook: &name, headers: &headers, body: &body, now, may_start };
    let run_id = state.webhooks().start(state.host(), call).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "run_id": run_id }))).into_response())
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Problem {
        let error = match error {
            WebhookError::Start(error) => return error.into(),
            error => error,
        };
        let code = match &error {
            WebhookError::Unknown(_) => Code::NotFound,
            WebhookError::Several { .. } => Code::Conflict,
            WebhookError::Open(_) | WebhookError::NotSigned(_) => Code::Unauthorized,
            WebhookError::NoSecret { .. } => Code::Unavailable,
            WebhookError::TooLarge { .. } => Code::TooLarge,
            WebhookError::NotJson(_) => Code::BadRequest,
            WebhookError::Expression { .. } => Code::Invalid,
            WebhookError::Start(_) => Code::Internal,
        };
        if let WebhookError::NoSecret { webhook, problem } = &error {
            // The operator's to mend, and none of the caller's business.
            tracing::warn!(webhook, problem, "a webhook cannot check signatures");
            return Problem::new(
                code,
                format!("the webhook `{webhook}` cannot check signatures now; its operator is told why"),
            );
        }
        Problem::new(code, error.to_string())
    }
}
