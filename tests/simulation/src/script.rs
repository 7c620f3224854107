//! What agents and people do in a simulated world, keyed by who they are (`path#attempt`, path), never by when they are
//! asked. So neither the order of things nor a crash changes what they do, and an oracle can know it beforehand.

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::event::CachedFrom;
use bandstand_engine::failure::{Class, Failure};
use bandstand_engine::input::{Choice, Input, Reply, ReplyNext, ReviewRequest, Usage, Verdict};
use bandstand_engine::{Callee, Command, CommandId, Id, Path, Payload};
use serde::Serialize;
use serde_json::{Value, json};

use crate::children::{ChildBehaviour, ChildEnd, Children};
use crate::tape::hash;

/// What an agent does in one attempt.
#[derive(Clone, Debug, Serialize)]
pub struct Behaviour {
    /// How long it takes.
    pub duration_ms: u64,
    /// How it ends.
    pub end: AttemptEnd,
}

/// How an attempt ends.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptEnd {
    /// With a reply.
    Reply {
        /// Part of the output.
        n: i64,
        /// Part of the output, when there is one.
        options: Option<Value>,
        /// The reply's confidence.
        confidence: Option<f64>,
        /// Where it wants to go.
        next: Wish,
        /// The output is no object.
        broken: bool,
    },
    /// Badly.
    Failure {
        /// What kind.
        class: Class,
        /// Finer.
        code: String,
        /// Whether it may be tried again.
        recoverable: bool,
        /// What the agent asks for.
        retry_after_ms: Option<u64>,
    },
}

/// Where a reply wants to go.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// By the file.
    Edges,
    /// To that node.
    Goto(String),
    /// By confidence.
    Choose(Vec<Choice>),
    /// After a person has looked.
    Review {
        /// What is proposed; none: the output.
        propose: Option<Value>,
        /// What the approved value must be.
        form: Option<Value>,
        /// How long it waits.
        timeout_ms: Option<u64>,
        /// Approvals needed.
        quorum: u32,
    },
}

/// What people answer to one review, in this order.
#[derive(Clone, Debug, Serialize)]
pub struct ReviewPlan {
    /// The answers.
    pub answers: Vec<AnswerPlan>,
}

/// One answer.
#[derive(Clone, Debug, Serialize)]
pub struct AnswerPlan {
    /// After the answer before, or the opening.
    pub delay_ms: u64,
    /// Who.
    pub reviewer: String,
    /// What.
    pub verdict: Verdict,
    /// Edits.
    pub changes: Option<Value>,
    /// Names the edit seen, or not.
    pub looks: bool,
    /// How sure.
    pub confidence: Option<f64>,
}

/// All agents and people of one world.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Script {
    /// By the agent's place in the graph; which one an attempt shows is derived from its id.
    pub agents: BTreeMap<String, Vec<Behaviour>>,
    /// By the node's place in the graph; which one is derived from the visit's path.
    pub reviews: BTreeMap<String, Vec<ReviewPlan>>,
    /// What scripted child runs do, by the node's place in the graph; which one is derived from the attempt's id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub children: BTreeMap<String, Vec<ChildBehaviour>>,
}

impl Script {
    /// What the agent does in that attempt.
    pub fn behaviour(&self, path: &Path, attempt: u32) -> Option<&Behaviour> {
        let all = self.agents.get(&path.node_path())?;
        let count = u64::try_from(all.len()).unwrap_or(1).max(1);
        all.get(usize::try_from(hash(&format!("{path}#{attempt}")) % count).unwrap_or(0))
    }

    /// What a scripted child run does.
    pub fn child(&self, id: &CommandId) -> Option<&ChildBehaviour> {
        let all = self.children.get(&id.path.node_path())?;
        let count = u64::try_from(all.len()).unwrap_or(1).max(1);
        all.get(usize::try_from(hash(&format!("child/{id}")) % count).unwrap_or(0))
    }

    /// What people answer there.
    pub fn review(&self, path: &Path) -> Option<&ReviewPlan> {
        let all = self.reviews.get(&path.node_path())?;
        let count = u64::try_from(all.len()).unwrap_or(1).max(1);
        all.get(usize::try_from(hash(&format!("people/{path}")) % count).unwrap_or(0))
    }

    /// The reply that an equal visit gave, if one is kept; it may be one that cannot serve.
    pub fn kept(&self, path: &Path) -> Option<&Behaviour> {
        let all = self.agents.get(&path.node_path())?;
        let count = u64::try_from(all.len()).unwrap_or(1).max(1);
        let behaviour = all.get(usize::try_from(hash(&format!("kept/{path}")) % count).unwrap_or(0))?;
        matches!(behaviour.end, AttemptEnd::Reply { .. }).then_some(behaviour)
    }

    /// The same as an input, from a run that is gone.
    pub fn cached(&self, command: &Command) -> Option<Input> {
        let behaviour = self.kept(&command.id.path)?;
        let AttemptEnd::Reply { confidence, next, .. } = &behaviour.end else { return None };
        let output = Arc::new(output_of(behaviour, &command.input));
        let from = CachedFrom { run: "gone".to_owned(), p: command.id.path.clone() };
        let reply = Reply { output, confidence: *confidence, next: next.to_reply() };
        Some(Input::Cached { id: command.id.clone(), reply, from })
    }

    /// The result of a call.
    pub fn call(&self, command: &Command) -> (u64, Input) {
        let id = command.id.clone();
        if let Callee::Workflow(_) = &command.callee {
            let behaviour = self.child(&id);
            let (duration_ms, outcome) = match behaviour {
                Some(behaviour) => (behaviour.duration_ms, behaviour.end.outcome()),
                None => (0, ChildEnd::Cancelled.outcome()),
            };
            return (duration_ms, Input::ChildEnded { id, outcome });
        }
        let Some(behaviour) = self.behaviour(&id.path, id.attempt) else {
            return (0, reply(id, json!({ "n": 0, "echo": echo(&command.input) }), None, ReplyNext::Edges));
        };
        let input = match &behaviour.end {
            AttemptEnd::Reply { confidence, next, .. } => {
                let output = output_of(behaviour, &command.input);
                reply(id, output, *confidence, next.to_reply())
            }
            AttemptEnd::Failure { class, code, recoverable, retry_after_ms } => Input::Failed {
                id,
                failure: Failure {
                    recoverable: *recoverable,
                    ..Failure::permanent(*class, code, "as scripted")
                },
                retry_after_ms: *retry_after_ms,
                usage: Usage::default(),
            },
        };
        (behaviour.duration_ms, input)
    }
}

impl Behaviour {
    /// Whether it is a reply that may be kept: a whole one that goes by the file.
    pub fn is_plain(&self) -> bool {
        matches!(&self.end, AttemptEnd::Reply { broken: false, next: Wish::Edges | Wish::Choose(_), .. })
    }
}

impl Children for Script {
    fn told(&self, _: &Id, id: &CommandId, _: &Value) -> Result<ChildEnd, String> {
        let behaviour = self.child(id).ok_or_else(|| format!("no script for the child run {id}"))?;
        Ok(behaviour.end.clone())
    }
}

impl Wish {
    /// As the engine takes it.
    pub fn to_reply(&self) -> ReplyNext {
        match self {
            Wish::Edges => ReplyNext::Edges,
            Wish::Goto(to) => ReplyNext::Goto(to.clone()),
            Wish::Choose(choices) => ReplyNext::Choose(choices.clone()),
            Wish::Review { propose, form, timeout_ms, quorum } => {
                ReplyNext::Review(Box::new(ReviewRequest {
                    title: "look".to_owned(),
                    reason: String::new(),
                    propose: propose.clone().map(Payload::new),
                    form: form.clone().map(Payload::new),
                    timeout_ms: *timeout_ms,
                    reviewers: Vec::new(),
                    quorum: *quorum,
                }))
            }
        }
    }
}

fn reply(id: CommandId, output: Value, confidence: Option<f64>, next: ReplyNext) -> Input {
    Input::Done { id, reply: Reply { output: Arc::new(output), confidence, next }, usage: Usage::default() }
}

/// The output of a reply to that input. The input is in it as a number, so that a wrong one shows.
pub fn output_of(behaviour: &Behaviour, input: &Value) -> Value {
    match &behaviour.end {
        AttemptEnd::Reply { broken: true, .. } => json!([1, 2]),
        AttemptEnd::Reply { n, options: Some(options), .. } => {
            json!({ "n": n, "options": options, "echo": echo(input) })
        }
        AttemptEnd::Reply { n, .. } => json!({ "n": n, "echo": echo(input) }),
        AttemptEnd::Failure { .. } => Value::Null,
    }
}

fn echo(input: &Value) -> u64 {
    hash(&normal(input).to_string()) >> 32
}

/// The value without what time and wording decide: texts for people, times.
pub fn normal(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, member)| {
                    let member = match key.as_str() {
                        "message" | "at" | "times" => Value::Null,
                        _ => normal(member),
                    };
                    (key.clone(), member)
                })
                .collect(),
        ),
        Value::Array(items) => items.iter().map(normal).collect(),
        other => other.clone(),
    }
}
