//! `bandstand review list`: the inbox, the next deadline first (R2.7).

use clap::Args;
use serde_json::json;

use crate::cli::context::{Context, now};
use crate::cli::exit::{Exit, Failure};
use crate::cli::site::Reviews;
use crate::cli::term::table::Table;
use crate::cli::term::words;
use crate::view::moment;

/// What `list` is given.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Those that were decided, too
    #[arg(long)]
    pub all: bool,
    /// Only of this workflow
    #[arg(long, value_name = "NAME")]
    pub workflow: Option<String>,
    /// Only of this run; the beginning of its id is enough
    #[arg(long, value_name = "RUN", value_parser = crate::cli::arguments::id)]
    pub run: Option<String>,
    /// How many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

/// Prints it.
pub fn execute(args: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    let Some(site) = context.site_if_there()? else { return Ok(Exit::Succeeded) };
    let reviews = site.reviews(Reviews {
        all: args.all,
        workflow: args.workflow.clone(),
        run: args.run.clone(),
        limit: args.limit,
    })?;
    if context.out.json {
        reviews.iter().for_each(|review| context.out.json_line(&json!(review)));
        return Ok(Exit::Succeeded);
    }
    if reviews.is_empty() {
        context.out.note("nothing waits for people");
        return Ok(Exit::Succeeded);
    }
    let mut table = Table::new(&["review", "workflow", "node", "status", "expires", "title"]);
    for review in &reviews {
        let status = match &review.outcome {
            Some(outcome) => outcome.clone(),
            None if review.quorum > 1 => format!("{} of {} approvals", review.approvals, review.quorum),
            None => "open".to_owned(),
        };
        table.row([
            review.review_id.clone(),
            review.workflow.clone(),
            review.path.clone(),
            status,
            if review.open { words::relative(moment(&review.deadline), now()) } else { String::new() },
            review.title.clone(),
        ]);
    }
    table.lines(0).iter().for_each(|line| context.out.data(line));
    let shown = u32::try_from(reviews.len()).unwrap_or(u32::MAX);
    if shown == args.limit {
        context.out.note("there may be more: --limit NUMBER");
    }
    Ok(Exit::Succeeded)
}
