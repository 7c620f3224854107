//! What people's answers come to, by section 7 of the language's reference.

use std::collections::BTreeMap;

use bandstand_engine::graph::OnTimeout;
use bandstand_engine::input::Verdict;
use bandstand_engine::path::Path;
use bandstand_engine::schema::Schema;
use serde_json::{Value, json};

use crate::people::{answer_id, groups_of};
use crate::script::{AnswerPlan, ReviewPlan};

/// How a review ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Approved,
    Rejected,
    Expired,
}

/// What is asked of whom.
pub(super) struct People {
    /// Only ann, bob and the staff may answer.
    pub(super) allowed: bool,
    pub(super) form: Option<Schema>,
    pub(super) quorum: u32,
    pub(super) on_timeout: OnTimeout,
    /// Whether ann, for whom the run is, may approve.
    pub(super) self_approval: bool,
}

impl People {
    pub(super) fn asked(form: Option<&Value>, quorum: u32) -> People {
        People {
            allowed: false,
            form: form.and_then(|form| Schema::new(std::sync::Arc::new(form.clone())).ok()),
            quorum: quorum.max(1),
            on_timeout: OnTimeout::Fail,
            self_approval: true,
        }
    }
}

/// How it ended, and the review's output.
pub(super) struct Told {
    pub(super) decision: Decision,
    pub(super) output: Value,
}

/// `expired`: it was not decided by answers, of which so many were taken.
pub(super) fn tell(
    people: &People,
    propose: &Value,
    plan: Option<&ReviewPlan>,
    expired: Option<usize>,
    path: &Path,
) -> Result<Told, String> {
    let mut value = propose.clone();
    let mut taken: Vec<(usize, &AnswerPlan)> = Vec::new();
    let mut decision = None;
    let mut last_edit = None;
    for (number, answer) in plan.map(|plan| plan.answers.as_slice()).unwrap_or_default().iter().enumerate() {
        if decision.is_some() || expired == Some(taken.len()) {
            break;
        }
        if people.allowed && !may_answer(answer) {
            continue;
        }
        if !people.self_approval && answer.verdict == Verdict::Approved && answer.reviewer == "ann" {
            continue;
        }
        if taken.iter().any(|(_, earlier)| earlier.reviewer == answer.reviewer) {
            continue;
        }
        if answer.verdict == Verdict::Rejected {
            if answer.changes.is_none() {
                taken.push((number, answer));
                decision = Some(Decision::Rejected);
            }
            continue;
        }
        if answer.changes.is_some() && last_edit.is_some() && !answer.looks {
            continue;
        }
        let edited =
            answer.changes.as_ref().map_or_else(|| value.clone(), |changes| patched(&value, changes));
        if people.form.as_ref().is_some_and(|form| form.check(&edited).is_err()) {
            continue;
        }
        value = edited;
        if answer.changes.is_some() {
            last_edit = Some(number);
        }
        taken.push((number, answer));
        if taken.len() >= people.quorum as usize {
            decision = Some(Decision::Approved);
        }
    }
    let by_policy = decision.is_none();
    let decision = match (decision, expired) {
        (Some(decision), None) => decision,
        (None, Some(count)) if count == taken.len() => match people.on_timeout {
            OnTimeout::Approve => Decision::Approved,
            OnTimeout::Reject => Decision::Rejected,
            OnTimeout::Fail | OnTimeout::To(_) => Decision::Expired,
        },
        (Some(_), Some(_)) => return Err(format!("the review at {path} expired although it was answered")),
        (None, Some(count)) => {
            return Err(format!("the review at {path} took {count} answers, not {}", taken.len()));
        }
        (None, None) => return Err(format!("the review at {path} was decided without enough answers")),
    };
    if decision != Decision::Approved {
        value = propose.clone();
    }
    let deciding = taken.last().filter(|_| !by_policy);
    let edit = taken
        .iter()
        .filter_map(|(_, answer)| answer.changes.clone())
        .reduce(|all, next| composed(&all, &next));
    let output = json!({
        "decision": match decision {
            Decision::Approved => "approved",
            Decision::Rejected => "rejected",
            Decision::Expired => "expired",
        },
        "value": value,
        "changes": edit,
        "comments": deciding.map_or("", |_| "well"),
        "confidence": deciding.and_then(|(_, answer)| answer.confidence),
        "decided_by": deciding.map_or("policy", |(_, answer)| answer.reviewer.as_str()),
        "answers": taken.iter().map(|(number, answer)| json!({
            "id": answer_id(path, *number),
            "reviewer": answer.reviewer,
            "decision": answer.verdict.name(),
            "comments": "well",
            "changes": answer.changes,
            "confidence": answer.confidence,
            "at": null,
        })).collect::<Vec<_>>(),
    });
    Ok(Told { decision, output })
}

fn may_answer(answer: &AnswerPlan) -> bool {
    ["ann", "bob"].contains(&answer.reviewer.as_str())
        || groups_of(&answer.reviewer).iter().any(|group| group == "staff")
}

/// One patch in place of two, the second after the first: what the second says of a member holds, the rest of the first
/// stays. A second object after a value that was replaced as a whole is that value patched.
fn composed(first: &Value, second: &Value) -> Value {
    match (first, second) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let member = |key: &String| match (old.get(key), new.get(key)) {
                (Some(before), Some(after)) => composed(before, after),
                (Some(only), None) | (None, Some(only)) => only.clone(),
                (None, None) => Value::Null,
            };
            Value::Object(keys.into_iter().map(|key| (key.clone(), member(key))).collect())
        }
        (_, Value::Object(_)) => patched(first, second),
        _ => second.clone(),
    }
}

/// RFC 7396.
fn patched(value: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut members: BTreeMap<String, Value> = match value {
        Value::Object(members) => members.clone().into_iter().collect(),
        _ => BTreeMap::new(),
    };
    for (key, change) in patch {
        match change {
            Value::Null => {
                members.remove(key);
            }
            change => {
                let old = members.get(key).cloned().unwrap_or(Value::Null);
                members.insert(key.clone(), patched(&old, change));
            }
        }
    }
    Value::Object(members.into_iter().collect())
}
