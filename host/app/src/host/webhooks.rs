//! Webhooks in: a signed call of an address begins a run of the workflow that names it in `triggers`.
//!
//! Who calls is known by the signature of Standard Webhooks over id, time and body, with the secret that the file names
//! and `[secrets.NAME]` of `bandstand.toml` describes. A call that names no secret is taken from those only who may start runs anyway.
//! Calls with an equal `key`, or without one with an equal `webhook-id`, begin one run.

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::graph::{Trigger, When};
use bandstand_engine::{Graph, Timestamp};
use hyper::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::error::HostError;
use super::holder::Host;
use super::outgoing::SecretFrom;
use super::request::{Deployed, StartRequest};
use super::schedule::{Deployments, begin_with};
use super::signature::{ID_HEADER, NotSigned, SIGNATURE_HEADER, SigningKey, TIMESTAMP_HEADER};
use crate::telemetry::trace::{self, TRACEPARENT};

/// The largest body that is taken, whatever a workflow allows. Bytes.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 1 << 20;
/// A longer key is known by its digest. Bytes.
const KEY_BYTES_MAX: usize = 200;
/// Headers that a workflow does not see: they let others in, or say what was checked already.
const HIDDEN: [&str; 4] = ["authorization", "cookie", "proxy-authorization", SIGNATURE_HEADER];

/// Why a call begins no run. None of the texts holds a secret, a signature or the body.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// No workflow that is served names it.
    #[error("no workflow that is served has a trigger `webhook: {0}`")]
    Unknown(String),
    /// Several do.
    #[error("the webhook `{webhook}` is in several workflows: {workflows}; give each a name of its own")]
    Several {
        /// Its name.
        webhook: String,
        /// Theirs.
        workflows: String,
    },
    /// It names no secret, and the caller has shown no right to start runs.
    #[error("the webhook `{0}` names no `secret`, so only a token that may start runs can call it")]
    Open(String),
    /// The secret that it names is not there. The operator's to mend.
    #[error("the webhook `{webhook}` cannot check signatures: {problem}")]
    NoSecret {
        /// Its name.
        webhook: String,
        /// Why.
        problem: String,
    },
    /// The signature is not believed.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// The body is too large.
    #[error(
        "the body has {bytes} bytes, above {bytes_max} (limit webhook-body, or `limits.payload` of the workflow)"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// It says that it is JSON, and is not.
    #[error("the body is not the JSON that its content-type says: {0}")]
    NotJson(String),
    /// `input` or `key` of the trigger cannot be made of this call.
    #[error("`{what}` of the webhook `{webhook}` fails on this call: {problem}")]
    Expression {
        /// Its name.
        webhook: String,
        /// `input` or `key`.
        what: &'static str,
        /// Why.
        problem: String,
    },
    /// The run cannot begin.
    #[error(transparent)]
    Start(#[from] HostError),
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The name in the address.
    pub webhook: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
    /// When it came.
    pub now: Timestamp,
    /// Whether the caller has shown otherwise that it may start runs.
    pub may_start: bool,
}

/// Takes calls.
pub struct Webhooks {
    deployments: Arc<dyn Deployments>,
    /// By name, as they are when they are needed: a new value needs no new host.
    secrets: BTreeMap<String, SecretFrom>,
}

impl Webhooks {
    /// For what is served, with the secrets of `bandstand.toml` ([`Config::webhook_secrets`](crate::project::Config::webhook_secrets)).
    pub fn new(deployments: Arc<dyn Deployments>, secrets: BTreeMap<String, SecretFrom>) -> Webhooks {
        Webhooks { deployments, secrets }
    }

    /// Begins the run that a call is for, or finds the one that an equal call began; durable when this returns its id.
    ///
    /// # Errors
    /// When the call is refused, or the run cannot begin.
    pub async fn start(&self, host: &Host, call: Call<'_>) -> Result<String, WebhookError> {
        let (deployed, request) = self.receive(call)?;
        match host.start_deployed(deployed, request).await {
            // Equal calls are one run, whatever else they say.
            Err(HostError::RequestTaken { run_id, .. }) => Ok(run_id),
            started => Ok(started?),
        }
    }

    /// What a call is to begin, for [`Host::start_deployed`]. Its `request_id` makes equal calls one.
    ///
    /// # Errors
    /// When the call is refused.
    pub fn receive(&self, call: Call<'_>) -> Result<(Deployed, StartRequest), WebhookError> {
        let (deployed, number) = self.find(call.webhook)?;
        let graph = deployed.graph.clone();
        let trigger = &graph.triggers[number];
        let When::Webhook { secret, .. } = &trigger.when else {
            return Err(WebhookError::Unknown(call.webhook.to_owned()));
        };
        let payload = usize::try_from(graph.limits.payload_bytes).unwrap_or(usize::MAX);
        let bytes_max = WEBHOOK_BODY_BYTES_MAX.min(payload);
        if call.body.len() > bytes_max {
            return Err(WebhookError::TooLarge { bytes: call.body.len(), bytes_max });
        }
        let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
        match secret {
            Some(name) => {
                let key = self.key(call.webhook, name)?;
                let (Some(id), Some(seconds), Some(signature)) =
                    (header(ID_HEADER), header(TIMESTAMP_HEADER), header(SIGNATURE_HEADER))
                else {
                    return Err(NotSigned::Headers.into());
                };
                key.verify(id, seconds, signature, call.body, call.now)?;
            }
            None if call.may_start => {}
            None => return Err(WebhookError::Open(call.webhook.to_owned())),
        }
        let (input, key) = evaluate(&graph, trigger, call)?;
        let request_id = key.or_else(|| header(ID_HEADER).map(|id| format!("id:{id}")));
        let request_id = request_id.map(|key| request_id_of(&graph.name, call.webhook, &key));
        let linked = header(TRACEPARENT).and_then(trace::of_caller).into_iter().collect();
        let request = StartRequest { linked, ..begin_with(&deployed, input, request_id) };
        Ok((deployed, request))
    }

    fn find(&self, webhook: &str) -> Result<(Deployed, usize), WebhookError> {
        let is_it = |trigger: &Trigger| matches!(&trigger.when, When::Webhook { webhook: name, .. } if name.as_str() == webhook);
        let mut found: Vec<(Deployed, usize)> = self
            .deployments
            .deployed()
            .into_iter()
            .filter_map(|deployed| {
                let number = deployed.graph.triggers.iter().position(is_it)?;
                Some((deployed, number))
            })
            .collect();
        if found.len() > 1 {
            let names: Vec<&str> = found.iter().map(|(deployed, _)| deployed.graph.name.as_str()).collect();
            let workflows = names.join(", ");
            return Err(WebhookError::Several { webhook: webhook.to_owned(), workflows });
        }
        found.pop().ok_or_else(|| WebhookError::Unknown(webhook.to_owned()))
    }

    fn key(&self, webhook: &str, secret: &str) -> Result<SigningKey, WebhookError> {
        let no_secret = |problem| WebhookError::NoSecret { webhook: webhook.to_owned(), problem };
        let from = self
            .secrets
            .get(secret)
            .ok_or_else(|| no_secret(format!("bandstand.toml has no [secrets.{secret}]")))?;
        SigningKey::read(from).map_err(no_secret)
    }
}

/// The input of the run and what makes equal calls one.
fn evaluate(
    graph: &Graph,
    trigger: &Trigger,
    call: Call<'_>,
) -> Result<(Value, Option<String>), WebhookError> {
    let names = Arc::new(json!({
        "at": call.now.to_string(),
        "body": body(call)?,
        "headers": headers(call.headers),
    }));
    let fails =
        |what, problem: String| WebhookError::Expression { webhook: call.webhook.to_owned(), what, problem };
    let input = trigger.input(graph, &names).map_err(|error| fails("input", error.to_string()))?;
    let key = trigger.key(graph, &names).map_err(|error| fails("key", error.to_string()))?;
    Ok((input, key.map(|key| format!("key:{key}"))))
}

/// JSON as its value, anything else as text; nothing is `null`.
fn body(call: Call<'_>) -> Result<Value, WebhookError> {
    if call.body.is_empty() {
        return Ok(Value::Null);
    }
    let kind = call.headers.get(hyper::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind == "application/json" || kind.ends_with("+json")
    });
    match serde_json::from_slice(call.body) {
        Ok(value) => Ok(value),
        Err(error) if is_json => Err(WebhookError::NotJson(error.to_string())),
        Err(_) => Ok(Value::String(String::from_utf8_lossy(call.body).into_owned())),
    }
}

/// By their names in small letters; several of one name with commas between. What is no text is left out.
fn headers(headers: &HeaderMap) -> Value {
    let mut shown = Map::new();
    for name in headers.keys().filter(|name| !HIDDEN.contains(&name.as_str())) {
        let values: Vec<&str> =
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        if !values.is_empty() {
            shown.insert(name.as_str().to_owned(), json!(values.join(", ")));
        }
    }
    Value::Object(shown)
}

fn request_id_of(workflow: &str, webhook: &str, key: &str) -> String {
    if key.len() <= KEY_BYTES_MAX && key.chars().all(|c| c.is_ascii_graphic()) {
        return format!("hook:{workflow}:{webhook}:{key}");
    }
    format!("hook:{workflow}:{webhook}:blake3:{}", blake3::hash(key.as_bytes()).to_hex())
}
