//! Reviews: the inbox, and answers.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bandstand_engine::Timestamp;
use bandstand_engine::input::Verdict;
use bandstand_store::{ReviewFilter, ReviewRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::runs::limit;
use crate::cli::review::show;
use crate::host::{AnswerRequest, Taken};
use crate::project::catalogue::Precondition;
use crate::server::caller::{Caller, Reviewer, Viewer};
use crate::server::conditions::tags;
use crate::server::extract::{IdempotencyKey, Json, KeyHeader, Path, Query, given, name};
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;
use crate::view::{Decided, ReviewDetail, ReviewSummary};

/// The routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show_one)).routes(routes!(decide))
}

/// Which reviews.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ReviewsQuery {
    /// Those that were decided, too
    all: bool,
    /// Of that workflow
    #[serde(deserialize_with = "given")]
    workflow: Option<String>,
    /// Of that run
    #[serde(deserialize_with = "given")]
    run: Option<String>,
    /// The one review whose id begins so, whatever else is asked for; a problem if there is none, or several
    #[serde(deserialize_with = "given")]
    id: Option<String>,
    /// How many at most
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the page before
    #[serde(deserialize_with = "given")]
    #[param(pattern = "^[0-9]{1,18}[.][0-9a-f]{1,64}$")]
    cursor: Option<String>,
}

/// A page of reviews, the next deadline first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReviewList {
    /// The reviews.
    items: Vec<ReviewSummary>,
    /// Where the next page begins; none: this is the last.
    next_cursor: Option<String>,
    /// How many wait for people, in all.
    open: u64,
}

/// List what waits for people, the next deadline first.
#[utoipa::path(
    get, path = "/reviews", tag = "reviews", params(ReviewsQuery),
    responses(
        (status = 200, description = "A page", body = ReviewList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    _: Viewer,
    State(state): State<AppState>,
    Query(query): Query<ReviewsQuery>,
) -> Result<axum::Json<ReviewList>, Problem> {
    let limit = limit(query.limit, 1_000)?;
    let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
    let filter = ReviewFilter { closed_too: query.all, workflow: query.workflow, run_id: query.run };
    let (rows, open) = state
        .read(move |reader| -> Result<_, Problem> {
            if let Some(beginning) = &query.id {
                return Ok((vec![reader.review(beginning)?.row], reader.open_review_count()?));
            }
            let after = after.as_ref().map(|(deadline, id)| (*deadline, id.as_str()));
            // One more than asked for tells whether there is more.
            Ok((reader.reviews(&filter, after, limit + 1)?, reader.open_review_count()?))
        })
        .await?;
    let shown = rows.len().min(limit as usize);
    let next_cursor = if rows.len() > shown { rows[..shown].last().map(cursor) } else { None };
    let items = rows[..shown].iter().map(ReviewSummary::from).collect();
    Ok(axum::Json(ReviewList { items, next_cursor, open }))
}

fn cursor(row: &ReviewRow) -> String {
    format!("{}.{}", row.deadline.0, row.review_id)
}

fn parse_cursor(text: &str) -> Result<(Timestamp, String), Problem> {
    let parsed = text.split_once('.').and_then(|(at, id)| Some((Timestamp(at.parse().ok()?), id.to_owned())));
    parsed.ok_or_else(|| Problem::new(Code::BadRequest, "cursor: it is none of this list; begin without one"))
}

/// Show a review. Its `ETag` changes with each answer: send it as `If-Match` with a decision.
#[utoipa::path(
    get, path = "/reviews/{review_id}", tag = "reviews", params(("review_id" = String, Path, description = "The review")),
    responses(
        (status = 200, description = "The review", body = ReviewDetail, headers(("ETag" = String, description = "Changes with each answer"))),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show_one(
    _: Viewer,
    State(state): State<AppState>,
    Path(review_id): Path<String>,
) -> Result<Response, Problem> {
    let (report, tag) = state
        .read(move |reader| -> Result<_, Problem> {
            let detail = whole(reader, &review_id)?;
            let tag = etag(&detail);
            Ok((show::report(reader, &detail.row)?, tag))
        })
        .await?;
    Ok(with_tag(axum::Json(report), &tag))
}

fn whole(
    reader: &bandstand_store::Reader,
    review_id: &str,
) -> Result<bandstand_store::ReviewDetail, Problem> {
    let none = || {
        let listed = "GET /api/v1/reviews lists what waits";
        Problem::new(Code::NotFound, format!("there is no review `{review_id}`; {listed}"))
    };
    if review_id.is_empty() {
        return Err(none());
    }
    let detail = reader.review(review_id).map_err(|error| match error {
        bandstand_store::ReadError::NotFound(_) => none(),
        error => error.into(),
    })?;
    // The beginning of an id is for people who type.
    if detail.row.review_id == review_id { Ok(detail) } else { Err(none()) }
}

/// What a review looks like to whoever decides: how many answers it has, and whether it is open.
fn etag(review: &bandstand_store::ReviewDetail) -> String {
    let outcome = review.row.outcome.as_deref().unwrap_or("open");
    format!("\"{}-{outcome}\"", review.answers.len())
}

fn with_tag(body: impl IntoResponse, tag: &str) -> Response {
    let mut response = body.into_response();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// An answer to a review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Whether it is approved.
    decision: Word,
    /// What there is to say.
    #[serde(default)]
    comments: String,
    /// JSON merge patch of what is proposed; with an approval.
    #[schema(value_type = Option<Object>)]
    changes: Option<Value>,
    /// The id of the latest edit that was seen; a second edit must name it.
    saw: Option<String>,
    /// How sure the reviewer is, 0 to 1.
    #[schema(minimum = 0.0, maximum = 1.0)]
    confidence: Option<f64>,
    /// Who answers; a token says it by itself, and only a server without tokens believes it.
    reviewer: Option<String>,
    /// The groups they belong to; as `reviewer`.
    #[serde(default)]
    groups: Vec<String>,
}

/// Approved or rejected.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Word {
    Approved,
    Rejected,
}

/// Answer a review. The same answer again changes nothing, another one is a conflict.
#[utoipa::path(
    post, path = "/reviews/{review_id}/decision", tag = "reviews",
    params(
        ("review_id" = String, Path, description = "The review"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the review that was seen"),
        KeyHeader,
    ),
    request_body = Decision,
    responses(
        (status = 200, description = "It is taken, durably", body = Decided),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn decide(
    Reviewer(caller): Reviewer,
    State(state): State<AppState>,
    Path(review_id): Path<String>,
    headers: HeaderMap,
    IdempotencyKey(request_id): IdempotencyKey,
    Json(body): Json<Decision>,
) -> Result<Response, Problem> {
    let seen = Precondition { is: tags(&headers, header::IF_MATCH)?, is_not: None };
    let (decided, tag) = answer(&state, &caller, review_id, seen, request_id, body).await?;
    Ok(with_tag(axum::Json(decided), &tag))
}

/// Takes an answer of whoever asks. `seen` says which review they saw. The review's tag then.
pub(in crate::server) async fn answer(
    state: &AppState,
    caller: &Caller,
    review_id: String,
    seen: Precondition,
    request_id: Option<String>,
    body: Decision,
) -> Result<(Decided, String), Problem> {
    // What was seen must hold when the answer is taken: one answer of a review at a time.
    let _turn = state.turn_of(&review_id).await;
    let id = review_id.clone();
    let row = state
        .read(move |reader| -> Result<ReviewRow, Problem> {
            let detail = whole(reader, &id)?;
            if seen.holds(Some(&etag(&detail))) {
                return Ok(detail.row);
            }
            let what = format!("review {id} was answered since it was seen; look at it again, then decide");
            Err(Problem::new(Code::Changed, what))
        })
        .await?;
    let reviewer = name("reviewer", body.reviewer)?;
    let (reviewer, groups) = match (&caller.user, reviewer) {
        (Some(user), Some(other)) if *user != other => {
            let what =
                format!("reviewer: the token is `{user}`'s, so the answer is, too; leave `reviewer` out");
            return Err(Problem::new(Code::Forbidden, what));
        }
        (Some(user), _) => (user.clone(), caller.groups.clone()),
        (None, reviewer) => (reviewer.unwrap_or_else(|| caller.by()), body.groups),
    };
    let decision = match body.decision {
        Word::Approved => Verdict::Approved,
        Word::Rejected => Verdict::Rejected,
    };
    let request = AnswerRequest {
        run_id: row.run_id,
        review_id: review_id.clone(),
        reviewer,
        groups,
        decision,
        comments: body.comments,
        changes: body.changes,
        saw: body.saw,
        confidence: body.confidence,
        request_id,
    };
    let taken = state.host().answer(request).await?;
    let (row, tag) = state
        .read(move |reader| -> Result<_, Problem> {
            let detail = whole(reader, &review_id)?;
            let tag = etag(&detail);
            Ok((detail.row, tag))
        })
        .await?;
    Ok((Decided { changed: taken == Taken::Changed, review: ReviewSummary::from(&row) }, tag))
}
