//! `bandstand routing`: how routes were decided and how the runs that took them ended (R3.4).

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::term::table::Table;
use super::term::words;

/// What `routing` is given.
#[derive(Args, Debug)]
pub struct RoutingArgs {
    /// Only of this workflow
    #[arg(value_name = "WORKFLOW")]
    pub workflow: Option<String>,
    /// Only of this node
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
}

/// Prints the statistics.
pub fn execute(args: &RoutingArgs, context: &Context) -> Result<Exit, Failure> {
    let Some(site) = context.site_if_there()? else { return Ok(Exit::Succeeded) };
    let routes = site.routing(args.workflow.as_deref(), args.node.as_deref())?;
    if context.out.json {
        routes.iter().for_each(|route| context.out.json_line(&json!(route)));
        return Ok(Exit::Succeeded);
    }
    if routes.is_empty() {
        context.out.note("no route was decided yet");
        return Ok(Exit::Succeeded);
    }
    let headings =
        ["workflow", "node", "route", "count", "confidence", "range", "low", "ended", "success", "took"];
    let mut table = Table::new(&headings);
    for route in &routes {
        let optional = |value: Option<f64>| value.map_or("-".to_owned(), words::confidence);
        table.row([
            route.workflow.clone(),
            route.node.clone(),
            route.route.clone(),
            route.count.to_string(),
            optional(route.confidence_average),
            format!("{}..{}", optional(route.confidence_min), optional(route.confidence_max)),
            route.low.to_string(),
            route.runs_ended.to_string(),
            route.success_rate.map_or("-".to_owned(), |rate| format!("{:.0}%", rate * 100.0)),
            // An average of spans is far below the range where a double loses whole milliseconds.
            route.duration_average_ms.map_or("-".to_owned(), |ms| words::span(ms.round() as u64)),
        ]);
    }
    table.lines(0).iter().for_each(|line| context.out.data(line));
    Ok(Exit::Succeeded)
}
