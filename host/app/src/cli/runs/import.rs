//! `bandstand runs import`: takes an exported run into this data directory, where it can be shown, replayed, forked, and
//! driven if it had not ended.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::stored;
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
    let run_id = block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let imported = access.import(&file).await;
        access.close().await?;
        Ok(imported?)
    })?;
    let run = stored::run(&stored::open(context)?, &run_id)?;
    if context.out.json {
        context.out.json_line(&json!({ "run_id": run_id, "status": run.status.name() }));
        return Ok(Exit::Succeeded);
    }
    context.out.data(&run_id);
    if !run.status.is_ended() {
        context.out.note(&format!(
            "it is {} here, as it was where it comes from; if it goes on there, do not drive it here, or everything is \
             done twice. To drive it: bandstand runs drive {run_id}{}",
            run.status.name(),
            context.data_option()
        ));
    }
    Ok(Exit::Succeeded)
}
