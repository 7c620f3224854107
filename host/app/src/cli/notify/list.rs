//! `bandstand notify list`: who is told of what, what waits, and what was given up and why.

use std::collections::BTreeMap;

use bandstand_store::{EndpointState, Reader};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::stored;
use crate::cli::term::table::Table;
use crate::cli::term::words;
use crate::host::Endpoint;
use crate::view::NotificationSummary;

/// What `list` is given.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Show what waits and what was given up of this endpoint, one line each
    #[arg(value_name = "NAME", value_parser = arguments::name)]
    pub name: Option<String>,
}

/// Deliveries in one read.
const PAGE: u32 = 500;

/// Prints them all: those of `bandstand.toml`, and those that something is kept of.
pub fn execute(args: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    let notify = context.config_here()?.map(|config| config.notify()).unwrap_or_default();
    let reader = stored::open_if_there(context)?;
    let mut states: BTreeMap<String, EndpointState> = match &reader {
        Some(reader) => reader.endpoints()?.into_iter().map(|state| (state.name.clone(), state)).collect(),
        None => BTreeMap::new(),
    };
    if let Some(name) = &args.name {
        let known = states.contains_key(name) || notify.endpoints.iter().any(|one| one.name == *name);
        if !known {
            return Err(Failure::not_found(format!("bandstand.toml has no [notify.{name}]"))
                .help("those there are: bandstand notify list"));
        }
        return match &reader {
            Some(reader) => deliveries(reader, name, context),
            None => Ok(Exit::Succeeded),
        };
    }
    let mut lines: Vec<(String, Option<&Endpoint>, Option<EndpointState>)> = notify
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.name.clone(), Some(endpoint), states.remove(&endpoint.name)))
        .collect();
    // Those that are not in the file any more wait until they are again.
    lines.extend(states.into_iter().map(|(name, state)| (name, None, Some(state))));
    let mut table =
        Table::new(&["endpoint", "to", "events", "delivered", "last", "waiting", "given up", "problem"]);
    for (name, endpoint, state) in lines {
        let problem = problem(reader.as_ref(), &name, endpoint)?;
        if context.out.json {
            context.out.json_line(&json!({
                "endpoint": name,
                "origin": endpoint.map(Endpoint::origin),
                "events": endpoint.map(events),
                "workflows": endpoint.map(|endpoint| &endpoint.workflows),
                "delivered": state.as_ref().map_or(0, |state| state.delivered),
                "delivered_at": state.as_ref().and_then(|state| state.delivered_at).map(|at| at.to_string()),
                "waiting": state.as_ref().map_or(0, |state| state.waiting),
                "failed": state.as_ref().map_or(0, |state| state.failed),
                "problem": problem,
            }));
            continue;
        }
        table.row([
            name,
            endpoint.map_or("not in bandstand.toml".to_owned(), Endpoint::origin),
            endpoint.map(|endpoint| events(endpoint).join(", ")).unwrap_or_default(),
            state.as_ref().map_or(0, |state| state.delivered).to_string(),
            state.as_ref().and_then(|state| state.delivered_at).map(words::instant).unwrap_or_default(),
            state.as_ref().map_or(0, |state| state.waiting).to_string(),
            state.as_ref().map_or(0, |state| state.failed).to_string(),
            problem.unwrap_or_default(),
        ]);
    }
    if !context.out.json {
        if table.is_empty() {
            context.out.note("nobody is told of anything; name somebody as [notify.NAME] in bandstand.toml");
        } else {
            table.lines(0).iter().for_each(|line| context.out.data(line));
        }
    }
    Ok(Exit::Succeeded)
}

fn events(endpoint: &Endpoint) -> Vec<&'static str> {
    endpoint.events.iter().map(|event| event.name()).collect()
}

/// What keeps it from being told: its key, or else why the oldest that waits, or the newest given up, was not accepted.
fn problem(
    reader: Option<&Reader>,
    name: &str,
    endpoint: Option<&Endpoint>,
) -> Result<Option<String>, Failure> {
    if let Some(problem) = endpoint.and_then(Endpoint::problem) {
        return Ok(Some(problem));
    }
    let Some(reader) = reader else { return Ok(None) };
    for failed in [false, true] {
        let first = reader.deliveries(name, failed, 0, 1)?.into_iter().next();
        if let Some(problem) = first.and_then(|delivery| delivery.problem) {
            return Ok(Some(problem));
        }
    }
    Ok(None)
}

fn deliveries(reader: &Reader, name: &str, context: &Context) -> Result<Exit, Failure> {
    let mut table = Table::new(&["id", "event", "run", "since", "state", "attempts", "next", "problem"]);
    for failed in [false, true] {
        let mut after = 0;
        loop {
            let page = reader.deliveries(name, failed, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.number;
            for delivery in page {
                if context.out.json {
                    context.out.json_line(&json!(NotificationSummary::from(&delivery)));
                } else {
                    table.row([
                        delivery.id,
                        delivery.event,
                        delivery.run_id,
                        words::instant(delivery.created_at),
                        if failed { "failed" } else { "waiting" }.to_owned(),
                        delivery.attempts.to_string(),
                        delivery.next_at.map(words::instant).unwrap_or_default(),
                        delivery.problem.unwrap_or_default(),
                    ]);
                }
            }
        }
    }
    if !context.out.json {
        if table.is_empty() {
            context.out.note(&format!("nothing waits for {name}, and nothing was given up"));
        } else {
            table.lines(0).iter().for_each(|line| context.out.data(line));
        }
    }
    Ok(Exit::Succeeded)
}
