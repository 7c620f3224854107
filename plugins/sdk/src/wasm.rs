//! The border to the host, on wasm only: bindings made from the WIT, and what turns the SDK's types into theirs.
#![allow(unsafe_code)]

use serde_json::Value;

use crate::log::Level;
use crate::memory::audit::Recorded;
use crate::memory::facts::{Fact, Hit, Query};
use crate::memory::{Error, ErrorKind};
use crate::model::{Event, Finish, Message, Part, Request, Response, Role, ToolCall, ToolSpec, Usage};
use crate::reply::{Choice, Next, Reply, Review};
use crate::{Call, FailureKind};

pub mod bindings {
    //! What wit-bindgen makes of `wit/agent.wit`.
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wit_bindgen::generate!({
        path: "../../wit",
        world: "agent",
        pub_export_macro: true,
        export_macro_name: "export_agent",
        default_bindings_module: "bandstand_sdk::private::bindings",
    });
}

use bindings::bandstand::agent::{
    log as raw_log, memory_audit, memory_facts, memory_slots, model as raw_model, progress,
    tools as raw_tools, types,
};

pub use bindings::export_agent;
pub use bindings::exports::bandstand::agent::node::Guest;
pub use types::{Call as RawCall, Failure, Reply as RawReply};

/// Runs the author's function on a call of the host.
pub fn answer(
    call: RawCall,
    run: impl FnOnce(&Call) -> Result<Reply, crate::Failure>,
) -> Result<RawReply, Failure> {
    std::panic::set_hook(Box::new(|panic| raw_log::last_words(&panic.to_string(), "")));
    let call = Call {
        run_id: call.run_id,
        thread_id: call.thread_id,
        user_id: call.user_id,
        workflow: call.workflow,
        node: call.node,
        visit: call.visit,
        attempt: call.attempt,
        attempts_max: call.attempts_max,
        idempotency_key: call.idempotency_key,
        started_at: call.started_at,
        timeout_ms: call.timeout_ms,
        seed: call.seed,
        input_json: call.input,
        context_json: call.context,
    };
    let (output, confidence, next) = run(&call).and_then(Reply::into_parts).map_err(raw_failure)?;
    Ok(RawReply { output, confidence, next: raw_next(next) })
}

fn raw_failure(failure: crate::Failure) -> Failure {
    let kind = match failure.kind() {
        FailureKind::Permanent => types::FailureKind::Permanent,
        FailureKind::Recoverable => types::FailureKind::Recoverable,
    };
    Failure {
        kind,
        code: failure.code().to_owned(),
        message: failure.message().to_owned(),
        retry_after_ms: failure.retry_after(),
        data: failure.data_value().map(Value::to_string),
    }
}

fn raw_next(next: Next) -> types::Next {
    match next {
        Next::Choose(choices) => types::Next::Choose(choices.into_iter().map(raw_choice).collect()),
        Next::Edges => types::Next::Edges,
        Next::Goto(node) => types::Next::Goto(node),
        Next::Review(review) => types::Next::Review(raw_review(review)),
    }
}

fn raw_choice(choice: Choice) -> types::Choice {
    types::Choice { name: choice.name, confidence: choice.confidence, reason: choice.reason }
}

fn raw_review(review: Review) -> types::ReviewRequest {
    types::ReviewRequest {
        title: review.title,
        reason: review.reason,
        form: review.form.map(|form| form.to_string()),
        propose: review.propose.map(|proposal| proposal.to_string()),
        timeout_ms: review.timeout_ms,
        reviewers: review.reviewers,
        quorum: review.quorum,
    }
}

fn error(error: types::Error) -> Error {
    let kind = match error.kind {
        types::ErrorKind::Denied => ErrorKind::Denied,
        types::ErrorKind::Invalid => ErrorKind::Invalid,
        types::ErrorKind::NotFound => ErrorKind::NotFound,
        types::ErrorKind::Limit => ErrorKind::Limit,
        types::ErrorKind::Unavailable => ErrorKind::Unavailable,
        types::ErrorKind::Cancelled => ErrorKind::Cancelled,
        types::ErrorKind::Other => ErrorKind::Other,
    };
    Error { kind, code: error.code, message: error.message, retry_after_ms: error.retry_after_ms }
}

/// JSON of the host; what is none stays visible as text.
fn value(json: String) -> Value {
    serde_json::from_str(&json).unwrap_or(Value::String(json))
}

pub(crate) fn log(level: Level, message: &str, fields: &str) {
    let level = match level {
        Level::Trace => raw_log::Level::Trace,
        Level::Debug => raw_log::Level::Debug,
        Level::Info => raw_log::Level::Info,
        Level::Warn => raw_log::Level::Warn,
        Level::Error => raw_log::Level::Error,
    };
    raw_log::write(level, message, fields);
}

pub(crate) fn chunk(text: &str) {
    progress::chunk(text);
}

pub(crate) fn report(fraction: Option<f64>, message: &str) {
    progress::report(fraction, message);
}

pub(crate) fn audit_append(action: &str, payload: &Value, tags: &[String]) -> Result<String, Error> {
    let (action, payload, tags) = (action.to_owned(), payload.to_string(), tags.to_vec());
    memory_audit::append(&memory_audit::Entry { action, payload, tags }).map_err(error)
}

pub(crate) fn audit_snapshot(limit: u32) -> Result<Vec<Recorded>, Error> {
    let entries = memory_audit::snapshot(limit).map_err(error)?;
    let recorded = entries.into_iter().map(|recorded| Recorded {
        id: recorded.id,
        at: recorded.at,
        user_id: recorded.user_id,
        thread_id: recorded.thread_id,
        source: recorded.source,
        action: recorded.entry.action,
        payload: value(recorded.entry.payload),
        tags: recorded.entry.tags,
    });
    Ok(recorded.collect())
}

pub(crate) fn facts_put(facts: &[Fact]) -> Result<Vec<String>, Error> {
    let facts: Vec<_> = facts.iter().cloned().map(raw_fact).collect();
    memory_facts::put(&facts).map_err(error)
}

fn raw_fact(fact: Fact) -> memory_facts::Fact {
    memory_facts::Fact {
        text: fact.text,
        kind: fact.kind,
        tags: fact.tags,
        user_id: fact.user_id,
        salience: fact.salience,
        confidence: fact.confidence,
        source: fact.source,
        embedding: None,
    }
}

pub(crate) fn facts_search(query: &Query) -> Result<Vec<Hit>, Error> {
    let query = memory_facts::Query {
        text: query.text.clone(),
        mode: memory_facts::SearchMode::Keyword,
        embedding: None,
        tags: query.tags.clone(),
        kinds: query.kinds.clone(),
        user_id: query.user_id.clone(),
        thread_id: query.thread_id.clone(),
        limit: query.limit,
    };
    let hits = memory_facts::search(&query).map_err(error)?;
    let hits = hits.into_iter().map(|hit| Hit {
        id: hit.id,
        score: hit.score,
        at: hit.at,
        thread_id: hit.thread_id,
        fact: Fact {
            text: hit.fact.text,
            kind: hit.fact.kind,
            tags: hit.fact.tags,
            user_id: hit.fact.user_id,
            salience: hit.fact.salience,
            confidence: hit.fact.confidence,
            source: hit.fact.source,
        },
    });
    Ok(hits.collect())
}

pub(crate) fn facts_forget(id: &str) -> Result<(), Error> {
    memory_facts::forget(id).map_err(error)
}

pub(crate) fn facts_reflect(entry_id: &str) -> Result<Vec<String>, Error> {
    memory_facts::reflect(entry_id).map_err(error)
}

pub(crate) fn facts_consolidate() -> Result<u32, Error> {
    memory_facts::consolidate().map_err(error)
}

pub(crate) fn slots_get(name: &str) -> Result<Option<Value>, Error> {
    Ok(memory_slots::get(name).map_err(error)?.map(value))
}

pub(crate) fn slots_set(name: &str, value: &Value) -> Result<(), Error> {
    memory_slots::set(name, &value.to_string()).map_err(error)
}

pub(crate) fn slots_list() -> Result<Vec<String>, Error> {
    memory_slots::list().map_err(error)
}

/// An answer of the host.
pub(crate) struct Answer(raw_model::Answer);

impl Answer {
    pub(crate) fn next(&mut self) -> Option<Result<Event, Error>> {
        match self.0.next() {
            Ok(event) => event.map(|event| Ok(model_event(event))),
            Err(told) => Some(Err(error(told))),
        }
    }
}

pub(crate) fn tools_list() -> Result<Vec<ToolSpec>, Error> {
    let tools = raw_tools::list().map_err(error)?.into_iter().map(|tool| ToolSpec {
        name: tool.name,
        description: tool.description,
        parameters: value(tool.parameters),
    });
    Ok(tools.collect())
}

pub(crate) fn tools_call(name: &str, arguments: &Value) -> Result<Value, Error> {
    raw_tools::call(name, &arguments.to_string()).map(value).map_err(error)
}

pub(crate) fn model_chat(request: &Request) -> Result<Response, Error> {
    raw_model::chat(&raw_request(request)).map(model_response).map_err(error)
}

pub(crate) fn model_stream(request: &Request) -> Result<Answer, Error> {
    raw_model::chat_stream(&raw_request(request)).map(Answer).map_err(error)
}

pub(crate) fn model_embed(model: Option<&str>, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
    raw_model::embed(model, texts).map_err(error)
}

fn raw_request(request: &Request) -> raw_model::Request {
    let tools = request.tools.iter().map(|tool| raw_model::ToolSpec {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: tool.parameters.to_string(),
    });
    raw_model::Request {
        model: request.model.clone(),
        messages: request.messages.iter().map(raw_message).collect(),
        tools: tools.collect(),
        schema: request.schema.as_ref().map(Value::to_string),
        temperature: request.temperature,
        max_output_tokens: request.max_output_tokens,
    }
}

fn raw_message(message: &Message) -> raw_model::Message {
    let role = match message.role {
        Role::Assistant => raw_model::Role::Assistant,
        Role::System => raw_model::Role::System,
        Role::Tool => raw_model::Role::Tool,
        Role::User => raw_model::Role::User,
    };
    let parts = message.parts.iter().map(|part| match part {
        Part::Image(media_type, data) => {
            raw_model::Part::Image(raw_model::Image { media_type: media_type.clone(), data: data.clone() })
        }
        Part::Text(text) => raw_model::Part::Text(text.clone()),
        Part::ToolCall(call) => raw_model::Part::ToolCall(raw_model::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.args.to_string(),
        }),
        Part::ToolResult(result) => raw_model::Part::ToolResult(raw_model::ToolResult {
            id: result.id.clone(),
            output: result.output.to_string(),
            is_error: result.is_error,
        }),
    });
    raw_model::Message { role, parts: parts.collect() }
}

fn model_call(call: raw_model::ToolCall) -> ToolCall {
    ToolCall { id: call.id, name: call.name, args: value(call.arguments) }
}

fn model_response(response: raw_model::Response) -> Response {
    Response {
        text: response.text,
        tool_calls: response.tool_calls.into_iter().map(model_call).collect(),
        finish: match response.finish {
            raw_model::Finish::Filtered => Finish::Filtered,
            raw_model::Finish::Length => Finish::Length,
            raw_model::Finish::Other => Finish::Other,
            raw_model::Finish::Stop => Finish::Stop,
            raw_model::Finish::ToolCalls => Finish::ToolCalls,
        },
        usage: Usage {
            input_tokens: response.usage.input_tokens,
            output_tokens: response.usage.output_tokens,
            cached_tokens: response.usage.cached_tokens,
        },
        model: response.model,
    }
}

fn model_event(event: raw_model::Event) -> Event {
    match event {
        raw_model::Event::Done(response) => Event::Done(model_response(response)),
        raw_model::Event::Text(text) => Event::Text(text),
        raw_model::Event::ToolCall(call) => Event::ToolCall(model_call(call)),
    }
}
