//! What a command asks a server to do, in the words of [`crate::host::Access`], whose third way this is.

use std::collections::BTreeMap;

use bandstand_engine::input::{By, Verdict};
use bandstand_store::Deletion;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{ApiError, Told};
use super::exchange::Asked;
use super::target::Api;
use super::{escaped, query};
use crate::host::{AnswerRequest, RetryRequest, SignalRequest, SteerRequest, Taken};
use crate::view::{Decided, Done, RunOutcome, RunSummary};

/// A run of a workflow that the server has.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The workflow's name.
    pub workflow: String,
    /// What the run is given.
    pub input: Value,
    /// The thread that it belongs to.
    pub thread_id: Option<String>,
    /// For whom it runs.
    pub user_id: Option<String>,
    /// The same id again is the same request.
    pub request_id: Option<String>,
    /// Source of its randomness.
    pub seed: Option<u64>,
}

/// A run that comes from another one: a fork or a rerun.
#[derive(Clone, Debug)]
pub struct Again {
    /// The run.
    pub run_id: String,
    /// Of a fork: the point.
    pub from: Option<String>,
    /// Of a fork: what is different.
    pub set: BTreeMap<String, Value>,
    /// With workflow and plugins as the server has them now.
    pub latest: bool,
    /// The same id again is the same request.
    pub request_id: Option<String>,
}

impl Api {
    /// Begins a run; durable when this returns its id.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn begin(&self, begin: Begin) -> Result<String, ApiError> {
        let body = json!({
            "workflow": begin.workflow, "input": begin.input, "thread_id": begin.thread_id,
            "user_id": begin.user_id, "seed": begin.seed,
        });
        let begun: RunOutcome =
            self.json(Asked::post("/runs", &body).key(begin.request_id.as_deref())).await?;
        Ok(begun.run.run_id)
    }

    /// Begins a fork or a rerun; durable when this returns its id.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn again(&self, again: Again) -> Result<String, ApiError> {
        let (verb, body) = match &again.from {
            Some(from) => ("fork", json!({ "from": from, "set": again.set, "latest": again.latest })),
            None => ("rerun", json!({ "latest": again.latest })),
        };
        let asked = Asked::post(format!("/runs/{}/{verb}", escaped(&again.run_id)), &body);
        let begun: RunOutcome = self.json(asked.key(again.request_id.as_deref())).await?;
        Ok(begun.run.run_id)
    }

    /// Hands over an answer to a review.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn answer(&self, answer: AnswerRequest) -> Result<Taken, ApiError> {
        let decision = match answer.decision {
            Verdict::Approved => "approved",
            Verdict::Rejected => "rejected",
        };
        let body = json!({
            "decision": decision, "comments": answer.comments, "changes": answer.changes, "saw": answer.saw,
            "confidence": answer.confidence, "reviewer": named(&answer.reviewer), "groups": answer.groups,
        });
        let path = format!("/reviews/{}/decision", escaped(&answer.review_id));
        let decided: Decided = self.json(Asked::post(path, &body).key(answer.request_id.as_deref())).await?;
        Ok(taken(decided.changed))
    }

    /// Hands over a signal.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn signal(&self, signal: SignalRequest) -> Result<Taken, ApiError> {
        let path = format!("/runs/{}/signals/{}", escaped(&signal.run_id), escaped(&signal.name));
        let body = json!({ "data": signal.data, "by": whose(&signal.by) });
        let done: Done = self.json(Asked::post(path, &body).key(signal.request_id.as_deref())).await?;
        Ok(taken(done.changed))
    }

    /// Pauses, resumes, cancels or kills a run.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn steer(&self, steer: SteerRequest) -> Result<Taken, ApiError> {
        let path = format!("/runs/{}/{}", escaped(&steer.run_id), steer.steering.name());
        let body = json!({ "reason": steer.reason, "by": whose(&steer.by) });
        let done: Done = self.json(Asked::post(path, &body)).await?;
        Ok(taken(done.changed))
    }

    /// Makes a failed run go on.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn retry(&self, retry: RetryRequest) -> Result<Taken, ApiError> {
        let path = format!("/runs/{}/retry", escaped(&retry.run_id));
        let body = json!({ "by": whose(&retry.by) });
        let done: Done = self.json(Asked::post(path, &body).key(retry.request_id.as_deref())).await?;
        Ok(taken(done.changed))
    }

    /// Deletes runs that have ended, one after the other.
    ///
    /// # Errors
    /// As [`Api::json`]; those before the one that was refused are gone then.
    pub async fn delete_runs(&self, run_ids: &[String]) -> Result<Vec<Deletion>, ApiError> {
        let mut ends = Vec::new();
        for run_id in run_ids {
            let asked = Asked::new(Method::DELETE, format!("/runs/{}", escaped(run_id)));
            ends.push(match self.done(asked).await {
                Ok(()) => Deletion::Deleted,
                Err(ApiError::Problem { told: Told { code, .. }, .. }) if code == "not-found" => {
                    Deletion::Unknown
                }
                Err(error) => return Err(error),
            });
        }
        Ok(ends)
    }

    /// Forgets what a thread keeps.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn forget_thread(&self, workflow: &str, thread_id: &str) -> Result<(), ApiError> {
        let path = format!("/threads/{}/{}", escaped(workflow), escaped(thread_id));
        self.done(Asked::new(Method::DELETE, path)).await
    }

    /// Puts a plugin back in service.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn release_plugin(&self, digest: &str) -> Result<Taken, ApiError> {
        #[derive(Deserialize)]
        struct Released {
            changed: bool,
        }
        let asked = Asked::new(Method::POST, format!("/plugins/{}/release", escaped(digest)));
        let released: Released = self.json(asked).await?;
        Ok(taken(released.changed))
    }

    /// Hands over an exported run.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn import(&self, file: Vec<u8>) -> Result<RunSummary, ApiError> {
        self.json(Asked::new(Method::POST, "/imports").body("application/octet-stream", file)).await
    }

    /// Waits until a run has ended or only people can move it, or for so many seconds.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub(super) async fn wait(&self, run_id: &str, seconds: u32) -> Result<RunOutcome, ApiError> {
        let waits = std::time::Duration::from_secs(seconds.into());
        let path = format!("/runs/{}/wait{}", escaped(run_id), query(&[("wait", Some(seconds.to_string()))]));
        self.json(Asked::get(path).waiting(waits)).await
    }
}

fn taken(changed: bool) -> Taken {
    if changed { Taken::Changed } else { Taken::Known }
}

/// Whoever has the token is named by it.
fn whose(by: &By) -> Option<&str> {
    named(&by.id)
}

fn named(id: &str) -> Option<&str> {
    Some(id).filter(|id| !id.is_empty())
}
