//! What a provider's refusals mean to an agent. No text of the provider that could repeat the key gets through.

use bandstand_sandbox::{PowerError, PowerErrorKind};
use serde_json::Value;

use crate::key::Key;
use crate::provider::Lost;

/// Bytes of a provider's own words.
const WORDS_BYTES_MAX: usize = 300;

/// An answer that is not 200. `name` is the operator's name of the model.
pub(crate) fn of_status(
    code: u16,
    retry_after_ms: Option<u32>,
    body: &[u8],
    name: &str,
    key: Option<&Key>,
) -> PowerError {
    let words = serde_json::from_slice(body).ok().and_then(|body| words(&body, key));
    let words = words.map(|words| format!(": {words}")).unwrap_or_default();
    match code {
        // Providers repeat parts of the key in these; nothing of theirs is shown.
        401 | 403 => PowerError::new(
            PowerErrorKind::Denied,
            "key-refused",
            format!(
                "the provider refuses the key of the model `{name}` (status {code}); see [models.{name}]"
            ),
        ),
        408 | 409 | 425 | 429 | 500.. => {
            let (kind, what) = if code == 429 {
                ("rate-limited", "wants fewer calls")
            } else {
                ("provider-failed", "failed")
            };
            let message = format!("the provider of the model `{name}` {what} (status {code}){words}");
            PowerError { retry_after_ms, ..unavailable(kind, message) }
        }
        300..=399 => unavailable(
            "provider-failed",
            format!(
                "the provider of the model `{name}` points elsewhere (status {code}), and is not followed"
            ),
        ),
        _ => PowerError::new(
            PowerErrorKind::Invalid,
            "request-refused",
            format!("the provider of the model `{name}` refuses the request (status {code}){words}"),
        ),
    }
}

/// An error inside an answer that had begun well.
pub(crate) fn of_event(event: &Value, name: &str, key: Option<&Key>) -> PowerError {
    let words = words(event, key).map(|words| format!(": {words}")).unwrap_or_default();
    let message = format!("the provider of the model `{name}` broke its answer off{words}");
    unavailable("provider-failed", message)
}

pub(crate) fn lost(lost: Lost, name: &str) -> PowerError {
    let what = match lost {
        Lost::Broken => "broke the connection off",
        Lost::Nonsense => "does not answer as a provider does",
        Lost::NoTrust => {
            "cannot be trusted: neither browsers nor this machine know who signed its certificate (see SSL_CERT_FILE)"
        }
        Lost::NoWay => "cannot be reached",
    };
    unavailable("provider-unreachable", format!("the provider of the model `{name}` {what}"))
}

pub(crate) fn unreadable(name: &str) -> PowerError {
    let what = format!("the answer of the provider of the model `{name}` cannot be read");
    PowerError::new(PowerErrorKind::Other, "answer-unreadable", what)
}

pub(crate) fn cut(name: &str) -> PowerError {
    unavailable("answer-cut", format!("the answer of the model `{name}` ended before it was complete"))
}

pub(crate) fn unavailable(code: &str, message: String) -> PowerError {
    PowerError::new(PowerErrorKind::Unavailable, code, message)
}

/// `error.message`, `error` or `message` of a provider's answer, if that can be shown.
fn words(body: &Value, key: Option<&Key>) -> Option<String> {
    // Some wrap everything in a list.
    let body = body.get(0).unwrap_or(body);
    let error = &body["error"];
    let found = [&error["message"], error, &body["message"]].into_iter().find_map(Value::as_str)?;
    if key.is_some_and(|key| key.is_in(found)) {
        return None;
    }
    let mut words: String = found.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = words.len().min(WORDS_BYTES_MAX);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    words.truncate(end);
    Some(words)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn told(status: u16, retry_after_ms: Option<u32>, body: &str) -> PowerError {
        let key = Key::new("sk-0123456789").unwrap();
        of_status(status, retry_after_ms, body.as_bytes(), "small", Some(&key))
    }

    // R7.6
    #[test]
    fn each_refusal_says_what_helps_and_never_repeats_the_key() {
        let limited = told(429, Some(1_500), r#"{"error":{"message":"slow down"}}"#);
        assert_eq!((limited.kind, limited.code.as_str()), (PowerErrorKind::Unavailable, "rate-limited"));
        assert_eq!(limited.retry_after_ms, Some(1_500));
        assert!(limited.message.ends_with("(status 429): slow down"), "{}", limited.message);
        let refused = told(401, None, r#"{"error":{"message":"Incorrect API key provided: sk-0123"}}"#);
        assert_eq!((refused.kind, refused.code.as_str()), (PowerErrorKind::Denied, "key-refused"));
        assert!(!refused.message.contains("sk-"), "{}", refused.message);
        let wrong = told(400, None, r#"{"error":{"message":"key sk-0123456789 has no such model"}}"#);
        assert_eq!((wrong.kind, wrong.message.contains("sk-")), (PowerErrorKind::Invalid, false));
        assert!(told(404, None, r#"{"error":"model not found"}"#).message.ends_with(": model not found"));
        assert_eq!(told(529, Some(20), "<html>").retry_after_ms, Some(20));
        assert_eq!(told(302, None, "").kind, PowerErrorKind::Unavailable);
    }
}
