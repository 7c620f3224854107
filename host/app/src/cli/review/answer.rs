//! What `approve` and `reject` share: records the answer, then, if no other process holds the data directory, makes the
//! run go on and follows it.

use bandstand_engine::input::Verdict;
use clap::Args;
use serde_json::{Value, json};

use super::who_sits_here;
use crate::cli::arguments;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::{self, Manner};
use crate::cli::stored;
use crate::host::{Access, AnswerRequest, Drive, Taken};

/// What every answer is given.
#[derive(Args, Debug)]
pub struct AnswerArgs {
    /// The review; the beginning of its id is enough
    #[arg(value_name = "REVIEW", value_parser = arguments::id)]
    pub review: String,
    /// Who answers [default: the user of the system]
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub by: Option<String>,
    /// A group the reviewer belongs to; may be given several times
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub group: Vec<String>,
    /// What there is to say
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub comments: String,
    /// How sure the reviewer is, 0 to 1
    #[arg(long, value_name = "NUMBER", value_parser = confidence)]
    pub confidence: Option<f64>,
    /// The same id again is the same answer
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub request: Option<String>,
    /// Only record the answer: do not make the run go on
    #[arg(long)]
    pub no_drive: bool,
    /// If the run comes to another review, do not ask on the terminal
    #[arg(long)]
    pub no_ask: bool,
    /// Print one text member of the run's result as it is, such as `report.markdown`
    #[arg(long, value_name = "PATH", conflicts_with = "json")]
    pub print: Option<String>,
}

fn confidence(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|value| (0.0..=1.0).contains(value))
        .ok_or_else(|| "a confidence lies between 0 and 1".to_owned())
}

/// Answers.
pub fn execute(
    args: &AnswerArgs,
    decision: Verdict,
    changes: Option<Value>,
    saw: Option<String>,
    context: &Context,
) -> Result<Exit, Failure> {
    let reader = stored::open(context)?;
    let review = reader.review(&args.review)?.row;
    let mut seq_known = 0;
    stored::each_row(&reader, &review.run_id, |row| seq_known = row.seq + row.events.len() as u64)?;
    drop(reader);
    let reviewer = args.by.clone().unwrap_or_else(who_sits_here);
    let request = AnswerRequest {
        run_id: review.run_id.clone(),
        review_id: review.review_id.clone(),
        reviewer: reviewer.clone(),
        groups: args.group.clone(),
        decision,
        comments: args.comments.clone(),
        changes,
        saw,
        confidence: args.confidence,
        request_id: args.request.clone(),
    };
    let manner =
        Manner { from_seq: seq_known, ask_as: (!args.no_ask).then_some(reviewer), print: args.print.clone() };
    let config = context.config_here()?;
    block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let ended = answer_and_drive(&access, request, args, &manner, context).await;
        let closed = access.close().await;
        let exit = ended?;
        closed?;
        Ok(exit)
    })
}

async fn answer_and_drive(
    access: &Access,
    request: AnswerRequest,
    args: &AnswerArgs,
    manner: &Manner,
    context: &Context,
) -> Result<Exit, Failure> {
    let (run_id, review_id, decision) = (request.run_id.clone(), request.review_id.clone(), request.decision);
    let taken = access.answer(request).await?;
    if context.out.json {
        context.out.json_line(&json!({
            "type": "answer", "run_id": run_id, "review_id": review_id, "decision": decision.name(),
            "changed": taken == Taken::Changed,
        }));
    } else {
        let known = if taken == Taken::Known { " before; nothing changed" } else { "" };
        context.out.note(&format!("review {review_id}: {}{known}", decision.name()));
    }
    if args.no_drive || !access.is_holder() {
        return Ok(Exit::Succeeded);
    }
    access.drive(&run_id).await?;
    follow::to_the_end(access, &run_id, context, manner).await
}
