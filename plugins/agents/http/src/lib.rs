//! `http`: one HTTP request. It comes with the host as a builtin and needs the grant `http`.
//!
//! Input: `url`, `method` (default `GET`), `headers` (names and texts; `{secret:NAME}` in a text stands for a secret
//! that is granted), `body` (a text) or `json` (any JSON, sent as `application/json`), `timeout` (`500ms`, `10s`, `2m`:
//! to the first byte and between any two).
//!
//! Output: `status`, `headers` (names in small letters; several of one name are joined by `, `), and `json` where the
//! response says that it is JSON and is, else `body` (a text). A redirect is not followed: it is an output with status
//! 3xx and `headers.location`.
//!
//! Confidence: none. Failures: `input-invalid`, `url-invalid`, `body-not-text`; `http-STATUS` for 4xx and 5xx, with
//! `status`, `headers` and the beginning of `body` as data, recoverable for 408, 425, 429 and 5xx but 501 and 505, and not before
//! what `retry-after` says; without a response the name of the error in `wasi:http`, such as `connection-refused`
//! (recoverable) or `tls-certificate-error` (not). What is not granted fails as class `denied`.

mod later;

use std::collections::BTreeMap;

use bandstand_http::{Request, Response, Url};
use bandstand_sdk::{Call, Failure, Reply, agent};
use serde::Deserialize;
use serde_json::{Map, Value, json};

agent!(run);

/// A response's body that still fits into an output of the usual size. Bytes.
const BODY_BYTES_MAX: usize = 900 << 10;
/// How much of a body goes into a failure. Bytes.
const FAILURE_BODY_BYTES: usize = 4 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    // Present and `null` is a JSON document, too.
    #[serde(default, deserialize_with = "present")]
    json: Option<Value>,
    timeout: Option<String>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let response = bandstand_http::send(&request(input)?)?;
    if response.status >= 400 {
        return Err(failed(&response, &call.started_at));
    }
    let mut output = Map::new();
    output.insert("status".to_owned(), response.status.into());
    output.insert("headers".to_owned(), headers(&response));
    match read_json(&response) {
        Some(value) => output.insert("json".to_owned(), value),
        None => {
            let body = String::from_utf8(response.body).map_err(|_| {
                Failure::permanent("body-not-text", "the response is neither JSON nor text in UTF-8")
            })?;
            output.insert("body".to_owned(), body.into())
        }
    };
    Ok(Reply::new(output))
}

fn request(input: Input) -> Result<Request, Failure> {
    let invalid = |message: String| Failure::permanent("input-invalid", message);
    let url = Url::parse(&input.url).map_err(|message| Failure::permanent("url-invalid", message))?;
    let method = input.method.unwrap_or_else(|| "GET".to_owned()).to_ascii_uppercase();
    let mut request = Request::new(&method, url);
    request.response_bytes_max = BODY_BYTES_MAX;
    request.headers = input.headers.into_iter().collect();
    request.body = match (input.body, input.json) {
        (Some(_), Some(_)) => return Err(invalid("`body` and `json` exclude each other".to_owned())),
        (Some(text), None) => Some(text.into_bytes()),
        (None, Some(value)) => {
            let typed = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
            if !request.headers.iter().any(typed) {
                request.headers.push(("content-type".to_owned(), "application/json".to_owned()));
            }
            Some(serde_json::to_vec(&value)?)
        }
        // A server may insist on a length where a body is usual.
        (None, None) if ["POST", "PUT", "PATCH"].contains(&method.as_str()) => Some(Vec::new()),
        (None, None) => None,
    };
    request.timeout_ms = match input.timeout {
        None => None,
        Some(text) => Some(later::span_ms(&text).ok_or_else(|| {
            invalid(format!("`timeout` is `{text}`, but must be a span such as `500ms`, `10s` or `2m`"))
        })?),
    };
    Ok(request)
}

fn headers(response: &Response) -> Value {
    let mut all = Map::new();
    for (name, value) in &response.headers {
        match all.get_mut(name) {
            Some(Value::String(known)) => {
                known.push_str(", ");
                known.push_str(value);
            }
            _ => {
                all.insert(name.clone(), value.clone().into());
            }
        }
    }
    all.into()
}

fn read_json(response: &Response) -> Option<Value> {
    let kind = response.header("content-type")?.split(';').next()?.trim().to_ascii_lowercase();
    if kind != "application/json" && !kind.ends_with("+json") {
        return None;
    }
    serde_json::from_slice(&response.body).ok()
}

fn failed(response: &Response, now: &str) -> Failure {
    let status = response.status;
    let transient = matches!(status, 408 | 425 | 429) || (status >= 500 && !matches!(status, 501 | 505));
    let make = if transient { Failure::recoverable } else { Failure::permanent };
    let body = &response.body[..response.body.len().min(FAILURE_BODY_BYTES)];
    let body = String::from_utf8_lossy(body).into_owned();
    let failure = make(format!("http-{status}"), format!("the server answered with status {status}"))
        .data(json!({ "status": status, "headers": headers(response), "body": body }));
    // Both clocks may be wrong, but the server's own date goes with what it asks for.
    let now = response.header("date").and_then(later::http_date).or_else(|| later::rfc3339(now));
    let wait = response.header("retry-after").and_then(|wish| later::retry_after_ms(wish, now));
    wait.filter(|_| transient).into_iter().fold(failure, Failure::retry_after_ms)
}

#[cfg(test)]
mod tests {
    use bandstand_http::{Error, fake};
    use bandstand_sdk::FailureKind;

    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response { status, headers, body: body.as_bytes().to_vec() }
    }

    fn call(input: Value, answer: Response) -> Result<Reply, Failure> {
        fake::answer(move |_| Ok(answer.clone()));
        run(&Call::with_input(input))
    }

    fn sent(input: Value) -> Request {
        request(serde_json::from_value(input).unwrap()).unwrap()
    }

    #[test]
    fn a_request_is_made_of_the_input() {
        let plain = sent(json!({ "url": "https://a.example/x?y=1" }));
        assert_eq!((plain.method.as_str(), &plain.body, plain.timeout_ms), ("GET", &None, None));
        let full = sent(json!({
            "url": "https://a.example", "method": "post", "headers": { "authorization": "Bearer {secret:A}" },
            "json": null, "timeout": "1500ms"
        }));
        assert_eq!(
            (full.method.as_str(), full.body, full.timeout_ms),
            ("POST", Some(b"null".to_vec()), Some(1500))
        );
        let names: Vec<&str> = full.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["authorization", "content-type"]);
        let own =
            sent(json!({ "url": "https://a.example", "headers": { "Content-Type": "x/y" }, "json": 1 }));
        assert_eq!(own.headers, [("Content-Type".to_owned(), "x/y".to_owned())]);
        assert_eq!(sent(json!({ "url": "https://a.example", "method": "POST" })).body, Some(Vec::new()));
    }

    #[test]
    fn a_wrong_input_fails_for_good() {
        for (input, code) in [
            (json!({}), "input-invalid"),
            (json!({ "url": "a.example" }), "url-invalid"),
            (json!({ "url": "https://a.example", "body": "a", "json": 1 }), "input-invalid"),
            (json!({ "url": "https://a.example", "timeout": "soon" }), "input-invalid"),
            (json!({ "url": "https://a.example", "query": {} }), "input-invalid"),
        ] {
            let failure = call(input.clone(), Response::default()).unwrap_err();
            assert_eq!((failure.code(), failure.kind()), (code, FailureKind::Permanent), "{input}");
        }
    }

    #[test]
    fn a_response_is_json_where_it_says_so_and_text_else() {
        let to = || json!({ "url": "https://a.example" });
        let typed = [("content-type", "application/problem+json; charset=utf-8"), ("x", "1"), ("x", "2")];
        let reply = call(to(), response(200, &typed, "{\"a\":1}")).unwrap().output();
        assert_eq!(reply["json"], json!({ "a": 1 }));
        assert_eq!(reply["headers"]["x"], "1, 2");
        let broken =
            call(to(), response(200, &[("content-type", "application/json")], "{")).unwrap().output();
        assert_eq!(broken["body"], "{");
        let moved = call(to(), response(302, &[("location", "/y")], "")).unwrap().output();
        assert_eq!((&moved["status"], &moved["headers"]["location"]), (&json!(302), &json!("/y")));
        let bytes = Response { body: vec![0xff], status: 200, ..Response::default() };
        assert_eq!(call(to(), bytes).unwrap_err().code(), "body-not-text");
    }

    // R1.3: what may pass is tried again, not before the server wants it.
    #[test]
    fn a_bad_status_is_a_failure_of_its_kind() {
        let fails = |status, headers: &[(&str, &str)]| {
            call(json!({ "url": "https://a.example" }), response(status, headers, "why")).unwrap_err()
        };
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(fails(status, &[]).kind(), FailureKind::Recoverable, "{status}");
        }
        for status in [400, 401, 403, 404, 409, 422, 501, 505] {
            assert_eq!(fails(status, &[]).kind(), FailureKind::Permanent, "{status}");
        }
        let busy = fails(429, &[("retry-after", "7")]);
        assert_eq!((busy.code(), busy.retry_after()), ("http-429", Some(7_000)));
        assert_eq!(busy.data_value().unwrap()["body"], "why");
        let dated =
            [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")];
        assert_eq!(fails(503, &dated).retry_after(), Some(30_000));
        assert_eq!(fails(404, &[("retry-after", "7")]).retry_after(), None);
    }

    #[test]
    fn no_response_is_a_failure_with_the_hosts_own_code() {
        let fails = |is_transient| {
            fake::answer(move |_| {
                Err(Error { code: "connection-refused".into(), message: "no".into(), is_transient })
            });
            run(&Call::with_input(json!({ "url": "https://a.example" }))).unwrap_err()
        };
        assert_eq!(
            (fails(true).code(), fails(true).kind()),
            ("connection-refused", FailureKind::Recoverable)
        );
        assert_eq!(fails(false).kind(), FailureKind::Permanent);
    }
}
