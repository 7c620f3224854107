//! `bandstand review show`: one review with what it proposes and all that was said about it.

use bandstand_store::{Reader, ReviewRow};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::context::{Context, now};
use crate::cli::exit::{Exit, Failure};
use crate::cli::history::{History, Review};
use crate::cli::runs::show::answer_line;
use crate::cli::stored;
use crate::cli::term::out::Tone;
use crate::cli::term::{safe, words};
use crate::view::{ReviewDetail, ReviewSummary, moment};

/// What `show` is given.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The review; the beginning of its id is enough
    #[arg(value_name = "REVIEW", value_parser = crate::cli::arguments::id)]
    pub review: String,
}

/// Prints it.
pub fn execute(args: &ShowArgs, context: &Context) -> Result<Exit, Failure> {
    let detail = context.site()?.review_detail(&args.review)?;
    let review = &detail.review;
    if context.out.json {
        context.out.json_line(&json!(detail));
        return Ok(Exit::Succeeded);
    }
    let out = &context.out;
    let fact = |name: &str, text: &str| {
        if !text.is_empty() {
            out.data(&format!("{}  {}", out.paint(Tone::Faint, &format!("{name:<9}")), safe::line(text)));
        }
    };
    let (opened, deadline) = (moment(&review.opened_at), moment(&review.deadline));
    fact("review", &review.review_id);
    fact("title", &review.title);
    fact("status", &detail.status);
    fact("workflow", &review.workflow);
    fact("run", &review.run_id);
    fact("node", &review.path);
    if let Some(parent) = &review.parent {
        fact("part of", &format!("run {}, {}", parent.run_id, parent.path));
    }
    fact("asked by", &review.asked_by);
    fact("reviewers", &review.reviewers.join(", "));
    fact("approvals", &format!("{} of {}", review.approvals, review.quorum));
    fact("opened", &words::instant(opened));
    let left = if review.open { format!(" ({})", words::relative(deadline, now())) } else { String::new() };
    fact("expires", &format!("{}{left}, then {}", words::instant(deadline), review.on_timeout));
    block(context, "Reason", safe::block(&review.reason).lines().map(str::to_owned).collect());
    block(context, "Proposed", pretty(&detail.proposed));
    if !detail.form.is_null() {
        block(context, "Form", pretty(&detail.form));
    }
    block(context, "Answers", detail.answers.iter().map(answer_line).collect());
    if review.open {
        hints(context, &review.review_id);
    }
    Ok(Exit::Succeeded)
}

/// All that there is to say about a review.
pub fn report(reader: &Reader, row: &ReviewRow) -> Result<ReviewDetail, Failure> {
    // What is proposed may stand elsewhere in the journal, or be an earlier reviewer's edit: the history knows.
    let history = stored::history(reader, &row.run_id)?;
    let review = of_row(&history, row)?;
    let form = review.opened.form.as_ref().and_then(|form| history.value(form));
    Ok(ReviewDetail {
        review: ReviewSummary::from(row),
        proposed: (*review.proposed).clone(),
        form: form.as_deref().cloned().unwrap_or_default(),
        answers: review.answers.clone(),
        status: review.outcome.unwrap_or("open").to_owned(),
    })
}

/// The review as its run's history has it.
fn of_row<'a>(history: &'a History, row: &ReviewRow) -> Result<&'a Review, Failure> {
    let review = history.reviews.iter().find(|review| review.opened.review_id == row.review_id);
    review.ok_or_else(|| Failure::storage(format!("review {} is not in its run's journal", row.review_id)))
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

fn hints(context: &Context, id: &str) {
    let data = context.data_option();
    context.out.note("");
    context.out.note(&format!("approve:  bandstand review approve {id} --by NAME{data}"));
    context.out.note(&format!("edit:     bandstand review approve {id} --by NAME --changes '{{...}}'{data}"));
    context.out.note(&format!("reject:   bandstand review reject {id} --by NAME --comments TEXT{data}"));
}
