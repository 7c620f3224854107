//! `bandstand runs export`: one run with all that it pins as one file, for another data directory or for looking inside.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use bandstand_store::{ExportError, IMPORT_BYTES_MAX, PluginFile};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::site::Site;
use crate::cli::stored::{self, Store};
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
    let site = context.site()?;
    let run_id = site.run(&args.run)?.run_id;
    let Some(output) = &args.output else {
        let mut out = std::io::BufWriter::new(std::io::stdout());
        let (_, bytes) = site.export(&run_id, &mut out, context)?;
        tell_of_size(bytes, context);
        return Ok(Exit::Succeeded);
    };
    let (events, bytes) = to_file(&site, &run_id, output, context)?;
    tell_of_size(bytes, context);
    if context.out.json {
        let file = output.to_string_lossy();
        context.out.json_line(&json!({ "run_id": run_id, "file": file, "events": events }));
    } else {
        let events = words::count(usize::try_from(events).unwrap_or(usize::MAX), "event");
        context.out.note(&format!("run {run_id} with {events} is in {}", output.display()));
    }
    Ok(Exit::Succeeded)
}

/// Writes a run of the store; how many events and bytes it has.
pub(crate) fn write(
    store: &Store,
    run_id: &str,
    to: &mut dyn Write,
    context: &Context,
) -> Result<(u64, u64), Failure> {
    let rows = stored::rows(&store.reader, run_id)?;
    let mut plugins = Vec::new();
    let digests: BTreeSet<String> = Uses::pinned(rows.pins()).digests();
    for digest in digests {
        match Plugins::kept(&store.data_dir, &digest) {
            Ok(bytes) => plugins.push(PluginFile { digest, bytes }),
            Err(error) => context.out.note(&format!("a plugin is left out: {error}")),
        }
    }
    let exported = store.reader.export(run_id, &plugins, to)?;
    Ok((exported.events, exported.bytes))
}

/// A file that no host takes in can still be looked into.
fn tell_of_size(bytes: u64, context: &Context) {
    if bytes > IMPORT_BYTES_MAX {
        context.out.note(&format!("it has {bytes} bytes; `runs import` takes {IMPORT_BYTES_MAX} at most"));
    }
}

/// Whole or not at all.
fn to_file(site: &Site, run_id: &str, output: &Path, context: &Context) -> Result<(u64, u64), Failure> {
    let cannot =
        |error: std::io::Error| Failure::usage(format!("cannot write {}: {error}", output.display()));
    let mut part = output.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = std::io::BufWriter::new(std::fs::File::create(&part).map_err(cannot)?);
    let exported = site.export(run_id, &mut file, context).and_then(|exported| {
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
