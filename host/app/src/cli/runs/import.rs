//! `bandstand runs import`: takes an exported run into this data directory, where it can be shown, replayed, forked, and
//! driven if it had not ended.

use std::io::Read;
use std::path::{Path, PathBuf};

use bandstand_store::IMPORT_BYTES_MAX;
use clap::Args;
use serde_json::json;

use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::site;
use crate::host::Drive;

/// What `import` is given.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// A file that `runs export` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Does it. A run that is here already is a conflict; a file that does not add up changes nothing.
pub fn execute(args: &ImportArgs, context: &Context) -> Result<Exit, Failure> {
    // Whoever holds the data directory works in another folder, perhaps.
    let file = std::path::absolute(&args.file).unwrap_or_else(|_| args.file.clone());
    let config = context.config_here()?;
    let run = match context.api() {
        Some(api) => site::wait(api.import(read(&file)?))?,
        None => {
            let run_id = block_on(async {
                let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
                let imported = access.import(&file).await;
                access.close().await?;
                Ok(imported?)
            })?;
            context.site()?.run(&run_id)?
        }
    };
    let run_id = &run.run_id;
    if context.out.json {
        context.out.json_line(&json!({ "run_id": run_id, "status": run.status }));
        return Ok(Exit::Succeeded);
    }
    context.out.data(run_id);
    if !run.is_ended() {
        context.out.note(&format!(
            "it is {} here, as it was where it comes from; if it goes on there, do not drive it here, or everything is \
             done twice. To drive it: bandstand runs drive {run_id}{}",
            run.status,
            context.data_option()
        ));
    }
    Ok(Exit::Succeeded)
}

/// For a server, which has no files of ours.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let not_imported =
        |problem: String| Failure::usage(format!("{} is not imported: {problem}", file.display()));
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|open| open.take(IMPORT_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| not_imported(format!("it cannot be read: {error}")))?;
    if bytes.len() as u64 > IMPORT_BYTES_MAX {
        return Err(not_imported(format!(
            "it has more than {IMPORT_BYTES_MAX} bytes, the most that is taken in"
        )));
    }
    Ok(bytes)
}
