//! How an attempt ended, in the engine's words.

use std::sync::Arc;

use bandstand_driver::{Evidence, Message, RunId};
use bandstand_engine::graph::{Plugin, PluginSource};
use bandstand_engine::input::{Choice, ModelUse, Reply, ReplyNext, ReviewRequest, ToolUse, Usage};
use bandstand_engine::{Class, CommandId, Failure, Input, Payload};
use bandstand_sandbox as sandbox;
use serde_json::Value;

/// Whether its ends count for or against a plugin. Those that come with the host are what the host makes of them: what one
/// crashes of is what it was handed, and one workflow must not shut it for all others.
pub(super) fn is_judged(plugin: &Plugin) -> bool {
    !matches!(plugin.source, PluginSource::Builtin(_))
}

/// What counts of it. That it works always does: a breaker that is open all the same must find its way back.
pub(super) fn judge(judged: bool, evidence: Evidence) -> Evidence {
    if judged || evidence == Evidence::Works { evidence } else { Evidence::Nothing }
}

/// The message that tells the core how a call ended. `judged`: [`is_judged`].
pub(super) fn message(run_id: RunId, id: CommandId, outcome: sandbox::Outcome, judged: bool) -> Message {
    let of_host = matches!(&outcome.result, Err(failure) if failure.class == sandbox::Class::Host);
    // Its time may have gone by while it waited for a tool, which is judged by itself.
    let waited = outcome.usage.tools.last().is_some_and(|tool| tool.failed.as_deref() == Some("cancelled"));
    let late = matches!(&outcome.result, Err(failure) if failure.class == sandbox::Class::Timeout);
    // An input that the plugin's manifest refuses shows nothing of the plugin: it never began.
    let began = outcome.usage.wall_us > 0;
    let usage = usage(outcome.usage);
    let input = match outcome.result {
        Ok(reply) => match convert_reply(reply) {
            Ok(reply) => Input::Done { id: id.clone(), reply, usage },
            Err(failure) => Input::Failed { id: id.clone(), failure, retry_after_ms: None, usage },
        },
        Err(failure) => match class(failure.class) {
            Ended::Failed(class) => Input::Failed {
                id: id.clone(),
                retry_after_ms: failure.retry_after_ms.map(u64::from),
                failure: convert_failure(class, failure),
                usage,
            },
            Ended::Stopped => return Message::CallStopped { run_id, id },
            Ended::Refused => return Message::CallRefused { run_id, id },
        },
    };
    let evidence = if of_host || !began || (late && waited) {
        Evidence::Nothing
    } else {
        judge(judged, Evidence::of(&input))
    };
    Message::CallEnded { run_id, id, input, evidence }
}

/// The message for an attempt that never began because its plugin cannot be used. That harms nobody else and is the same each
/// time, so it takes no plugin out of service.
pub(super) fn unusable(run_id: RunId, id: CommandId, failure: Failure) -> Message {
    let input = Input::Failed { id: id.clone(), failure, retry_after_ms: None, usage: Usage::default() };
    Message::CallEnded { run_id, id, input, evidence: Evidence::Nothing }
}

/// A plugin that cannot be loaded, as the failure of whoever calls it.
pub(super) fn unloaded(error: &sandbox::LoadError) -> Failure {
    let failure = error.failure();
    match class(failure.class) {
        Ended::Failed(class) => convert_failure(class, failure),
        // Loading has no other ends.
        Ended::Stopped | Ended::Refused => {
            Failure::permanent(Class::Trap, "plugin-unusable", failure.message)
        }
    }
}

enum Ended {
    Failed(Class),
    Stopped,
    Refused,
}

fn class(class: sandbox::Class) -> Ended {
    Ended::Failed(match class {
        sandbox::Class::Agent => Class::Agent,
        // A fault of the host ends the attempt as a crash does: another one may help.
        sandbox::Class::Trap | sandbox::Class::Host => Class::Trap,
        sandbox::Class::Timeout => Class::Timeout,
        sandbox::Class::InvalidOutput => Class::InvalidOutput,
        sandbox::Class::Limit => Class::Limit,
        sandbox::Class::Denied => Class::Denied,
        sandbox::Class::Cancelled => return Ended::Stopped,
        sandbox::Class::Overload => return Ended::Refused,
    })
}

/// What the end of a tool shows of its plugin, and why it failed, for people.
pub(super) fn tool_evidence(outcome: &sandbox::Outcome) -> (Evidence, String) {
    let failure = match &outcome.result {
        Ok(_) => return (Evidence::Works, String::new()),
        Err(failure) => failure,
    };
    if outcome.usage.wall_us == 0 {
        return (Evidence::Nothing, String::new());
    }
    let class = match (failure.class, class(failure.class)) {
        // It had the time that its caller had left: how much says nothing of the tool.
        (sandbox::Class::Host | sandbox::Class::Timeout, _) => return (Evidence::Nothing, String::new()),
        (_, Ended::Failed(class)) => class,
        (_, Ended::Stopped | Ended::Refused) => return (Evidence::Nothing, String::new()),
    };
    let evidence = match class {
        Class::Agent => Evidence::Works,
        Class::Trap | Class::InvalidOutput | Class::Limit => Evidence::Fault,
        _ => Evidence::Nothing,
    };
    let fault = bandstand_driver::fault_text(&convert_failure(class, failure.clone()));
    (evidence, fault)
}

fn convert_failure(class: Class, failure: sandbox::Failure) -> Failure {
    Failure {
        class,
        code: failure.code,
        message: failure.message,
        recoverable: failure.recoverable,
        // The sandbox has checked that it is JSON.
        data: failure.data.and_then(|text| serde_json::from_str::<Value>(&text).ok()).map(Payload::new),
        backtrace: failure.backtrace,
        last_words: failure.last_words,
    }
}

fn convert_reply(reply: sandbox::Reply) -> Result<Reply, Failure> {
    let output = Arc::new(value("output", &reply.output)?);
    let next = match reply.next {
        sandbox::Next::Edges => ReplyNext::Edges,
        sandbox::Next::Goto(node) => ReplyNext::Goto(node),
        sandbox::Next::Choose(choices) => ReplyNext::Choose(choices.into_iter().map(choice).collect()),
        sandbox::Next::Review(review) => {
            let payload = |what: &str, text: Option<String>| {
                text.map(|text| value(what, &text)).transpose().map(|value| value.map(Payload::new))
            };
            ReplyNext::Review(Box::new(ReviewRequest {
                propose: payload("next.review.propose", review.propose)?,
                form: payload("next.review.form", review.form)?,
                title: review.title,
                reason: review.reason,
                timeout_ms: review.timeout_ms.map(u64::from),
                reviewers: review.reviewers,
                quorum: review.quorum,
            }))
        }
    };
    Ok(Reply { output, confidence: reply.confidence, next })
}

fn choice(choice: sandbox::Choice) -> Choice {
    Choice { name: choice.name, confidence: choice.confidence, reason: choice.reason }
}

/// The sandbox has checked it, so this fails only for what two JSON readers see differently.
fn value(what: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure {
        recoverable: true,
        ..Failure::permanent(
            Class::InvalidOutput,
            "bad-reply",
            format!("the reply's {what} is not JSON: {error}"),
        )
    })
}

fn usage(usage: sandbox::Usage) -> Usage {
    Usage {
        queued_ms: usage.queued_ms,
        wall_us: usage.wall_us,
        cpu_us: usage.cpu_us,
        memory_bytes_max: usage.memory_bytes_max as u64,
        host_bytes: usage.host_call_bytes as u64,
        model_calls: usage.model.calls,
        tokens_in: usage.model.tokens_in,
        tokens_out: usage.model.tokens_out,
        cost_micros: usage.model.cost_micros,
        model_ms: usage.model.took_ms,
        tools: usage.tools.into_iter().map(tool_use).collect(),
        models: usage.model.each.into_iter().map(model_use).collect(),
    }
}

fn model_use(call: sandbox::ModelCall) -> ModelUse {
    let sandbox::ModelCall { name, provider, model, embed, at_ms, took_ms, .. } = call;
    let model = if model == name { String::new() } else { model };
    ModelUse {
        name,
        provider: provider.to_owned(),
        model,
        embed,
        at_ms,
        took_ms,
        tokens_in: call.tokens_in,
        tokens_out: call.tokens_out,
        cost_micros: call.cost_micros,
        failed: call.failed,
        more: call.more,
    }
}

fn tool_use(tool: sandbox::ToolUse) -> ToolUse {
    ToolUse {
        name: tool.name,
        at_ms: tool.at_ms,
        took_ms: tool.took_ms,
        failed: tool.failed,
        tools: tool.tools.into_iter().map(tool_use).collect(),
    }
}
