//! What happens to a run from outside: replies, failures, the passing of time, people's answers and verbs.
//! Completions are never refused, only stale; people's inputs are checked and may be.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{CachedFrom, Payload};
use crate::failure::Failure;
use crate::id::Id;
use crate::path::CommandId;

/// The longest reason that a verb takes. It stands in the journal and in lists. Bytes.
pub const REASON_BYTES_MAX: usize = 4096;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// An attempt gave a reply.
    Done {
        /// Which.
        id: CommandId,
        /// What it said.
        reply: Reply,
        /// What it cost.
        usage: Usage,
    },
    /// An attempt failed.
    Failed {
        /// Which.
        id: CommandId,
        /// Why.
        failure: Failure,
        /// What the agent asked for.
        retry_after_ms: Option<u64>,
        /// What it cost.
        usage: Usage,
    },
    /// The child run that an attempt is has ended.
    ChildEnded {
        /// Which attempt.
        id: CommandId,
        /// How.
        outcome: ChildOutcome,
    },
    /// An equal visit's reply is kept, so the attempt need not be made. Not taken, and nothing changes, when the visit
    /// cannot end well by it: then the attempt is to be made.
    Cached {
        /// Which.
        id: CommandId,
        /// What was said there.
        reply: Reply,
        /// Where.
        from: CachedFrom,
    },
    /// The attempt was in flight when the host died.
    Interrupted {
        /// Which.
        id: CommandId,
    },
    /// Time has passed. Early, late and repeated ones are harmless.
    Tick,
    /// A person answered a review.
    Answer(Answer),
    /// Somebody sent a signal.
    Signal(Signal),
    /// Somebody wants the run to end, in order.
    Cancel {
        /// Who.
        by: By,
        /// Why.
        reason: String,
    },
    /// Somebody wants nothing new to start.
    Pause {
        /// Who.
        by: By,
        /// Why.
        reason: String,
    },
    /// Somebody wants a paused run to carry on.
    Resume {
        /// Who.
        by: By,
        /// Why.
        reason: String,
    },
    /// Somebody wants the run to end now, without cleanup.
    Kill {
        /// Who.
        by: By,
        /// Why.
        reason: String,
    },
    /// Somebody wants the failed run to go on.
    Retry(Box<Retry>),
    /// The thread that the run waits for is its own now. What the thread keeps, by channel.
    Enter(BTreeMap<Id, Arc<Value>>),
}

/// How a child run has ended.
#[derive(Clone, Debug)]
pub enum ChildOutcome {
    /// With this result.
    Succeeded(Arc<Value>),
    /// For this reason, which may also be that it could not start.
    Failed(Failure),
    /// Somebody cancelled it.
    Cancelled,
    /// Somebody killed it.
    Killed,
}

/// A failed run is to go on.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Who wants it.
    pub by: By,
    /// The same id again is the same request: nothing changes.
    pub request_id: Option<String>,
    /// Where it goes on: [`Point::of_failure`](crate::run::Point::of_failure) of its whole journal.
    pub point: crate::run::Point,
    /// How the run's thread is, if the run takes part in one: see [`NewRun::thread`](crate::run::NewRun).
    pub thread: Option<crate::run::ThreadNow>,
}

/// What an agent said.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Must be an object, else the attempt failed with `not-object`.
    pub output: Arc<Value>,
    /// 0 to 1.
    pub confidence: Option<f64>,
    /// Where it wants the run to go.
    pub next: ReplyNext,
}

/// Where an agent wants the run to go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyNext {
    /// By the edges of the file.
    #[default]
    Edges,
    /// To that node, if the file lists it.
    Goto(String),
    /// The host picks by confidence.
    Choose(Vec<Choice>),
    /// A person is to look first.
    Review(Box<ReviewRequest>),
}

impl ReplyNext {
    /// Whether it leaves the way to the file.
    pub fn is_edges(&self) -> bool {
        matches!(self, ReplyNext::Edges)
    }
}

/// An option and how sure somebody is of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The option.
    pub name: String,
    /// 0 to 1.
    pub confidence: f64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A review that an agent asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReviewRequest {
    /// One line.
    pub title: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is to be approved; none: the whole output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propose: Option<Payload>,
    /// JSON Schema of the approved value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Payload>,
    /// How long it waits; none: an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// `user:ID` or `group:ID`; empty: anybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
    /// Approvals needed; 0 counts as 1.
    pub quorum: u32,
}

/// What an attempt cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// From being owed to its start.
    #[serde(skip_serializing_if = "is_zero")]
    pub queued_ms: u64,
    /// From its start to its end.
    #[serde(skip_serializing_if = "is_zero")]
    pub wall_us: u64,
    /// Spent in the guest.
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_us: u64,
    /// Peak of its linear memories.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory_bytes_max: u64,
    /// Passed to the host's functions.
    #[serde(skip_serializing_if = "is_zero")]
    pub host_bytes: u64,
    /// Calls of models, its tools' included.
    #[serde(skip_serializing_if = "is_zero")]
    pub model_calls: u64,
    /// What models read.
    #[serde(skip_serializing_if = "is_zero")]
    pub tokens_in: u64,
    /// What models wrote.
    #[serde(skip_serializing_if = "is_zero")]
    pub tokens_out: u64,
    /// What models cost, by the prices of the host's configuration. Millionths of its currency.
    #[serde(skip_serializing_if = "is_zero")]
    pub cost_micros: u64,
    /// Waiting for models.
    #[serde(skip_serializing_if = "is_zero")]
    pub model_ms: u64,
    /// The tools it called, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolUse>,
    /// The calls of models, in the order in which they ended. Absent: none, or an older host that kept the sums only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelUse>,
}

/// One call of a model, or several of one model where an attempt made very many. What was asked and answered is not here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelUse {
    /// The operator's name of the model.
    pub name: String,
    /// Who has it: `openai`, `anthropic`, `gemini`, `ollama`. Absent: recorded replies.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// The provider's name of it. Absent: the same as the operator's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Whether it was asked for vectors, not for an answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub embed: bool,
    /// From the attempt's start to the call. Milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub at_ms: u64,
    /// From the call to its end; of several, all together. Milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub took_ms: u64,
    /// Tokens read.
    #[serde(skip_serializing_if = "is_zero")]
    pub tokens_in: u64,
    /// Tokens written.
    #[serde(skip_serializing_if = "is_zero")]
    pub tokens_out: u64,
    /// Millionths of the operator's currency.
    #[serde(skip_serializing_if = "is_zero")]
    pub cost_micros: u64,
    /// The code of its failure, `cut` if it was given up. Absent: it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Further calls of the same model and the same end that are added up in this entry.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
}

/// One call of a tool: a child of the attempt that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUse {
    /// As it was called: the plugin's id in the graph.
    pub name: String,
    /// From the start of the attempt that made it to its call. Milliseconds. Absent: 0, or an older host.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at_ms: u64,
    /// From its call to its answer. Milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub took_ms: u64,
    /// The code of its failure, `cancelled` if the attempt that called it ended first. Absent: it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// The tools that it called itself, in order. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolUse>,
}

/// What models cost a run so far, in all attempts that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// As in [`Usage`].
    #[serde(skip_serializing_if = "is_zero")]
    pub tokens_in: u64,
    /// As in [`Usage`].
    #[serde(skip_serializing_if = "is_zero")]
    pub tokens_out: u64,
    /// As in [`Usage`].
    #[serde(skip_serializing_if = "is_zero")]
    pub cost_micros: u64,
}

impl Spent {
    /// Whether nothing was spent.
    pub fn is_nothing(&self) -> bool {
        *self == Spent::default()
    }

    /// With what an attempt cost.
    pub fn add(&mut self, usage: &Usage) {
        self.tokens_in = self.tokens_in.saturating_add(usage.tokens_in);
        self.tokens_out = self.tokens_out.saturating_add(usage.tokens_out);
        self.cost_micros = self.cost_micros.saturating_add(usage.cost_micros);
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Usage {
    /// Whether there is nothing to record.
    pub fn is_nothing(&self) -> bool {
        *self == Usage::default()
    }

    /// With what another attempt took. Memory is the most that one of them held; the calls of tools and
    /// models are not listed.
    pub fn add(&mut self, other: &Usage) {
        let Usage {
            queued_ms,
            wall_us,
            cpu_us,
            memory_bytes_max,
            host_bytes,
            model_calls,
            tokens_in,
            tokens_out,
            cost_micros,
            model_ms,
            tools: _,
            models: _,
        } = other;
        self.memory_bytes_max = self.memory_bytes_max.max(*memory_bytes_max);
        for (sum, more) in [
            (&mut self.queued_ms, queued_ms),
            (&mut self.wall_us, wall_us),
            (&mut self.cpu_us, cpu_us),
            (&mut self.host_bytes, host_bytes),
            (&mut self.model_calls, model_calls),
            (&mut self.tokens_in, tokens_in),
            (&mut self.tokens_out, tokens_out),
            (&mut self.cost_micros, cost_micros),
            (&mut self.model_ms, model_ms),
        ] {
            *sum = sum.saturating_add(*more);
        }
    }
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// What they are.
    pub kind: ActorKind,
    /// Their id.
    pub id: String,
}

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// A human being.
    Person,
    /// A plugin.
    Agent,
    /// The host.
    Host,
    /// A rule of the workflow.
    Policy,
}

/// A person's answer to a review.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which review.
    pub review_id: String,
    /// The id of this answer, made by the caller; shown in `answers`.
    pub feedback_id: String,
    /// The same id again is the same answer: nothing changes.
    pub request_id: Option<String>,
    /// Who answers: a bare user id.
    pub reviewer: String,
    /// The groups they belong to, for `group:ID` reviewers.
    pub groups: Vec<String>,
    /// Approved or rejected.
    pub decision: Verdict,
    /// What they say.
    pub comments: String,
    /// JSON merge patch of what is proposed.
    pub changes: Option<Arc<Value>>,
    /// The id of the latest edit they saw: needed to edit what another has edited.
    pub saw: Option<String>,
    /// How sure they are, 0 to 1.
    pub confidence: Option<f64>,
}

/// A signal for a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The id of this signal, made by the host.
    pub signal_id: String,
    /// Its name, as some `wait` of the workflow has it.
    pub name: String,
    /// What it says.
    pub data: Arc<Value>,
    /// Who sends it.
    pub by: By,
    /// The same id again is the same signal: nothing changes.
    pub request_id: Option<String>,
}

/// What a reviewer decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Go on.
    Approved,
    /// Do not.
    Rejected,
}

impl Verdict {
    /// The word that expressions see.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Approved => "approved",
            Verdict::Rejected => "rejected",
        }
    }
}

/// Why a person's input was refused. The run is unchanged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejected {
    /// No open review has that id, and none that was decided lately.
    #[error("no review `{0}` is open in this run; `bandstand review list` shows what waits")]
    UnknownReview(String),
    /// It was decided otherwise.
    #[error("review `{review_id}` was already {outcome}; your answer differs and was not taken")]
    Decided {
        /// Which.
        review_id: String,
        /// How it was decided.
        outcome: &'static str,
    },
    /// The reviewer answered otherwise before.
    #[error("`{reviewer}` already answered review `{review_id}`: {decision}; an answer cannot be changed")]
    Answered {
        /// Which.
        review_id: String,
        /// Who.
        reviewer: String,
        /// Their first answer.
        decision: &'static str,
    },
    /// The branch that asked was cancelled.
    #[error("review `{0}` was withdrawn: what asked for it has ended")]
    Withdrawn(String),
    /// Not one of the reviewers.
    #[error("`{reviewer}` may not answer review `{review_id}`; it asks {allowed}")]
    NotAllowed {
        /// Which.
        review_id: String,
        /// Who.
        reviewer: String,
        /// Whom it asks.
        allowed: String,
    },
    /// The run is for whoever wants to approve it, or they began it.
    #[error(
        "`{reviewer}` may not approve review `{review_id}`: the run is theirs (it is for them, or they began it or the run that it comes from) and the review has `self-approval: false`; \
         somebody else has to, and a rejection is taken from everybody it asks"
    )]
    SelfApproval {
        /// Which.
        review_id: String,
        /// Who.
        reviewer: String,
    },
    /// The edited value does not satisfy the form.
    #[error("the edited value does not satisfy the form of review `{review_id}`: {problem}")]
    BadEdit {
        /// Which.
        review_id: String,
        /// What is wrong, with its place.
        problem: String,
    },
    /// Another reviewer edited first.
    #[error(
        "review `{review_id}` was edited by `{reviewer}` meanwhile: look again, then answer with `--saw {feedback_id}`"
    )]
    Edited {
        /// Which.
        review_id: String,
        /// By whom.
        reviewer: String,
        /// The id of that edit.
        feedback_id: String,
    },
    /// A rejection carries no edit.
    #[error("a rejection cannot change what is proposed; leave out the changes, or approve with them")]
    ChangesOnReject,
    /// Out of 0 to 1.
    #[error("a confidence lies between 0 and 1, not {0}")]
    BadConfidence(f64),
    /// Above `limits.payload`.
    #[error("what was sent has {bytes} bytes, above `limits.payload` = {bytes_max}")]
    TooLarge {
        /// Its size as JSON.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// No wait of the workflow names the signal.
    #[error("this workflow never waits for signal `{name}`; {known}")]
    UnknownSignal {
        /// The name that was given.
        name: String,
        /// What it waits for, in words.
        known: String,
    },
    /// The signal's data is not what its wait asks for.
    #[error("the data of signal `{name}` does not fit: {problem}")]
    BadSignal {
        /// Its name.
        name: String,
        /// What is wrong, with its place.
        problem: String,
    },
    /// Too many signals are kept.
    #[error(
        "{count_max} signals that no wait has taken yet are kept for this run, the most there can be; `{name}` was not \
         taken: send it again when the run has come further"
    )]
    TooManySignals {
        /// Its name.
        name: String,
        /// The limit.
        count_max: usize,
    },
    /// The request of that name said something else.
    #[error(
        "the request `{0}` was carried out before and said something else; this one was not taken: name it otherwise"
    )]
    RequestTaken(String),
    /// Why somebody wants a verb, at too great a length.
    #[error("the reason has {bytes} bytes; {REASON_BYTES_MAX} are the most (`--reason`)")]
    ReasonTooLong {
        /// Its length in UTF-8.
        bytes: usize,
    },
    /// The run has ended.
    #[error("the run has already {0}")]
    Ended(&'static str),
    /// Only a failed run can be retried.
    #[error(
        "only a failed run can be retried, this one is {0}; to do it anew: bandstand runs rerun, or runs fork"
    )]
    NotFailed(&'static str),
    /// The run went on since the point was taken.
    #[error("the run went on meanwhile: it has {has} events, not {seen}; look again")]
    WentOn {
        /// How many it has.
        has: u64,
        /// How many were looked at.
        seen: u64,
    },
}
