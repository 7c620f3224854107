//! `bandstand review show`: one review with what it proposes and all that was said about it.

use bandstand_store::{Reader, ReviewRow};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::context::{Context, now};
use crate::cli::exit::{Exit, Failure};
use crate::cli::history::{History, Review};
use crate::cli::review::list;
use crate::cli::runs::show::answer_line;
use crate::cli::stored;
use crate::cli::term::out::Tone;
use crate::cli::term::{safe, words};

/// What `show` is given.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The review; the beginning of its id is enough
    #[arg(value_name = "REVIEW", value_parser = crate::cli::arguments::id)]
    pub review: String,
}

/// Prints it.
pub fn execute(args: &ShowArgs, context: &Context) -> Result<Exit, Failure> {
    let reader = stored::open(context)?;
    let row = reader.review(&args.review)?.row;
    // What is proposed may stand elsewhere in the journal, or be an earlier reviewer's edit: the history knows.
    let history = stored::history(&reader, &row.run_id)?;
    let review = of_row(&history, &row)?;
    let form = review.opened.form.as_ref().and_then(|form| history.value(form));
    if context.out.json {
        context.out.json_line(&as_json(&row, review, form.as_deref()));
        return Ok(Exit::Succeeded);
    }
    let out = &context.out;
    let fact = |name: &str, text: &str| {
        if !text.is_empty() {
            out.data(&format!("{}  {}", out.paint(Tone::Faint, &format!("{name:<9}")), safe::line(text)));
        }
    };
    fact("review", &row.review_id);
    fact("title", &row.title);
    fact("status", review.outcome.unwrap_or("open"));
    fact("workflow", &row.workflow);
    fact("run", &row.run_id);
    fact("node", &row.path);
    if let Some((parent, path)) = &row.parent {
        fact("part of", &format!("run {parent}, {path}"));
    }
    fact("asked by", &row.asked_by);
    fact("reviewers", &row.reviewers.join(", "));
    fact("approvals", &format!("{} of {}", row.approvals, row.quorum));
    fact("opened", &words::instant(row.opened_at));
    let left = if row.open { format!(" ({})", words::relative(row.deadline, now())) } else { String::new() };
    fact("expires", &format!("{}{left}, then {}", words::instant(row.deadline), row.on_timeout));
    block(context, "Reason", safe::block(&row.reason).lines().map(str::to_owned).collect());
    block(context, "Proposed", pretty(&review.proposed));
    if let Some(form) = form {
        block(context, "Form", pretty(&form));
    }
    block(context, "Answers", review.answers.iter().map(answer_line).collect());
    if row.open {
        hints(context, review);
    }
    Ok(Exit::Succeeded)
}

/// All that there is to say about a review, as JSON.
pub fn report(reader: &Reader, row: &ReviewRow) -> Result<Value, Failure> {
    let history = stored::history(reader, &row.run_id)?;
    let review = of_row(&history, row)?;
    let form = review.opened.form.as_ref().and_then(|form| history.value(form));
    Ok(as_json(row, review, form.as_deref()))
}

/// The review as its run's history has it.
fn of_row<'a>(history: &'a History, row: &ReviewRow) -> Result<&'a Review, Failure> {
    let review = history.reviews.iter().find(|review| review.opened.review_id == row.review_id);
    review.ok_or_else(|| Failure::storage(format!("review {} is not in its run's journal", row.review_id)))
}

fn as_json(row: &ReviewRow, review: &Review, form: Option<&Value>) -> Value {
    let mut shown = list::as_json(row);
    shown["proposed"] = (*review.proposed).clone();
    shown["form"] = form.cloned().unwrap_or_default();
    shown["answers"] = json!(review.answers);
    shown["status"] = json!(review.outcome.unwrap_or("open"));
    shown
}

fn pretty(value: &Value) -> Vec<String> {
    safe::json_pretty(value).lines().map(str::to_owned).collect()
}

fn block(context: &Context, title: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    context.out.data("");
    context.out.data(&context.out.paint(Tone::Strong, title));
    lines.iter().for_each(|line| context.out.data(&format!("  {line}")));
}

fn hints(context: &Context, review: &Review) {
    let (id, data) = (&review.opened.review_id, context.data_option());
    context.out.note("");
    context.out.note(&format!("approve:  bandstand review approve {id} --by NAME{data}"));
    context.out.note(&format!("edit:     bandstand review approve {id} --by NAME --changes '{{...}}'{data}"));
    context.out.note(&format!("reject:   bandstand review reject {id} --by NAME --comments TEXT{data}"));
}
