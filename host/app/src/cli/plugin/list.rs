//! `bandstand plugin list`: the plugins that are kept in the data directory, and what is known against them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use bandstand_store::{KeptBreaker, Reader};
use clap::Args;
use serde_json::json;

use super::quarantine;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::table::Table;
use crate::cli::term::words;
use crate::driver::{self, Plugins};
use crate::project::builtin;
use crate::view::{PluginSummary, Quarantine, moment};

/// What `list` is given.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only plugins that are in quarantine
    #[arg(long)]
    pub quarantined: bool,
}

/// Prints them all, by digest.
pub fn execute(args: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    let Some(site) = context.site_if_there()? else { return Ok(Exit::Succeeded) };
    let mut plugins = site.plugins()?;
    if args.quarantined {
        plugins.retain(|plugin| quarantine::is_quarantined(&plugin.quarantine));
    }
    let mut table = Table::new(&["plugin", "size", "name", "state", "faults", "since", "next probe"]);
    for plugin in plugins {
        let PluginSummary { digest, size_bytes, builtin, quarantine } = plugin;
        if context.out.json {
            context.out.json_line(&json!({
                "digest": digest,
                "size_bytes": size_bytes,
                "builtin": builtin,
                "quarantine": quarantine::as_json(&quarantine),
            }));
            continue;
        }
        table.row([
            digest,
            size_bytes.map(words::size).unwrap_or_default(),
            builtin.or(quarantine.name.clone()).unwrap_or_default(),
            quarantine.state.clone(),
            quarantine.faults.to_string(),
            quarantine.since.as_deref().map(moment).map(words::instant).unwrap_or_default(),
            quarantine::next_probe(&quarantine),
        ]);
    }
    if !context.out.json {
        if table.is_empty() {
            context.out.note("no such plugins");
        } else {
            table.lines(0).iter().for_each(|line| context.out.data(line));
        }
    }
    Ok(Exit::Succeeded)
}

/// A plugin, and what is known of it.
#[derive(Debug)]
pub(crate) struct Listed {
    digest: String,
    size_bytes: Option<u64>,
    builtin: Option<String>,
    breaker: Option<KeptBreaker>,
}

impl Listed {
    /// As it is shown.
    pub(crate) fn summary(&self) -> PluginSummary {
        PluginSummary {
            digest: self.digest.clone(),
            size_bytes: self.size_bytes,
            builtin: self.builtin.clone(),
            quarantine: Quarantine::from(self.breaker.as_ref()),
        }
    }
}

/// The plugins that are kept, and those of which something is known, by digest.
pub(crate) fn all(reader: &Reader, data_dir: &Path) -> Result<Vec<Listed>, Failure> {
    let mut breakers: BTreeMap<String, KeptBreaker> =
        reader.breakers()?.into_iter().map(|breaker| (breaker.plugin.clone(), breaker)).collect();
    let kept = match Plugins::list(data_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        kept => {
            kept.map_err(|error| Failure::storage(format!("the plugins in {}: {error}", data_dir.display())))?
        }
    };
    // A run pins a builtin as it was in the host that began it, so only those of this host have their name.
    let builtins: BTreeMap<String, String> = builtin::ALL
        .iter()
        .map(|builtin| (driver::digest(builtin.bytes), format!("builtin:{}", builtin.name)))
        .collect();
    let listed = |digest: String, size_bytes, breaker| Listed {
        builtin: builtins.get(&digest).cloned(),
        digest,
        size_bytes,
        breaker,
    };
    let mut plugins: Vec<Listed> = kept
        .into_iter()
        .map(|(digest, size_bytes)| {
            let breaker = breakers.remove(&digest);
            listed(digest, Some(size_bytes), breaker)
        })
        .collect();
    // Those whose file is gone may come again.
    plugins.extend(breakers.into_iter().map(|(digest, breaker)| listed(digest, None, Some(breaker))));
    plugins.sort_by(|a, b| a.digest.cmp(&b.digest));
    Ok(plugins)
}
