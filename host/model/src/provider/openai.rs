//! Chat completions and embeddings as OpenAI has them, and many others after it.

use std::collections::BTreeMap;

use bandstand_sandbox::{ModelFinish, ModelPart, ModelRequest, ModelRole, PowerError};
use base64::Engine as _;
use serde_json::{Value, json};

use super::http::{Client, EventData, post, whole};
use super::pieces::{Call, Pieces, TOOL_CALLS_MAX, tokens};
use super::{Events, Provider, ProviderKind};
use crate::refusal;
use crate::wire::{parse, tool_text};

/// Gemini wants a signature with each call of a tool that it asked for, and takes this in its place.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Asks, and sends the pieces of the answer.
pub(super) async fn answer(
    provider: &Provider,
    client: &Client,
    name: &str,
    request: &ModelRequest,
    events: &Events,
) -> Result<(), PowerError> {
    let body = body(provider, request);
    let response = post(provider, client, name, "chat/completions", &body).await?;
    let mut data = EventData::new(response, name);
    let mut pieces = Pieces { model: provider.model.clone(), ..Pieces::default() };
    let mut whole = false;
    while let Some(text) = data.next().await? {
        if text == "[DONE]" {
            whole = true;
            break;
        }
        let event: Value = serde_json::from_str(&text).map_err(|_| refusal::unreadable(name))?;
        if !event["error"].is_null() {
            return Err(refusal::of_event(&event, name, provider.usable_key(name)?));
        }
        if !take(event, &mut pieces, events).await {
            return Ok(());
        }
    }
    // Some end without the word; a reason to stop is as good.
    if !whole && pieces.finish.is_none() {
        return Err(refusal::cut(name));
    }
    pieces.end(events).await
}

/// `false`: nobody waits any more.
async fn take(event: Value, pieces: &mut Pieces, events: &Events) -> bool {
    if let Some(model) = event["model"].as_str().filter(|model| !model.is_empty()) {
        model.clone_into(&mut pieces.model);
    }
    let usage = &event["usage"];
    if usage.is_object() {
        pieces.input_tokens = tokens(&usage["prompt_tokens"]);
        pieces.output_tokens = tokens(&usage["completion_tokens"]);
        pieces.cached_tokens = tokens(&usage["prompt_tokens_details"]["cached_tokens"]);
    }
    let choice = &event["choices"][0];
    let delta = &choice["delta"];
    for (position, call) in delta["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let index = call["index"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(position);
        if index >= TOOL_CALLS_MAX {
            continue;
        }
        if pieces.calls.len() <= index {
            pieces.calls.resize_with(index + 1, Call::default);
        }
        let made = &mut pieces.calls[index];
        if let Some(id) = call["id"].as_str().filter(|id| !id.is_empty()) {
            id.clone_into(&mut made.id);
        }
        if let Some(tool) = call["function"]["name"].as_str().filter(|tool| !tool.is_empty()) {
            tool.clone_into(&mut made.name);
        }
        match &call["function"]["arguments"] {
            Value::String(text) => made.arguments.push_str(text),
            Value::Null => {}
            other => made.arguments = other.to_string(),
        }
    }
    if let Some(reason) = choice["finish_reason"].as_str() {
        pieces.finish = Some(match reason {
            "stop" => ModelFinish::Stop,
            "length" => ModelFinish::Length,
            "tool_calls" | "function_call" => ModelFinish::ToolCalls,
            "content_filter" => ModelFinish::Filtered,
            _ => ModelFinish::Other,
        });
    }
    match delta["content"].as_str() {
        Some(text) => pieces.text(text, events).await,
        None => true,
    }
}

fn body(provider: &Provider, request: &ModelRequest) -> Value {
    let mut body = json!({
        "model": provider.model,
        "messages": messages(provider, request),
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            let mut function = json!({ "name": tool.name, "parameters": parse(&tool.parameters) });
            if !tool.description.is_empty() {
                function["description"] = json!(tool.description);
            }
            json!({ "type": "function", "function": function })
        });
        body["tools"] = tools.collect();
    }
    if let Some(schema) = &request.schema {
        body["response_format"] =
            json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": parse(schema) } });
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = json!(temperature);
    }
    if let Some(tokens) = provider.tokens_max(request) {
        // OpenAI's newer models know only the newer word, most others only the older one.
        let newer = provider.kind == ProviderKind::OpenAi && provider.base_url.is_none();
        body[if newer { "max_completion_tokens" } else { "max_tokens" }] = json!(tokens);
    }
    body
}

fn messages(provider: &Provider, request: &ModelRequest) -> Vec<Value> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut messages = Vec::new();
    for message in &request.messages {
        let (mut content, mut calls) = (Vec::new(), Vec::new());
        for part in &message.parts {
            match part {
                ModelPart::Text(text) => content.push(json!({ "type": "text", "text": text })),
                ModelPart::Image { media_type, data } => {
                    let data = base64::engine::general_purpose::STANDARD.encode(data);
                    let url = format!("data:{media_type};base64,{data}");
                    content.push(json!({ "type": "image_url", "image_url": { "url": url } }));
                }
                ModelPart::ToolCall(call) => {
                    names.insert(&call.id, &call.name);
                    let mut made = json!({
                        "id": call.id,
                        "type": "function",
                        "function": { "name": call.name, "arguments": call.arguments },
                    });
                    if provider.kind == ProviderKind::Gemini {
                        made["extra_content"] = json!({ "google": { "thought_signature": NO_SIGNATURE } });
                    }
                    calls.push(made);
                }
                // Each result is a message of its own.
                ModelPart::ToolResult { id, output, is_error } => {
                    let mut made = json!({ "role": "tool", "tool_call_id": id, "content": tool_text(output, *is_error) });
                    if let Some(name) =
                        names.get(id.as_str()).filter(|_| provider.kind == ProviderKind::Gemini)
                    {
                        made["name"] = json!(name);
                    }
                    messages.push(made);
                }
            }
        }
        let role = match message.role {
            ModelRole::System => "system",
            ModelRole::User => "user",
            ModelRole::Assistant => "assistant",
            ModelRole::Tool => continue,
        };
        let mut made = json!({ "role": role, "content": plain(content) });
        if !calls.is_empty() {
            made["tool_calls"] = Value::Array(calls);
        }
        messages.push(made);
    }
    messages
}

/// Mere words are a text: not everybody takes a list of one.
fn plain(mut content: Vec<Value>) -> Value {
    match content.len() {
        0 => Value::Null,
        1 if content[0]["type"] == "text" => content[0]["text"].take(),
        _ => Value::Array(content),
    }
}

/// The vectors of texts, and how many tokens they took.
pub(super) async fn embed(
    provider: &Provider,
    client: &Client,
    name: &str,
    texts: &[String],
) -> Result<(Vec<Vec<f32>>, u64), PowerError> {
    let body = json!({ "model": provider.model, "input": texts });
    let response = post(provider, client, name, "embeddings", &body).await?;
    let answer = whole(response, name).await?;
    let rows = answer["data"].as_array().filter(|rows| rows.len() == texts.len());
    let mut vectors = vec![Vec::new(); texts.len()];
    for (position, row) in rows.ok_or_else(|| refusal::unreadable(name))?.iter().enumerate() {
        let index = row["index"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(position);
        let numbers: Option<Vec<f32>> = row["embedding"]
            .as_array()
            .map(|numbers| numbers.iter().map(|number| number.as_f64().unwrap_or(f64::NAN) as f32).collect());
        let numbers = numbers.filter(|numbers| !numbers.is_empty() && numbers.iter().all(|n| n.is_finite()));
        match (vectors.get_mut(index), numbers) {
            (Some(place), Some(numbers)) if place.is_empty() => *place = numbers,
            _ => return Err(refusal::unreadable(name)),
        }
    }
    let usage = &answer["usage"];
    Ok((vectors, u64::from(tokens(&usage["prompt_tokens"]).max(tokens(&usage["total_tokens"])))))
}
