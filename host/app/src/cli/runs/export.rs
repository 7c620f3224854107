//! `bandstand runs export`: one run with all that it pins as one file, for another data directory or for looking inside.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use bandstand_store::{ExportError, Exported, IMPORT_BYTES_MAX, PluginFile, Reader};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::stored;
use crate::cli::term::words;
use crate::driver::Plugins;
use crate::host::Uses;

/// What `export` is given.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = arguments::id)]
    pub run: String,
    /// The file to write; replaced if it is there [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Writes it.
pub fn execute(args: &ExportArgs, context: &Context) -> Result<Exit, Failure> {
    let reader = stored::open(context)?;
    let run = stored::run(&reader, &args.run)?;
    let rows = stored::rows(&reader, &run.run_id)?;
    let mut plugins = Vec::new();
    let digests: BTreeSet<String> = Uses::pinned(rows.pins()).digests();
    for digest in digests {
        match Plugins::kept(context.data_dir(), &digest) {
            Ok(bytes) => plugins.push(PluginFile { digest, bytes }),
            Err(error) => context.out.note(&format!("a plugin is left out: {error}")),
        }
    }
    let Some(output) = &args.output else {
        let out = std::io::BufWriter::new(std::io::stdout().lock());
        let exported = reader.export(&run.run_id, &plugins, out)?;
        tell_of_size(&exported, context);
        return Ok(Exit::Succeeded);
    };
    let exported = to_file(&reader, &run.run_id, &plugins, output)?;
    tell_of_size(&exported, context);
    if context.out.json {
        let file = output.to_string_lossy();
        context.out.json_line(&json!({ "run_id": run.run_id, "file": file, "events": exported.events }));
    } else {
        let events = words::count(usize::try_from(exported.events).unwrap_or(usize::MAX), "event");
        context.out.note(&format!("run {} with {events} is in {}", run.run_id, output.display()));
    }
    Ok(Exit::Succeeded)
}

/// A file that no host takes in can still be looked into.
fn tell_of_size(exported: &Exported, context: &Context) {
    if exported.bytes > IMPORT_BYTES_MAX {
        context.out.note(&format!(
            "it has {} bytes; `runs import` takes {IMPORT_BYTES_MAX} at most",
            exported.bytes
        ));
    }
}

/// Whole or not at all.
fn to_file(
    reader: &Reader,
    run_id: &str,
    plugins: &[PluginFile],
    output: &Path,
) -> Result<Exported, Failure> {
    let cannot =
        |error: std::io::Error| Failure::usage(format!("cannot write {}: {error}", output.display()));
    let mut part = output.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = std::io::BufWriter::new(std::fs::File::create(&part).map_err(cannot)?);
    let exported = reader.export(run_id, plugins, &mut file).map_err(Failure::from).and_then(|exported| {
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(cannot)?;
        std::fs::rename(&part, output).map_err(cannot)?;
        Ok(exported)
    });
    if exported.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    exported
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Failure {
        match error {
            ExportError::Run(error) => error.into(),
            ExportError::Read(error) => error.into(),
            error @ ExportError::Write(_) => Failure::other(error),
        }
    }
}
