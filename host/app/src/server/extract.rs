//! What a request carries, taken apart: bodies, parameters, idempotency keys. What is wrong with it becomes a [`Problem`].

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request, rejection};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use super::problem::{Code, Problem};
use crate::cli::arguments;
use crate::telemetry::trace;

/// A body that takes longer is given up, so that nobody keeps a connection by sending none.
pub const BODY_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
/// Names a request, so that the same one again is known.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A JSON body. Without a body, or with `null`, it is `{}`.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problem> {
        let typed = request.headers().get(header::CONTENT_TYPE).cloned();
        let Body(bytes) = Body::from_request(request, state).await?;
        if [&b""[..], b"null"].contains(&bytes.trim_ascii()) {
            return parse(b"{}").map(Json);
        }
        let typed = typed.as_ref().map(|typed| typed.to_str().unwrap_or_default());
        let essence =
            typed.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json"
            && !(essence.starts_with("application/") && essence.ends_with("+json"))
        {
            return Err(Problem::new(
                Code::UnsupportedType,
                "the body must be JSON: Content-Type: application/json",
            ));
        }
        parse(&bytes).map(Json)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let code = if error.is_data() { Code::Invalid } else { Code::BadRequest };
        Problem::new(code, format!("the body: {error}"))
    })
}

/// A body as it comes, at most as large as the route takes.
#[derive(Clone, Debug)]
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body, Problem> {
        let read = tokio::time::timeout(BODY_WITHIN, Bytes::from_request(request, state)).await;
        let late = |_| Problem::new(Code::BadRequest, "the body did not arrive in time; send it faster");
        read.map_err(late)?.map(Body).map_err(|rejected| {
            let too_large = rejected.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE;
            if too_large {
                Problem::new(
                    Code::TooLarge,
                    "the body is larger than [server] body of bandstand.toml permits",
                )
            } else {
                Problem::new(Code::BadRequest, format!("the body did not arrive whole: {rejected}"))
            }
        })
    }
}

/// The parameters behind `?`.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Query(query.0)).map_err(|rejected: rejection::QueryRejection| {
            Problem::new(Code::BadRequest, format!("the parameters: {}", rejected.body_text()))
        })
    }
}

/// The span that the caller names in `traceparent`, as runs keep it. What is none is passed over.
#[derive(Clone, Debug)]
pub struct CallerSpan(pub Vec<String>);

impl<S: Send + Sync> FromRequestParts<S> for CallerSpan {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<CallerSpan, Self::Rejection> {
        let named = parts.headers.get(trace::TRACEPARENT).and_then(|value| value.to_str().ok());
        Ok(CallerSpan(named.and_then(trace::of_caller).into_iter().collect()))
    }
}

/// The parts of the path.
#[derive(Clone, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Path(path.0))
            .map_err(|rejected| Problem::new(Code::BadRequest, format!("the path: {}", rejected.body_text())))
    }
}

/// `Idempotency-Key`, if there is one.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IdempotencyKey, Problem> {
        key(&parts.headers).map(IdempotencyKey)
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().map_err(|_| bad_key("it is no visible text"))?;
    // The draft writes it as a string of structured fields, in quotation marks; most clients do not.
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    // Apart from the names that triggers and commands give their requests.
    arguments::name(text).map(|key| Some(format!("http:{key}"))).map_err(|problem| bad_key(&problem))
}

fn bad_key(problem: &str) -> Problem {
    Problem::new(Code::BadRequest, format!("the header Idempotency-Key: {problem}"))
}

/// `Idempotency-Key` in the document. More is taken than it promises.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes")]
pub struct KeyHeader {
    /// Names the request: the same one again is known, and another one of that name refused
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 200,
        pattern = "^[A-Za-z0-9._:-]{1,200}$"
    )]
    key: Option<String>,
}

/// `Last-Event-ID` in the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes")]
pub struct LastHeader {
    /// The last number that was seen
    #[param(rename = "Last-Event-ID", pattern = "^[0-9]{1,18}([.][0-9]{1,9})?$")]
    last: Option<String>,
}

/// A parameter; one without a value is as if it were not there, as forms send it.
///
/// # Errors
/// When it is no text.
pub fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

/// A whole number; `3.0` is one, as JSON Schema has it.
///
/// # Errors
/// When it is none, or negative.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    // Below 2^53 a float that is whole is exactly that number.
    let float = |number: f64| {
        (number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number)).then_some(number as u64)
    };
    let whole = number.as_u64().or_else(|| number.as_f64().and_then(float));
    whole.map(Some).ok_or_else(|| serde::de::Error::custom(format!("{number} is no whole number from 0 on")))
}

/// A name that somebody gave: of a user, a thread, a group.
///
/// # Errors
/// When it is empty, too long or has control characters. `what` says which it is.
pub fn name(what: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    let checked = text.map(|text| arguments::name(&text)).transpose();
    checked.map_err(|problem| Problem::new(Code::Invalid, format!("{what}: {problem}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_may_be_quoted_and_must_be_visible() {
        let key = |text: &str| key(&[(IDEMPOTENCY_KEY, text.parse().unwrap())].into_iter().collect());
        assert_eq!(key("\"a b\"").unwrap().as_deref(), Some("http:a b"));
        assert_eq!(key("abc").unwrap().as_deref(), Some("http:abc"));
        assert!(key("").is_err() && key("\"\"").is_err() && key(&"x".repeat(201)).is_err());
    }
}
