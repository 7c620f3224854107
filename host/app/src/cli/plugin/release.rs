//! `bandstand plugin release`: puts a plugin that is in quarantine back in service, by hand.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::quarantine;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::host::{Drive, Taken};
use crate::view::PluginSummary;

/// What `release` is given.
#[derive(Args, Debug)]
pub struct ReleaseArgs {
    /// The plugin: its digest or the beginning of it, its file, `builtin:NAME`, or its name in the workflow it failed in
    #[arg(value_name = "PLUGIN")]
    pub plugin: String,
}

/// Does it. Attempts that wait for the plugin go on with whoever holds the data directory.
pub fn execute(args: &ReleaseArgs, context: &Context) -> Result<Exit, Failure> {
    let mut known = context.site()?.plugins()?;
    known.retain(|plugin| quarantine::is_known(&plugin.quarantine));
    let digest = digest(&args.plugin, &known)?;
    let config = context.config_here()?;
    let taken = block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let released = access.release_plugin(&digest).await;
        access.close().await?;
        Ok(released?)
    })?;
    let changed = taken == Taken::Changed;
    if context.out.json {
        context.out.json_line(&json!({ "digest": digest, "changed": changed }));
    } else if changed {
        context.out.note(&format!("plugin {digest} is in service again"));
    } else {
        context.out.note(&format!("plugin {digest} is in service, as it was"));
    }
    Ok(Exit::Succeeded)
}

/// The digest of the plugin that is meant. Something is known against those that can be named without a file.
fn digest(plugin: &str, known: &[PluginSummary]) -> Result<String, Failure> {
    let help = "those of which something is known: bandstand plugin list";
    if let Some(hex) = plugin.strip_prefix("sha256:") {
        let mut found = known.iter().filter(|breaker| breaker.digest.starts_with(plugin));
        return match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                Err(Failure::not_found(format!("several plugins begin with {plugin}")).help(help))
            }
            (Some(breaker), None) => Ok(breaker.digest.clone()),
            (None, _) if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Ok(plugin.to_owned())
            }
            (None, _) => {
                Err(Failure::not_found(format!("nothing is known against a plugin {plugin}")).help(help))
            }
        };
    }
    let mut named = known.iter().filter(|known| known.quarantine.name.as_deref() == Some(plugin));
    match (named.next(), named.next()) {
        (Some(one), Some(other)) => {
            let problem = format!("`{plugin}` is {} and {}", one.digest, other.digest);
            return Err(Failure::not_found(problem).help("name it by its digest; all: bandstand plugin list"));
        }
        (Some(breaker), None) => return Ok(breaker.digest.clone()),
        (None, _) => {}
    }
    if !plugin.starts_with("builtin:") && !Path::new(plugin).exists() {
        let problem = format!("nothing is known against a plugin `{plugin}`, and there is no such file");
        return Err(Failure::not_found(problem).help(help));
    }
    Ok(crate::driver::digest(&super::component::read(plugin)?))
}
