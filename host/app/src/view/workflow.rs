//! A workflow that is served, and a file that is not as it should be.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::project::catalogue::{Change, Deployed, Problem};

/// A workflow in service, as lists show it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkflowSummary {
    /// Its name, by which runs are started.
    pub name: String,
    /// The author's version number.
    pub version: u64,
    /// What it does.
    pub description: String,
    /// Its file, from the served directory.
    pub file: String,
    /// The entity tag of its text, for `If-Match`.
    pub etag: String,
    /// Since when it is in service as it is.
    pub since: String,
    /// Why its file is not in service as it is now: the workflow is as it was before.
    pub problem: Option<FileProblem>,
}

/// Why a file is not in service as it is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileProblem {
    /// The file, from the served directory.
    pub file: String,
    /// The workflow of that file which is in service meanwhile, as it was before.
    pub workflow: Option<String>,
    /// What is wrong, and what to do.
    pub what: String,
    /// All that is wrong with the file, if its text is: as `bandstand check --json` prints it.
    #[schema(value_type = Vec<Object>)]
    pub diagnostics: Vec<Value>,
    /// Since when.
    pub since: String,
}

impl WorkflowSummary {
    /// Of this, and of what is wrong with its file by now.
    pub fn of(deployed: &Deployed, problem: Option<&Problem>) -> WorkflowSummary {
        WorkflowSummary {
            name: deployed.name.clone(),
            version: deployed.version,
            description: deployed.graph.description.clone(),
            file: deployed.file.clone(),
            etag: deployed.etag.clone(),
            since: deployed.since.to_string(),
            problem: problem.map(FileProblem::from),
        }
    }
}

impl From<&Problem> for FileProblem {
    fn from(problem: &Problem) -> FileProblem {
        FileProblem {
            file: problem.file.clone(),
            workflow: problem.in_service.clone(),
            what: problem.what.clone(),
            diagnostics: diagnostics(&problem.diagnostics),
            since: problem.since.to_string(),
        }
    }
}

/// As `bandstand check --json` prints them.
pub fn diagnostics(found: &[bandstand_workflow::Diagnostic]) -> Vec<Value> {
    // Plain data, so writing it cannot fail.
    found.iter().map(|found| serde_json::to_value(found).unwrap_or_default()).collect()
}

/// A change of what is in service, as streams and `bandstand dev --json` tell it.
pub fn change_value(change: &Change) -> Value {
    match change {
        Change::Deployed(deployed) => deployed_value(deployed),
        Change::Refused(problem) => refused_value(problem),
        Change::Mended { file } => json!({ "type": "workflow.mended", "file": file }),
        Change::Removed { name, file } => {
            json!({ "type": "workflow.removed", "file": file, "workflow": name })
        }
    }
}

/// The name of a change: what its `type` is.
pub fn change_name(change: &Change) -> &'static str {
    match change {
        Change::Deployed(_) => "workflow.in-service",
        Change::Refused(_) => "workflow.refused",
        Change::Mended { .. } => "workflow.mended",
        Change::Removed { .. } => "workflow.removed",
    }
}

/// That it is in service, with its warnings.
pub fn deployed_value(deployed: &Deployed) -> Value {
    json!({
        "type": "workflow.in-service", "file": deployed.file, "workflow": deployed.name, "version": deployed.version,
        "diagnostics": diagnostics(&deployed.diagnostics),
    })
}

/// That a file is not in service as it is, and why; `workflow` is what stays in service meanwhile.
pub fn refused_value(problem: &Problem) -> Value {
    json!({
        "type": "workflow.refused", "file": problem.file, "workflow": problem.in_service, "what": problem.what,
        "diagnostics": diagnostics(&problem.diagnostics),
    })
}
