//! Tools: `[tools.ID]` of `bandstand.toml`, plugins that the operator lends to those of workflow files; and what a model is
//! told of a plugin that is called as a tool.
//!
//! What a tool of the host is granted here is the operator's own word, so no line of `[grants]` need permit it.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use bandstand_engine::graph::{
    ClockGrant, FilesAccess, FilesGrant, Grants, MemoryAccess, Plugin, PluginLimits, PluginSource,
};
use bandstand_engine::id::Id;
use bandstand_sandbox::{Inspection, origin_problem};
use bandstand_signature::Function;
use serde::Deserialize;
use serde_json::Value;

use super::builtin;
use super::config::{Config, Origin, duration, inside, size};
use super::directory::open_file;
use super::load::PLUGIN_BYTES_MAX;
use super::manifest::Manifest;
use super::permits;

/// No larger file is read for a schema. Bytes.
const SCHEMA_BYTES_MAX: u64 = 1 << 20;

/// `[tools.ID]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolSettings {
    /// The component, from the folder of `bandstand.toml`.
    pub path: Option<String>,
    /// Or one that comes with the host.
    pub builtin: Option<String>,
    /// `sha256:HEX` that its bytes must have.
    pub digest: Option<String>,
    /// What it does, for a model; none: what the component says of itself.
    pub description: Option<String>,
    /// JSON Schema of its input, or `{ path = "FILE" }`; none: what the component says of itself, or any object.
    pub parameters: Option<Value>,
    /// Its powers.
    pub grants: ToolGrants,
    /// Its limits, within those of `[limits]`.
    pub limits: ToolLimits,
}

/// `[tools.ID.grants]`, as in workflow files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // as in workflow files
pub struct ToolGrants {
    pub memory: Option<MemoryAccess>,
    pub http: Vec<Origin>,
    pub model: Vec<String>,
    /// Other tools of the host.
    pub tools: Vec<Id>,
    pub secrets: Vec<String>,
    pub env: Vec<String>,
    /// Paths begin in the folder of `bandstand.toml`.
    pub files: BTreeMap<Id, FilesGrant>,
    pub clock: Option<ClockGrant>,
    pub random: bool,
}

/// `[tools.ID.limits]`, as in workflow files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // as in workflow files
pub struct ToolLimits {
    #[serde(deserialize_with = "size")]
    pub memory: Option<u64>,
    #[serde(deserialize_with = "duration")]
    pub cpu: Option<u64>,
    #[serde(deserialize_with = "size")]
    pub output: Option<u64>,
    #[serde(deserialize_with = "size")]
    pub log: Option<u64>,
}

impl ToolSettings {
    /// What is wrong with it, as far as the settings tell.
    pub(super) fn problem(&self, name: &str, config: &Config) -> Option<String> {
        if Id::new(name).is_err() {
            return Some(
                "a tool's id has small letters, digits and `_`, and begins with a letter".to_owned(),
            );
        }
        match (&self.path, &self.builtin) {
            (Some(_), None) => {}
            (None, Some(builtin)) if builtin::named(builtin).is_some() => {}
            (None, Some(builtin)) => {
                let known: Vec<&str> = builtin::ALL.iter().map(|builtin| builtin.name).collect();
                return Some(format!("there is no builtin `{builtin}`; there is: {}", known.join(", ")));
            }
            _ => return Some("say what it is, either `path = \"FILE\"` or `builtin = \"NAME\"`".to_owned()),
        }
        if let Some(digest) = &self.digest {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Some("a digest is `sha256:` and 64 hexadecimal digits".to_owned());
            }
        }
        if self.parameters.as_ref().is_some_and(|parameters| !parameters.is_object()) {
            return Some("`parameters` is a JSON Schema, or { path = \"FILE\" }".to_owned());
        }
        let ToolGrants { http, tools, secrets, env, files, .. } = &self.grants;
        if let Some(files) = files.values().find(|files| !inside(&files.path)) {
            return Some(format!(
                "grants.files: `{}` is no path inside the project, such as \"data\"",
                files.path
            ));
        }
        let mut kept = env.iter().filter_map(|name| Some((name, permits::kept_env(Some(config), name)?)));
        if let Some((name, why)) = kept.next() {
            return Some(format!("grants.env: `{name}` is shown to no plugin: {why}"));
        }
        if let Some(name) = tools.iter().find(|name| !config.tools.contains_key(name.as_str())) {
            return Some(format!("grants.tools: there is no tool `{name}`; describe it as [tools.{name}]"));
        }
        if let Some(name) = secrets.iter().find(|name| !config.secrets.contains_key(*name)) {
            return Some(format!(
                "grants.secrets: there is no secret `{name}`; define it as [secrets.{name}]"
            ));
        }
        http.iter().find_map(|origin| origin_problem(&origin.grant().origin))
    }
}

/// A tool of the host, as a run pins it.
#[derive(Clone, Debug)]
pub(crate) struct HostTool {
    /// What it is.
    pub(crate) plugin: Plugin,
    /// Its component.
    pub(crate) bytes: Arc<[u8]>,
}

/// The tool of that id, read and looked at; `None`: there is none. `Err`: for people, why it cannot be used.
pub(crate) fn find(config: &Config, id: &str) -> Option<Result<HostTool, String>> {
    Some(read(config, config.tools.get(id)?))
}

/// The files that such a tool is made of, whether they are there or not.
pub(super) fn files(config: &Config, id: &str) -> Vec<std::path::PathBuf> {
    let Some(tool) = config.tools.get(id) else { return Vec::new() };
    let schema = tool.parameters.as_ref().and_then(|given| given.get("path")).and_then(Value::as_str);
    let named = tool.path.as_deref().into_iter().chain(schema);
    named.map(|path| config.folder.join(path)).collect()
}

fn read(config: &Config, tool: &ToolSettings) -> Result<HostTool, String> {
    let (source, bytes): (_, Arc<[u8]>) = match (&tool.path, &tool.builtin) {
        (Some(path), _) => (PluginSource::Path(path.clone()), file(config, path, PLUGIN_BYTES_MAX)?.into()),
        (None, name) => {
            let name = name.clone().unwrap_or_default();
            let builtin = builtin::named(&name).ok_or_else(|| format!("there is no builtin `{name}`"))?;
            (PluginSource::Builtin(name), builtin.bytes.into())
        }
    };
    let inspection = bandstand_sandbox::inspect(&bytes).map_err(|error| error.to_string())?;
    if let Some(wanted) =
        tool.digest.as_ref().filter(|wanted| !wanted.eq_ignore_ascii_case(&inspection.digest))
    {
        return Err(format!("its digest is {}, not {wanted}", inspection.digest));
    }
    let ToolGrants { memory, http, model, tools, secrets, env, mut files, clock, random } =
        tool.grants.clone();
    for granted in files.values_mut().filter(|files| files.access == FilesAccess::Read) {
        // The run goes on wherever its host was started.
        let at = config.folder.join(&granted.path);
        let found = at.canonicalize().map_err(|error| format!("cannot find {}: {error}", at.display()))?;
        if !found.is_dir() {
            return Err(format!("{} is not a directory", at.display()));
        }
        let found = found.to_str().ok_or_else(|| format!("the path of {} is no text", at.display()))?;
        found.clone_into(&mut granted.path);
    }
    let http = http.iter().map(Origin::grant).collect();
    let grants = Grants { memory, http, model, tools, secrets, env, files, clock, random };
    inspection.check(&crate::driver::grants(&grants)).map_err(|error| error.to_string())?;
    let limits = PluginLimits::default();
    let limits = PluginLimits {
        memory_bytes: tool.limits.memory.unwrap_or(limits.memory_bytes),
        cpu_ms: tool.limits.cpu.unwrap_or(limits.cpu_ms),
        output_bytes: tool.limits.output.unwrap_or(limits.output_bytes),
        log_bytes: tool.limits.log.unwrap_or(limits.log_bytes),
    };
    let told = Told::of(&source, &inspection, None);
    let plugin = Plugin {
        digest: tool.digest.clone(),
        grants,
        limits: permits::effective_limits(Some(config), &limits),
        description: tool.description.clone().or(told.description),
        parameters: parameters(config, tool)?.or(told.parameters),
        ..Plugin::new(source)
    };
    Ok(HostTool { plugin, bytes })
}

fn parameters(config: &Config, tool: &ToolSettings) -> Result<Option<Value>, String> {
    let Some(given) = &tool.parameters else { return Ok(None) };
    let members = given.as_object().map_or(0, serde_json::Map::len);
    let Some(path) = given.get("path").and_then(Value::as_str).filter(|_| members == 1) else {
        return Ok(Some(given.clone()));
    };
    let bytes = file(config, path, SCHEMA_BYTES_MAX)?;
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(schema) if schema.is_object() => Ok(Some(schema)),
        Ok(_) => Err(format!("{path} is not a JSON Schema: it holds no object")),
        Err(error) => Err(format!("{path} is not JSON: {error}")),
    }
}

fn file(config: &Config, path: &str, size_bytes_max: u64) -> Result<Vec<u8>, String> {
    let at = config.folder.join(path);
    let mut bytes = Vec::new();
    open_file(&at)
        .and_then(|file| file.take(size_bytes_max + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {}: {error}", at.display()))?;
    if bytes.len() as u64 > size_bytes_max {
        return Err(format!("{} has more than {size_bytes_max} bytes", at.display()));
    }
    Ok(bytes)
}

/// What a component says of itself, for a model. It says nothing about powers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// What it does.
    pub(crate) description: Option<String>,
    /// JSON Schema of its input.
    pub(crate) parameters: Option<Value>,
}

impl Told {
    /// From its manifest, else its standard section; of a builtin what the host says. Of a function, which its manifest does not
    /// speak of, the parameters are known from its type.
    pub(crate) fn of(source: &PluginSource, inspection: &Inspection, function: Option<&Function>) -> Told {
        if let Some(function) = function {
            let description = inspection.description.clone();
            return Told { description, parameters: Some(function.input_schema()) };
        }
        // One that is damaged says nothing.
        let manifest = Manifest::of(inspection).ok().flatten().unwrap_or_default();
        let builtin = match source {
            PluginSource::Builtin(name) => builtin::named(name).map(|builtin| builtin.description.to_owned()),
            PluginSource::Path(_) => None,
        };
        Told {
            description: manifest.description.or_else(|| inspection.description.clone()).or(builtin),
            parameters: manifest.input.filter(Value::is_object),
        }
    }
}
