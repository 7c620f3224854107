//! `bandstand plugin inspect`: digest, powers, imports and exports of one component, from its bytes alone; the limits under
//! which it would run; and what is known against it in the data directory, if there is one.

use std::io::Read;
use std::path::Path;

use bandstand_sandbox::{Inspection, Limit, LoadError, SetBy};
use bandstand_store::{KeptBreaker, OpenError, Reader};
use bandstand_workflow::grant_example;
use clap::Args;
use serde_json::json;

use super::quarantine;
use crate::cli::context::{Context, attempt_limits, sandbox_settings};
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::{safe, words};
use crate::project::builtin;
use crate::project::config::Config;
use crate::project::directory::open_file;
use crate::project::load::PLUGIN_BYTES_MAX;

/// What `inspect` is given.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The component, or `builtin:NAME`
    #[arg(value_name = "FILE")]
    pub file: String,
}

/// Shows it. A component that this host cannot run is shown too, with the reason, and exit code 2.
pub fn execute(args: &InspectArgs, context: &Context) -> Result<Exit, Failure> {
    let bytes = read(&args.file)?;
    let inspection = bandstand_sandbox::inspect(&bytes)
        .map_err(|error| Failure::usage(format!("{}: {error}", args.file)).help(HOW_TO_BUILD))?;
    let unusable = inspection.runnable().err().map(|error| error.to_string());
    let breaker = breaker(&inspection.digest, context)?;
    let limits = limits(context.config_here()?.as_ref());
    if context.out.json {
        let mut told = as_json(&args.file, &inspection, &limits, unusable.as_deref());
        told["quarantine"] = quarantine::as_json(breaker.as_ref());
        context.out.json_line(&told);
    } else {
        for line in lines(&args.file, &inspection, &limits) {
            context.out.data(&line);
        }
        let faults = breaker.as_ref().map_or(0, |breaker| breaker.faults);
        match breaker.filter(quarantine::is_quarantined) {
            Some(breaker) => context.out.data(&format!("quarantine  {}", quarantine::sentence(&breaker))),
            None if faults == 0 => context.out.data("health    in service, no faults since it last worked"),
            None => {
                let faults = words::count(usize::try_from(faults).unwrap_or(usize::MAX), "fault");
                context.out.data(&format!("health    in service, {faults} in a row"));
            }
        }
        if let Some(why) = &unusable {
            return Err(Failure::usage(format!("{}: {why}", args.file)).help(HOW_TO_BUILD));
        }
    }
    Ok(if unusable.is_some() { Exit::Usage } else { Exit::Succeeded })
}

pub(super) const HOW_TO_BUILD: &str = "an agent is a component that exports `bandstand:agent/node@0.1.0`; build it with the SDK in \
                            plugins/sdk, or from wit/agent.wit in any language";

/// What is known against it where runs are kept. Nothing needs to be kept anywhere.
fn breaker(digest: &str, context: &Context) -> Result<Option<KeptBreaker>, Failure> {
    match Reader::open(context.data_dir()) {
        Ok(reader) => Ok(reader.breakers()?.into_iter().find(|breaker| breaker.plugin == digest)),
        Err(OpenError::Missing(_) | OpenError::OlderSchema { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The bytes of a file, or of `builtin:NAME`.
pub(super) fn read(file: &str) -> Result<Vec<u8>, Failure> {
    if let Some(name) = file.strip_prefix("builtin:") {
        return builtin::named(name).map(|builtin| builtin.bytes.to_vec()).ok_or_else(|| {
            let names: Vec<&str> = builtin::ALL.iter().map(|builtin| builtin.name).collect();
            Failure::not_found(format!("there is no builtin `{name}`"))
                .help(format!("there is: {}", names.join(", ")))
        });
    }
    let cannot =
        |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", Path::new(file).display()));
    let mut bytes = Vec::new();
    open_file(Path::new(file))
        .map_err(cannot)?
        .take(PLUGIN_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > PLUGIN_BYTES_MAX {
        return Err(Failure::usage(format!("{file} has more than {}", words::size(PLUGIN_BYTES_MAX))));
    }
    Ok(bytes)
}

/// What `--json` prints of these bytes, but for the quarantine.
pub(crate) fn inspected(
    file: &str,
    bytes: &[u8],
    config: Option<&Config>,
) -> Result<serde_json::Value, LoadError> {
    let inspection = bandstand_sandbox::inspect(bytes)?;
    let unusable = inspection.runnable().err().map(|error| error.to_string());
    Ok(as_json(file, &inspection, &limits(config), unusable.as_deref()))
}

/// The limits that hold here.
struct Limits {
    /// Of an attempt whose workflow file says nothing.
    attempt: Vec<Limit>,
    /// Of all attempts together.
    host: Vec<Limit>,
    /// Of outgoing HTTP.
    http: Vec<Limit>,
}

fn limits(config: Option<&Config>) -> Limits {
    Limits {
        attempt: attempt_limits(config).all(),
        host: sandbox_settings(config).all(),
        http: config.map(|config| config.http.limits()).unwrap_or_default().all(),
    }
}

fn as_json(
    file: &str,
    inspection: &Inspection,
    holding: &Limits,
    unusable: Option<&str>,
) -> serde_json::Value {
    let imports: Vec<_> = inspection
        .imports
        .iter()
        .map(|import| {
            json!({
                "interface": import.interface,
                "version": import.version,
                "functions": import.functions,
                "grant": import.capability,
                "writes": import.writes(),
            })
        })
        .collect();
    let limits = |limits: &[Limit]| -> Vec<_> {
        let each = limits.iter().map(|limit| {
            let setting = match limit.set_by {
                SetBy::Workflow(key) | SetBy::Host(key) => Some(key),
                SetBy::Fixed => None,
            };
            json!({ "name": limit.name, "value": limit.value, "unit": limit.unit.as_str(), "setting": setting })
        });
        each.collect()
    };
    json!({
        "file": file,
        "digest": inspection.digest,
        "size_bytes": inspection.size_bytes,
        "grants_needed": inspection.capabilities(),
        "imports": imports,
        "exports": inspection.exports,
        "manifest": inspection.manifest,
        "limits": {
            "attempt": limits(&holding.attempt), "host": limits(&holding.host), "http": limits(&holding.http),
        },
        "usable": unusable.is_none(),
        "problem": unusable,
    })
}

fn lines(file: &str, inspection: &Inspection, holding: &Limits) -> Vec<String> {
    let size = words::size(inspection.size_bytes as u64);
    let mut lines = vec![
        format!("file      {}", safe::line(file)),
        format!("digest    {}", inspection.digest),
        format!("size      {size}"),
    ];
    let needed = inspection.capabilities();
    if needed.is_empty() {
        lines.push("grants    none needed".to_owned());
    } else {
        let writes = inspection.imports.iter().any(|import| import.writes());
        let each: Vec<String> = needed.iter().map(|power| grant_example(power, writes, "NAME")).collect();
        lines.push(format!(
            "grants    needs {}; in the workflow file: grants: {{ {} }}",
            needed.join(", "),
            each.join(", ")
        ));
    }
    lines.push("imports".to_owned());
    for import in &inspection.imports {
        let grant = import.capability.map_or(String::new(), |power| format!("  (grant {power})"));
        let functions = if import.functions.is_empty() {
            String::new()
        } else {
            format!("  {}", import.functions.join(", "))
        };
        lines.push(safe::line(&format!("  {}{functions}{grant}", import.interface)));
    }
    if inspection.imports.is_empty() {
        lines.push("  nothing".to_owned());
    }
    lines.push("exports".to_owned());
    lines.extend(inspection.exports.iter().map(|export| format!("  {}", safe::line(export))));
    for (of, limits) in [
        ("limits of an attempt, unless its workflow file sets others", &holding.attempt),
        ("limits of all attempts together", &holding.host),
        ("limits of outgoing HTTP", &holding.http),
    ] {
        lines.push(of.to_owned());
        lines.extend(limits.iter().map(|limit| {
            let unit = limit.unit.as_str();
            format!("  {:16}{} {unit}  ({})", limit.name, limit.value, limit.set_by)
        }));
    }
    if let Some(manifest) = &inspection.manifest {
        lines.push("manifest".to_owned());
        lines.extend(safe::block(manifest).lines().map(|line| format!("  {line}")));
    }
    lines
}
