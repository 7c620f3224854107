//! `bandstand plugin verify`: whether plugins would load here, and whether what is compiled of them is authentic. Changes
//! nothing, also not what is wrong.

use std::path::Path;

use bandstand_engine::graph::MemoryAccess;
use bandstand_sandbox::{Grants, HttpGrant, KeptCode, LoadError, MemoryGrant, Sandbox};
use bandstand_workflow::Permitted;
use clap::Args;
use serde_json::json;

use super::component::{Component, read};
use super::{sandbox, summary, unloaded};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::{safe, words};
use crate::project::directory::Directory;
use crate::project::permits;

/// What `verify` is given.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Components, `builtin:NAME`, or folders of agents that are built
    #[arg(value_name = "DIR|FILE", required = true)]
    pub files: Vec<String>,
}

/// Verifies them all, then says whether something is wrong with one: exit code 3 for a plugin that is not there, 2 for one that does
/// not load, 1 for compiled code that was changed.
pub fn execute(args: &VerifyArgs, context: &Context) -> Result<Exit, Failure> {
    let directory = Directory::at(Path::new("."))?;
    let sandbox = sandbox(context, directory.config.as_ref(), true)?;
    let (mut unusable, mut refused) = (Vec::new(), 0);
    for named in &args.files {
        let (file, verified) = match Component::named(named) {
            Ok(component) => {
                component.warn_if_outdated(&context.out);
                let verified = verified(&component.file, &directory, &sandbox);
                (component.file, verified)
            }
            Err(failure) => (named.clone(), Verified::not_loaded(failure)),
        };
        refused += usize::from(matches!(verified.kept, KeptCode::Refused { .. }));
        tell(&file, &verified, context);
        unusable.extend(verified.problem);
    }
    let all = words::count(args.files.len(), "plugin");
    if let Some(failure) = summary(unusable, |failed| format!("{failed} of {all} would not load")) {
        return Err(failure);
    }
    if refused > 0 {
        return Err(Failure::other(format!(
            "compiled code of {refused} of {all} is not authentic and is not used"
        ))
        .help("find out who changed it; to compile anew: bandstand plugin precompile FILE"));
    }
    Ok(Exit::Succeeded)
}

struct Verified {
    digest: Option<String>,
    grants: String,
    kept: KeptCode,
    problem: Option<Failure>,
}

impl Verified {
    fn not_loaded(problem: Failure) -> Verified {
        Verified { digest: None, grants: "-".to_owned(), kept: KeptCode::None, problem: Some(problem) }
    }
}

fn verified(file: &str, directory: &Directory, sandbox: &Sandbox) -> Verified {
    let bytes = match read(file) {
        Ok(bytes) => bytes,
        Err(failure) => return Verified::not_loaded(failure),
    };
    let inspection = match bandstand_sandbox::inspect(&bytes) {
        Ok(inspection) => inspection,
        Err(error) => return Verified::not_loaded(unloaded(&error)),
    };
    let kept = sandbox.kept_code(&inspection.digest);
    let loaded = match &directory.config {
        // Without the operator's file a workflow file's own grants hold.
        None => sandbox.precompile(&bytes),
        Some(config) => {
            let name = name_in_project(file, directory);
            let permitted = permits::permitted(config, &[&name, &inspection.digest], name.clone());
            let missing = inspection.not_granted(&grants(permitted));
            match inspection.is_of_use() {
                Ok(()) if missing.is_empty() => sandbox.precompile(&bytes),
                Ok(()) => Err(LoadError::NotGranted(missing)),
                Err(useless) => Err(useless),
            }
        }
    };
    let needed = inspection.capabilities();
    let mut grants = match (&directory.config, needed.is_empty()) {
        (_, true) => "none needed".to_owned(),
        (None, false) => {
            format!("needs {}; no bandstand.toml, so a workflow file may grant it", needed.join(", "))
        }
        (Some(_), false) => format!("needs {}", needed.join(", ")),
    };
    if loaded.is_ok() && directory.config.is_some() && !needed.is_empty() {
        grants.push_str("; permitted by bandstand.toml");
    }
    let problem = loaded.err().map(|error| unloaded(&error));
    Verified { digest: Some(inspection.digest), grants, kept, problem }
}

/// All that the operator permits, as the sandbox has it.
pub(super) fn grants(permitted: Permitted) -> Grants {
    let http = permitted.http.into_iter();
    Grants {
        memory: permitted.memory.map(|access| match access {
            MemoryAccess::Read => MemoryGrant::Read,
            MemoryAccess::Write => MemoryGrant::Write,
        }),
        http: http.map(|http| HttpGrant { origin: http.origin, methods: http.methods }).collect(),
        models: permitted.model.into_iter().collect(),
        tools: permitted.tools.into_iter().collect(),
        secrets: permitted.secrets.into_iter().collect(),
        // No import needs the others.
        ..Grants::default()
    }
}

/// What `[grants]` may call the file.
pub(super) fn name_in_project(file: &str, directory: &Directory) -> String {
    let path = Path::new(file).canonicalize().unwrap_or_else(|_| Path::new(file).to_owned());
    path.strip_prefix(&directory.root)
        .map_or_else(|_| file.to_owned(), |name| name.to_string_lossy().into_owned())
}

fn tell(file: &str, verified: &Verified, context: &Context) {
    let Verified { digest, grants, kept, .. } = verified;
    let problem = verified.problem.as_ref().map(|failure| &failure.what);
    let (word, code) = match kept {
        KeptCode::None => ("none", "none; compiled when it is first loaded".to_owned()),
        KeptCode::Authentic { size_bytes } => {
            ("authentic", format!("authentic, {}", words::size(*size_bytes as u64)))
        }
        KeptCode::Refused { path, reason } => ("refused", format!("refused: {}: {reason}", path.display())),
    };
    if context.out.json {
        let refused = match kept {
            KeptCode::Refused { path, reason } => json!({ "path": path.to_string_lossy(), "reason": reason }),
            _ => json!(null),
        };
        context.out.json_line(&json!({
            "file": file, "digest": digest, "loads": problem.is_none(), "problem": problem, "grants": grants,
            "code": word, "refused": refused,
        }));
        return;
    }
    context.out.data(&format!("file      {}", safe::line(file)));
    if let Some(digest) = digest {
        context.out.data(&format!("digest    {digest}"));
        context.out.data(&format!("grants    {grants}"));
        context.out.data(&format!("compiled  {}", safe::line(&code)));
    }
    context.out.data(&match problem {
        None => "loads     yes".to_owned(),
        Some(problem) => format!("loads     no: {}", safe::line(problem)),
    });
}
