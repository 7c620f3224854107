//! `bandstand plugin inspect`: digest, powers, imports, exports and functions of one component, from its bytes alone; the limits under
//! which it would run; and what is known against it in the data directory, if there is one.

use std::collections::BTreeSet;

use bandstand_sandbox::{Inspection, Limit, LoadError, SetBy};
use bandstand_signature::Function;
use bandstand_store::{KeptBreaker, OpenError, Reader};
use bandstand_workflow::grant_example;
use clap::Args;
use serde_json::{Value, json};

use super::component::{Component, read};
use super::{quarantine, refused};
use crate::cli::context::{Context, attempt_limits, compiler, sandbox_settings};
use crate::cli::exit::{Exit, Failure};
use crate::cli::site;
use crate::cli::term::{safe, words};
use crate::project::config::Config;
use crate::project::manifest::Manifest;
use crate::view::{PluginDetail, PluginFunction, PluginImport, PluginLimit, PluginLimits, Quarantine};

/// What `inspect` is given.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The component, `builtin:NAME`, or the folder of an agent that is built; of a server, also the digest of one that it keeps, or
    /// the beginning of that
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    pub file: String,
}

/// Shows it. A component that this host cannot run is shown too, with the reason, and exit code 2.
pub fn execute(args: &InspectArgs, context: &Context) -> Result<Exit, Failure> {
    let component = Component::named(&args.file)?;
    let file = &component.file;
    let (detail, problem) = match context.api() {
        Some(api) => (site::served_plugin(api, file)?, None),
        None => {
            let bytes = read(file)?;
            let (mut detail, problem) =
                inspected(file, &bytes, context.config_here()?.as_ref(), Code::Unknown)
                    .map_err(|error| refused(file, &error))?;
            detail.warnings.extend(component.outdated().map(|outdated| outdated.sentence()));
            detail.quarantine = Quarantine::from(breaker(&detail.digest, context)?.as_ref());
            (detail, problem)
        }
    };
    if context.out.json {
        let mut told = json!(detail);
        told["quarantine"] = quarantine::as_json(&detail.quarantine);
        context.out.json_line(&told);
        return Ok(if detail.usable { Exit::Succeeded } else { Exit::Usage });
    }
    for line in lines(&detail) {
        context.out.data(&line);
    }
    let known = &detail.quarantine;
    if quarantine::is_quarantined(known) {
        context.out.data(&format!("quarantine  {}", quarantine::sentence(known)));
    } else if known.faults == 0 {
        context.out.data("health    in service, no faults since it last worked");
    } else {
        let faults = words::count(usize::try_from(known.faults).unwrap_or(usize::MAX), "fault");
        context.out.data(&format!("health    in service, {faults} in a row"));
    }
    match (problem, &detail.problem) {
        (Some(error), _) => Err(refused(file, &error)),
        (None, Some(why)) => Err(Failure::usage(format!("{file}: {why}"))),
        (None, None) => Ok(Exit::Succeeded),
    }
}

pub(super) const HOW_TO_BUILD: &str = "an agent is a component that exports `bandstand:agent/node@0.1.0`; \
                            begin one with: bandstand plugin new NAME --lang rust";

/// What is known against it where runs are kept. Nothing needs to be kept anywhere.
fn breaker(digest: &str, context: &Context) -> Result<Option<KeptBreaker>, Failure> {
    match Reader::open(context.data_dir()) {
        Ok(reader) => Ok(reader.breakers()?.into_iter().find(|breaker| breaker.plugin == digest)),
        Err(OpenError::Missing(_) | OpenError::OlderSchema { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is known of a component's code.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    /// It was compiled, so it is valid.
    Compiled,
    /// Nothing: it is to be validated.
    Unknown,
}

/// What these bytes are, but for the quarantine; and why this host cannot run them, if it cannot.
pub(crate) fn inspected(
    file: &str,
    bytes: &[u8],
    config: Option<&Config>,
    code: Code,
) -> Result<(PluginDetail, Option<LoadError>), LoadError> {
    let inspection = bandstand_sandbox::inspect(bytes)?;
    let is_valid = || match code {
        Code::Compiled => Ok(()),
        Code::Unknown => compiler(config).validate(bytes),
    };
    let problem = inspection.is_of_use().and_then(|()| is_valid()).err();
    let functions = inspection.functions.iter().filter(|function| !inspection.is_own(function));
    let (manifest, warnings) = said(&inspection);
    let grants_needed = inspection.capabilities().into_iter().map(str::to_owned).collect();
    let imports = inspection.imports.iter().map(|import| PluginImport {
        interface: import.interface.clone(),
        version: import.version.clone(),
        functions: import.functions.clone(),
        grant: import.capability.map(str::to_owned),
        writes: import.writes(),
    });
    let detail = PluginDetail {
        file: file.to_owned(),
        digest: inspection.digest.clone(),
        size_bytes: inspection.size_bytes as u64,
        grants_needed,
        imports: imports.collect(),
        exports: inspection.exports.clone(),
        functions: functions.map(told).collect(),
        manifest,
        warnings,
        limits: PluginLimits {
            attempt: limits(&attempt_limits(config).all()),
            host: limits(&sandbox_settings(config).all()),
            http: limits(&config.map(|config| config.http.limits()).unwrap_or_default().all()),
        },
        usable: problem.is_none(),
        problem: problem.as_ref().map(ToString::to_string),
        quarantine: Quarantine::from(None),
    };
    Ok((detail, problem))
}

/// Its manifest, and what is doubtful about it.
fn said(inspection: &Inspection) -> (Option<Manifest>, Vec<String>) {
    match Manifest::of(inspection) {
        Ok(manifest) => {
            let warnings = manifest.as_ref().map(|manifest| manifest.doubts(inspection)).unwrap_or_default();
            (manifest, warnings)
        }
        Err(error) => {
            let help = "the plugin counts as one without a manifest; `bandstand plugin pack` writes one anew";
            (None, vec![format!("{error}; {help}")])
        }
    }
}

fn told(function: &Function) -> PluginFunction {
    let problem = function.problem();
    PluginFunction {
        name: function.full_name(),
        signature: function.signature(),
        types: function.definitions().into_values().collect(),
        input: problem.is_none().then(|| function.input_schema()),
        output: problem.is_none().then(|| function.output_schema()),
        problem,
    }
}

fn limits(limits: &[Limit]) -> Vec<PluginLimit> {
    let each = limits.iter().map(|limit| {
        let setting = match limit.set_by {
            SetBy::Workflow(key) | SetBy::Host(key) => Some(key.to_owned()),
            SetBy::Fixed => None,
        };
        PluginLimit {
            name: limit.name.to_owned(),
            value: limit.value,
            unit: limit.unit.as_str().to_owned(),
            setting,
        }
    });
    each.collect()
}

/// `name      stats 0.1.0` and the like, as the component says it.
fn manifest_lines(manifest: &Manifest) -> Vec<String> {
    let named =
        [&manifest.name, &manifest.version].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let schema = |schema: &Option<Value>| schema.as_ref().map(|schema| safe::short(&schema.to_string(), 300));
    let list = |list: &[String]| if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
    let said = [
        ("name", Some(named).filter(|named| !named.is_empty())),
        ("for", manifest.description.clone()),
        ("made by", manifest.sdk.clone()),
        ("uses", manifest.uses.as_deref().map(list)),
        ("secrets", Some(&manifest.secrets[..]).filter(|secrets| !secrets.is_empty()).map(list)),
        ("input", schema(&manifest.input)),
        ("output", schema(&manifest.output)),
    ];
    let line = |(of, text): (&str, Option<String>)| Some(safe::line(&format!("{of:10}{}", text?)));
    said.into_iter().filter_map(line).collect()
}

fn lines(detail: &PluginDetail) -> Vec<String> {
    let mut lines = vec![
        format!("file      {}", safe::line(&detail.file)),
        format!("digest    {}", safe::line(&detail.digest)),
        format!("size      {}", words::size(detail.size_bytes)),
    ];
    if let Some(manifest) = &detail.manifest {
        lines.extend(manifest_lines(manifest));
    }
    lines.extend(detail.warnings.iter().map(|warning| format!("warning   {}", safe::line(warning))));
    let needed = &detail.grants_needed;
    if needed.is_empty() {
        lines.push("grants    none needed".to_owned());
    } else {
        let writes = detail.imports.iter().any(|import| import.writes);
        let each: Vec<String> = needed.iter().map(|power| grant_example(power, writes, "NAME")).collect();
        lines.push(safe::line(&format!(
            "grants    needs {}; in the workflow file: grants: {{ {} }}",
            needed.join(", "),
            each.join(", ")
        )));
    }
    lines.push("imports".to_owned());
    for import in &detail.imports {
        let grant = import.grant.as_ref().map_or(String::new(), |power| format!("  (grant {power})"));
        let functions = if import.functions.is_empty() {
            String::new()
        } else {
            format!("  {}", import.functions.join(", "))
        };
        lines.push(safe::line(&format!("  {}{functions}{grant}", import.interface)));
    }
    if detail.imports.is_empty() {
        lines.push("  nothing".to_owned());
    }
    lines.push("exports".to_owned());
    lines.extend(detail.exports.iter().map(|export| format!("  {}", safe::line(export))));
    lines.extend(functions(&detail.functions));
    for (of, limits) in [
        ("limits of an attempt, unless its workflow file sets others", &detail.limits.attempt),
        ("limits of all attempts together", &detail.limits.host),
        ("limits of outgoing HTTP", &detail.limits.http),
    ] {
        lines.push(of.to_owned());
        lines.extend(limits.iter().map(|limit| {
            let set_by =
                limit.setting.as_ref().map_or("fixed by the host".to_owned(), |key| format!("setting {key}"));
            safe::line(&format!("  {:16}{} {}  ({set_by})", limit.name, limit.value, limit.unit))
        }));
    }
    lines
}

/// Each with its type; a type that has a name once, below the first function that speaks of it.
fn functions(functions: &[PluginFunction]) -> Vec<String> {
    let mut lines = Vec::new();
    if !functions.is_empty() {
        lines.push("functions, for a plugin with `function: NAME`".to_owned());
    }
    let mut defined: BTreeSet<&str> = BTreeSet::new();
    for function in functions {
        let why_not = function.problem.as_ref().map(|why| format!("  (cannot be called: {why})"));
        let PluginFunction { name, signature, types, .. } = function;
        lines.push(safe::line(&format!("  {name}: {signature}{}", why_not.unwrap_or_default())));
        let new = types.iter().filter(|text| function.problem.is_none() && defined.insert(text));
        lines.extend(new.map(|text| safe::line(&format!("    {text}"))));
    }
    lines
}
