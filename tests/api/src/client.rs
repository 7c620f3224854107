//! Asks a server, one request after the other.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, Method, Request};

use crate::stream::Stream;

/// No answer takes longer on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks a server. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The body, if the request was carried out.
    ///
    /// # Panics
    /// When it was not.
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text);
        self.json()
    }

    /// The code of the problem.
    ///
    /// # Panics
    /// When it was carried out, or the problem is none as RFC 9457 has them.
    pub fn problem(&self) -> String {
        assert!(self.status >= 400, "{}: {}", self.status, self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], self.status, "{body}");
        assert!(!body["detail"].as_str().unwrap().is_empty(), "{body}");
        body["code"].as_str().unwrap().to_owned()
    }

    /// A header's value; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Client {
    pub(crate) fn new(url: &str, token: Option<&str>) -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE))
            .build();
        Client { agent: config.into(), url: url.to_owned(), token: token.map(str::to_owned) }
    }

    /// Sends a request; `None`: nobody answered.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Option<Answer> {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
        request = request.uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = match body {
            Some(body) => self.agent.run(request.body(body).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut response = sent.ok()?;
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string().ok()?;
        Some(Answer { status: response.status().as_u16(), headers: response.headers().clone(), text })
    }

    /// Sends a request.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        let answer = self.try_send(method, path, headers, body);
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    /// POST with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body)
    }

    /// POST with further headers.
    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.send("POST", path, &all, Some(body.to_string().as_bytes()))
    }

    /// Starts a run and waits until it has settled; what it came to.
    pub fn run(&self, workflow: &str, input: &Value) -> Value {
        let body = serde_json::json!({ "workflow": workflow, "input": input });
        self.post("/api/v1/runs?wait=60", &body).ok()
    }

    /// Follows a stream from where `last` is; `None`: nobody answered.
    pub fn try_stream(&self, path: &str, last: Option<&str>) -> Option<Stream> {
        // A stream has no end of its own.
        let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = Request::builder().method(Method::GET).uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = agent.run(request.body(()).unwrap()).ok()?;
        let status = response.status().as_u16();
        Some(Stream::new(status, response.into_body().into_reader()))
    }

    /// Follows a stream from where `last` is.
    pub fn stream(&self, path: &str, last: Option<&str>) -> Stream {
        self.try_stream(path, last).unwrap_or_else(|| panic!("no answer to GET {path}"))
    }
}
