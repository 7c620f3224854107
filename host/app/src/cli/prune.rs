//! `bandstand prune`: deletes the ended runs that `[retention]` of `bandstand.toml` does not keep, or tells which (R5.7).

use clap::Args;
use serde_json::json;

use super::context::{Context, block_on};
use super::exit::{Exit, Failure};
use super::stored;
use super::term::table::Table;
use super::term::words;
use crate::host::{Drive, Pruned};

/// What `prune` is given.
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Only tell what would go
    #[arg(long)]
    pub dry_run: bool,
}

/// Does it, and tells runs and bytes by workflow, status and reason.
pub fn execute(args: &PruneArgs, context: &Context) -> Result<Exit, Failure> {
    let config = context.config_here()?;
    let retention = config.as_ref().map(|config| config.retention.rules()).unwrap_or_default();
    if retention.is_empty() {
        context.out.note("no `[retention]` in the bandstand.toml of this folder: every run is kept");
    }
    let Some(reader) = stored::open_if_there(context)? else { return Ok(Exit::Succeeded) };
    let pruned = if args.dry_run {
        Pruned::plan(&reader, &retention)?
    } else {
        drop(reader);
        block_on(async {
            let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
            let pruned = access.prune(retention).await;
            access.close().await?;
            Ok(pruned?)
        })?
    };
    tell(&pruned, args.dry_run, context);
    Ok(Exit::Succeeded)
}

fn tell(pruned: &Pruned, dry_run: bool, context: &Context) {
    let out = &context.out;
    if out.json {
        for group in &pruned.groups {
            out.json_line(&json!({
                "type": "group",
                "workflow": group.workflow,
                "status": group.status.name(),
                "because": group.because.name(),
                "runs": group.runs,
                "bytes": group.bytes,
            }));
        }
        return out.json_line(&json!({
            "type": "total",
            "dry_run": dry_run,
            "runs": pruned.runs(),
            "bytes": pruned.bytes(),
            "file_bytes": pruned.file_bytes,
            "plugins": pruned.plugins,
        }));
    }
    let mut table = Table::new(&["workflow", "status", "because of", "runs", "size"]);
    for group in &pruned.groups {
        table.row([
            group.workflow.clone(),
            group.status.name().to_owned(),
            group.because.name().to_owned(),
            group.runs.to_string(),
            words::size(group.bytes),
        ]);
    }
    if !table.is_empty() {
        table.lines(0).iter().for_each(|line| out.data(line));
    }
    let runs = words::count(usize::try_from(pruned.runs()).unwrap_or(usize::MAX), "run");
    let size = words::size(pruned.bytes());
    out.note(&if dry_run {
        format!("{runs} of {size} would go; nothing was deleted")
    } else {
        format!("{runs} of {size} deleted; the file is {} shorter", words::size(pruned.file_bytes))
    });
}
