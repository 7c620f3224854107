//! `[retention]`: how long ended runs are kept, of which workflow and with which end.

use std::collections::BTreeMap;

use bandstand_store::{Keep, Retention, Rule, RunStatus};
use serde::Deserialize;

use super::values::{duration, size};

/// `[retention]`: what is kept of all ended runs, and what narrower tables say of some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kept {
    /// Since their end, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub age: Option<u64>,
    /// How many, the newest.
    pub count: Option<u64>,
    /// How much they may take together, in bytes.
    #[serde(deserialize_with = "size")]
    pub size: Option<u64>,
    /// Runs that ended so.
    pub status: BTreeMap<EndedStatus, KeptSome>,
    /// Runs of a workflow, by its name.
    pub workflow: BTreeMap<String, KeptWorkflow>,
}

/// `[retention.workflow.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeptWorkflow {
    /// As in [`Kept`].
    #[serde(deserialize_with = "duration")]
    pub age: Option<u64>,
    /// As in [`Kept`].
    pub count: Option<u64>,
    /// As in [`Kept`].
    #[serde(deserialize_with = "size")]
    pub size: Option<u64>,
    /// All of them, whatever wider tables say.
    pub all: bool,
    /// Of these, runs that ended so.
    pub status: BTreeMap<EndedStatus, KeptSome>,
}

/// `[retention.status.STATUS]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeptSome {
    /// As in [`Kept`].
    #[serde(deserialize_with = "duration")]
    pub age: Option<u64>,
    /// As in [`Kept`].
    pub count: Option<u64>,
    /// As in [`Kept`].
    #[serde(deserialize_with = "size")]
    pub size: Option<u64>,
    /// All of them, whatever wider tables say.
    pub all: bool,
}

/// How a run can have ended. Others are never touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words of `RunStatus`
pub enum EndedStatus {
    Succeeded,
    Failed,
    Cancelled,
    Killed,
}

impl Kept {
    /// As the store takes it.
    pub fn rules(&self) -> Retention {
        let some = |some: &KeptSome| Keep {
            age_ms: some.age,
            count: some.count,
            size_bytes: some.size,
            all: some.all,
        };
        let by_status = |workflow: Option<&String>, table: &BTreeMap<EndedStatus, KeptSome>| {
            let rule = |(status, kept): (&EndedStatus, &KeptSome)| Rule {
                workflow: workflow.cloned(),
                status: Some(RunStatus::from(*status)),
                keep: some(kept),
            };
            table.iter().map(rule).collect::<Vec<_>>()
        };
        let all = Keep { age_ms: self.age, count: self.count, size_bytes: self.size, all: false };
        let mut rules = vec![Rule { workflow: None, status: None, keep: all }];
        rules.extend(by_status(None, &self.status));
        for (name, kept) in &self.workflow {
            let keep = Keep { age_ms: kept.age, count: kept.count, size_bytes: kept.size, all: kept.all };
            rules.push(Rule { workflow: Some(name.clone()), status: None, keep });
            rules.extend(by_status(Some(name), &kept.status));
        }
        Retention { rules }
    }
}

impl From<EndedStatus> for RunStatus {
    fn from(status: EndedStatus) -> RunStatus {
        match status {
            EndedStatus::Succeeded => RunStatus::Succeeded,
            EndedStatus::Failed => RunStatus::Failed,
            EndedStatus::Cancelled => RunStatus::Cancelled,
            EndedStatus::Killed => RunStatus::Killed,
        }
    }
}
