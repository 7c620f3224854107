//! What every request passes before any route sees it: the name it was addressed to, the page it comes from, how many came
//! before it, and who asks. Adds the headers that keep browsers from guessing, and a number to each request.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Code, Problem};
use super::state::AppState;

/// Names the request in answers and logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Which Bandstand this is, for clients that speak to it.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("bandstand-version");
/// Callers whose requests are counted at once; beyond, the oldest counts begin anew.
const COUNTED_MAX: usize = 10_000;
/// Longest name of a request that is taken from the caller. Bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The names and pages that may ask.
#[derive(Clone, Debug)]
pub struct Doors {
    /// Hosts without port, in lower case.
    names: Vec<String>,
    /// Origins of pages, in lower case.
    origins: Vec<String>,
}

impl Doors {
    /// For a server that listens there. `names` and `origins` are those of the settings.
    pub fn new(listen: SocketAddr, names: &[String], origins: &[String]) -> Doors {
        let mut all: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        all.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
        if !listen.ip().is_unspecified() {
            all.push(host_of(listen.ip()));
        }
        Doors { names: all, origins: origins.iter().map(|origin| origin.to_ascii_lowercase()).collect() }
    }

    /// Whether the request is addressed to a name of this server. A page elsewhere that makes its own name lead here
    /// (DNS rebinding) is addressed to that.
    fn is_addressed(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let host = match headers.get(header::HOST) {
            Some(host) => host.to_str().unwrap_or_default(),
            None => uri.authority().map(|authority| authority.as_str()).unwrap_or_default(),
        };
        self.names.contains(&without_port(host).to_ascii_lowercase())
    }

    /// The origin of the page that asks, if it is one of those that the settings permit.
    fn permitted_page(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let known = origin.to_str().ok()?.to_ascii_lowercase();
        self.origins.contains(&known).then(|| origin.clone())
    }

    /// Whether the page that asks, if one does, may. What no page sends has no origin.
    fn is_from_here(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        if self.permitted_page(headers).is_some() {
            return true;
        }
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        // The server's own pages: the same host and port as it was asked by.
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        rest.is_some_and(|rest| !host.is_empty() && rest.eq_ignore_ascii_case(host))
    }
}

fn host_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The host of `HOST` or `HOST:PORT`; nothing of what is neither.
fn without_port(host: &str) -> &str {
    let Some(rest) = host.strip_prefix('[') else { return host.split(':').next().unwrap_or_default() };
    match rest.split_once(']') {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => &host[..address.len() + 2],
        _ => "",
    }
}

/// How many requests each caller made: so many a second, and as many at once after a rest.
#[derive(Debug, Default)]
pub struct Rate {
    per_second: Option<u32>,
    left: Mutex<HashMap<String, (f64, Instant)>>,
}

impl Rate {
    /// So many a second; none: as many as come.
    pub fn new(per_second: Option<u32>) -> Rate {
        Rate { per_second, left: Mutex::default() }
    }

    /// Takes one.
    ///
    /// # Errors
    /// When there is none left for now.
    pub fn admit(&self, who: &CountedAs, now: Instant) -> Result<(), Problem> {
        self.take(&who.0, now).map_err(|seconds| {
            let what = "more requests than [server] rate of bandstand.toml permits; send them more slowly";
            Problem::new(Code::TooMany, what).retry_after(seconds)
        })
    }

    /// Takes one; the seconds until there is another if there is none.
    fn take(&self, who: &str, now: Instant) -> Result<(), u32> {
        let Some(per_second) = self.per_second.map(f64::from) else { return Ok(()) };
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() >= COUNTED_MAX && !left.contains_key(who) {
            // Whoever rested for a second has all again.
            left.retain(|_, (_, at)| now.duration_since(*at).as_secs() == 0);
            if left.len() >= COUNTED_MAX {
                left.clear();
            }
        }
        let (tokens, at) = left.entry(who.to_owned()).or_insert((per_second, now));
        *tokens = (*tokens + now.duration_since(*at).as_secs_f64() * per_second).min(per_second);
        *at = now;
        if *tokens < 1.0 {
            return Err(1);
        }
        *tokens -= 1.0;
        Ok(())
    }
}

/// Under which name a caller's requests are counted.
#[derive(Clone, Debug)]
pub struct CountedAs(pub String);

/// The middleware.
pub async fn guard(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let origin = state.doors().permitted_page(request.headers());
    if let Some(origin) = &origin
        && *request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        // A browser asks before it asks, without a token.
        return preflight(origin);
    }
    let api = request.uri().path().starts_with("/api/");
    let (mut response, admitted) = match admit(&state, &mut request) {
        Ok(()) => (next.run(request).await, true),
        Err(problem) => (problem.into_response(), false),
    };
    let headers = response.headers_mut();
    if api && admitted {
        // Not for everybody who knocks.
        headers.insert(VERSION, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        let shown = HeaderValue::from_static("bandstand-version, etag, location, retry-after, x-request-id");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// What a page of that origin may ask.
fn preflight(origin: &HeaderValue) -> Response {
    let mut response = axum::http::StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let sent =
        "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, x-request-id";
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(sent));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

fn admit(state: &AppState, request: &mut Request) -> Result<(), Problem> {
    let headers = request.headers();
    let path = request.uri().path();
    // They tell nothing but a word, and whoever watches a machine asks by its address.
    if ["/healthz", "/readyz"].contains(&path) || path.starts_with("/problems/") {
        return Ok(());
    }
    if !state.doors().is_addressed(request.uri(), headers) {
        return Err(Problem::new(
            Code::Forbidden,
            "the request is addressed to a name that is not this server's; names are permitted in bandstand.toml: [server] \
             names = [\"...\"]",
        ));
    }
    if !state.doors().is_from_here(headers) {
        return Err(Problem::new(
            Code::Forbidden,
            "the request comes from a page of another origin; origins are permitted in bandstand.toml: [server] origins = \
             [\"https://...\"]",
        ));
    }
    let hook = path.starts_with("/hooks/");
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let from = from.map(|ip| ip.to_string()).unwrap_or_default();
    // What has no token shows by its signature whose it is.
    let open = hook || (path == "/metrics" && state.metrics_for_all());
    let caller = if open { None } else { Some(state.doorkeeper().admit(headers)) };
    let who = match &caller {
        Some(Ok(caller)) => caller.token.clone().map_or(from, |token| format!("token {token}")),
        _ => from,
    };
    let who = CountedAs(who);
    state.rate().admit(&who, Instant::now())?;
    let caller = match caller {
        Some(caller) => caller?,
        None => return Ok(()),
    };
    if state.is_closing() && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::closing());
    }
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(who);
    Ok(())
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let usable = |id: &&str| {
        !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    given.filter(usable).map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn doors() -> Doors {
        let names = ["Desk.example.com".to_owned()];
        Doors::new("127.0.0.1:7420".parse().unwrap(), &names, &["https://desk.example.com".to_owned()])
    }

    // R8.2
    #[test]
    fn a_request_must_be_addressed_to_this_server() {
        let uri = Uri::from_static("/api/v1/runs");
        for host in ["localhost", "localhost:7420", "127.0.0.1:7420", "[::1]:7420", "desk.example.com"] {
            assert!(doors().is_addressed(&uri, &headers(&[(header::HOST, host)])), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example:7420", "127.0.0.1.evil.example", "[::1].evil", ""]
        {
            assert!(!doors().is_addressed(&uri, &headers(&[(header::HOST, host)])), "{host}");
        }
        assert!(!doors().is_addressed(&uri, &HeaderMap::new()));
    }

    // R8.2
    #[test]
    fn pages_of_other_origins_may_not_ask() {
        let here = (header::HOST, "localhost:7420");
        assert!(doors().is_from_here(&headers(std::slice::from_ref(&here))));
        for origin in ["http://localhost:7420", "https://desk.example.com"] {
            assert!(doors().is_from_here(&headers(&[here.clone(), (header::ORIGIN, origin)])), "{origin}");
        }
        for origin in ["http://localhost:3000", "https://evil.example", "null", ""] {
            assert!(!doors().is_from_here(&headers(&[here.clone(), (header::ORIGIN, origin)])), "{origin}");
        }
    }

    // R8.2
    #[test]
    fn so_many_requests_a_second_and_no_more() {
        let (rate, now) = (Rate::new(Some(2)), Instant::now());
        let take = |who: &str, ms| rate.take(who, now + Duration::from_millis(ms)).is_ok();
        assert_eq!([take("a", 0), take("a", 0), take("a", 0)], [true, true, false]);
        assert!(take("b", 0));
        assert_eq!([take("a", 500), take("a", 500)], [true, false]);
        assert_eq!([take("a", 60_000), take("a", 60_000), take("a", 60_000)], [true, true, false]);
    }
}
