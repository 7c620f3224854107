//! The tools of `bandstand plugin test`: components named by `--tool`, which have no power of their own, and the tools of the host
//! (`[tools.ID]`), which have what the operator gave them. Quarantine knows nothing of calls made by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::graph::{Plugin as Declared, PluginSource};
use bandstand_sandbox::{
    CallLimits, Grants, Memory, Plugin, PowerError, PowerErrorKind, Sandbox, Tool, ToolSpec, Tools,
};
use serde_json::json;

use super::component::{BUILTIN, read};
use super::refused;
use crate::cli::context::attempt_limits;
use crate::cli::exit::Failure;
use crate::driver;
use crate::host::Lending;
use crate::project::config::Config;
use crate::project::contract;
use crate::project::tools::{HostTool, Told, find};

/// What `--tool` says: the name by which the agent calls it, and its component.
pub(super) type Named = (String, String);

/// `NAME=FILE`.
pub(super) fn named(text: &str) -> Result<Named, String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), file.to_owned())),
        _ => Err("write NAME=FILE, such as search=tools/search.wasm or search=builtin:echo".to_owned()),
    }
}

/// Whether each that is given may be called, too: naming a component gives no power.
///
/// # Errors
/// When one is not granted.
pub(super) fn all_granted(given: &[Named], granted: &[String]) -> Result<(), Failure> {
    let Some((name, _)) = given.iter().find(|(name, _)| !granted.contains(name)) else { return Ok(()) };
    let all: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
    Err(Failure::usage(format!("--tool {name}: the plugin is not granted it"))
        .help(format!("grant it, too: --grants '{{ tools: [{}] }}'", all.join(", "))))
}

/// Tools that are loaded, by name.
pub(super) struct Lent(BTreeMap<String, LentTool>);

struct LentTool {
    spec: ToolSpec,
    plugin: Plugin,
    limits: CallLimits,
    grants: Arc<Grants>,
    env: Vec<(String, String)>,
}

impl Lent {
    /// Loads those that are granted, and those that these may call.
    ///
    /// # Errors
    /// When one cannot be loaded with what it is given.
    pub(super) fn load(
        granted: &[String],
        given: &[Named],
        config: Option<&Config>,
        lending: &Lending,
        sandbox: &Sandbox,
    ) -> Result<Lent, Failure> {
        let mut lent = BTreeMap::new();
        let mut open = granted.to_vec();
        while let Some(name) = open.pop() {
            if lent.contains_key(&name) {
                continue;
            }
            let tool = match (given.iter().find(|(known, _)| *known == name), config) {
                (Some((_, file)), _) => of_file(file).map(Some)?,
                (None, Some(config)) => find(config, &name).transpose().map_err(Failure::usage)?,
                (None, None) => None,
            };
            // What is granted by bandstand.toml and is no tool here is told to the agent when it calls.
            let Some(HostTool { plugin: declared, bytes }) = tool else { continue };
            if let Some(refused) = lending.refusal(&declared.grants) {
                return Err(Failure::usage(format!("the tool `{name}`: {}", refused.message)));
            }
            open.extend(declared.grants.tools.iter().map(ToString::to_string));
            let grants = driver::grants(&declared.grants);
            let plugin = sandbox.load(&bytes, &grants).map(contract::bind);
            let plugin = plugin.map_err(|error| refused(&format!("the tool `{name}`"), &error))?;
            let parameters = declared.parameters.unwrap_or_else(|| json!({ "type": "object" }));
            let tool = LentTool {
                spec: ToolSpec {
                    name: name.clone(),
                    description: declared.description.unwrap_or_default(),
                    parameters: parameters.to_string(),
                },
                limits: driver::limits(&attempt_limits(config), &declared.limits, 0),
                env: lending.env(&declared.grants.env).0,
                grants: Arc::new(grants),
                plugin,
            };
            lent.insert(name, tool);
        }
        Ok(Lent(lent))
    }

    /// Whether one of them may remember.
    pub(super) fn have_memory(&self) -> bool {
        self.0.values().any(|tool| tool.grants.memory.is_some())
    }

    /// For one call of the agent, with what it and its tools remember.
    pub(super) fn of_call(self: &Arc<Lent>, memory: Option<Arc<dyn Memory>>) -> Arc<dyn Tools> {
        Arc::new(OfCall { lent: self.clone(), memory })
    }
}

/// A component without any power, with the limits that a plugin has when nobody says.
fn of_file(file: &str) -> Result<HostTool, Failure> {
    let bytes = read(file)?;
    let source = match file.strip_prefix(BUILTIN) {
        Some(name) => PluginSource::Builtin(name.to_owned()),
        None => PluginSource::Path(file.to_owned()),
    };
    let inspection = bandstand_sandbox::inspect(&bytes).map_err(|error| refused(file, &error))?;
    let told = Told::of(&source, &inspection, None);
    let plugin =
        Declared { description: told.description, parameters: told.parameters, ..Declared::new(source) };
    Ok(HostTool { plugin, bytes: bytes.into() })
}

struct OfCall {
    lent: Arc<Lent>,
    memory: Option<Arc<dyn Memory>>,
}

impl Tools for OfCall {
    fn describe(&self, name: &str) -> Option<ToolSpec> {
        self.lent.0.get(name).map(|tool| tool.spec.clone())
    }

    fn find(&self, name: &str) -> Result<Tool, PowerError> {
        let Some(tool) = self.lent.0.get(name) else {
            let message = format!("there is no tool `{name}`; --tool {name}=FILE gives one");
            return Err(PowerError::new(PowerErrorKind::NotFound, "tool-unknown", message));
        };
        Ok(Tool {
            plugin: tool.plugin.clone(),
            limits: tool.limits.clone(),
            grants: tool.grants.clone(),
            memory: tool.grants.memory.and_then(|_| self.memory.clone()),
            env: tool.env.clone(),
            ended: None,
        })
    }
}
