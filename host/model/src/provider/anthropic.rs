//! Messages as Anthropic has them.

use bandstand_sandbox::{ModelFinish, ModelPart, ModelRequest, ModelRole, PowerError};
use base64::Engine as _;
use serde_json::{Value, json};

use super::http::{Client, EventData, post};
use super::pieces::{Call, Pieces, TOOL_CALLS_MAX, tokens};
use super::{Events, Provider};
use crate::refusal;
use crate::wire::{parse, tool_text};

/// What an answer may have when nobody says: the interface wants a number. Tokens.
const OUTPUT_TOKENS_MAX: u32 = 8_192;

/// Asks, and sends the pieces of the answer.
pub(super) async fn answer(
    provider: &Provider,
    client: &Client,
    name: &str,
    request: &ModelRequest,
    events: &Events,
) -> Result<(), PowerError> {
    let response = post(provider, client, name, "messages", &body(provider, request)).await?;
    let mut data = EventData::new(response, name);
    let mut pieces = Pieces { model: provider.model.clone(), ..Pieces::default() };
    // Which block of the answer is which call.
    let mut blocks: Vec<Option<usize>> = Vec::new();
    while let Some(text) = data.next().await? {
        let event: Value = serde_json::from_str(&text).map_err(|_| refusal::unreadable(name))?;
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => {
                let message = &event["message"];
                if let Some(model) = message["model"].as_str() {
                    model.clone_into(&mut pieces.model);
                }
                usage(&message["usage"], &mut pieces);
            }
            "content_block_start" => {
                let block = &event["content_block"];
                let index = if block["type"] == "tool_use" && pieces.calls.len() < TOOL_CALLS_MAX {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    let id = text(&block["id"]);
                    pieces.calls.push(Call { id, name: text(&block["name"]), arguments: String::new() });
                    Some(pieces.calls.len() - 1)
                } else {
                    None
                };
                let place = event["index"].as_u64().and_then(|place| usize::try_from(place).ok());
                if let Some(place) = place.filter(|place| *place < 2 * TOOL_CALLS_MAX) {
                    if blocks.len() <= place {
                        blocks.resize(place + 1, None);
                    }
                    blocks[place] = index;
                }
            }
            "content_block_delta" => {
                let delta = &event["delta"];
                if let Some(text) = delta["text"].as_str() {
                    if !pieces.text(text, events).await {
                        return Ok(());
                    }
                } else if let Some(part) = delta["partial_json"].as_str() {
                    let place = event["index"].as_u64().and_then(|place| usize::try_from(place).ok());
                    let call = place.and_then(|place| blocks.get(place).copied().flatten());
                    if let Some(call) = call {
                        pieces.calls[call].arguments.push_str(part);
                    }
                }
            }
            "message_delta" => {
                usage(&event["usage"], &mut pieces);
                pieces.finish = event["delta"]["stop_reason"].as_str().map(|reason| match reason {
                    "end_turn" | "stop_sequence" => ModelFinish::Stop,
                    "tool_use" => ModelFinish::ToolCalls,
                    "max_tokens" | "model_context_window_exceeded" => ModelFinish::Length,
                    "refusal" => ModelFinish::Filtered,
                    _ => ModelFinish::Other,
                });
            }
            "message_stop" => return pieces.end(events).await,
            "error" => return Err(refusal::of_event(&event, name, provider.usable_key(name)?)),
            _ => {}
        }
    }
    Err(refusal::cut(name))
}

fn usage(usage: &Value, pieces: &mut Pieces) {
    if usage["input_tokens"].is_u64() {
        // What was read from the cache and what was put into it is counted apart.
        let cached = tokens(&usage["cache_read_input_tokens"]);
        let others = [&usage["input_tokens"], &usage["cache_creation_input_tokens"]];
        pieces.input_tokens = others.into_iter().map(tokens).fold(cached, u32::saturating_add);
        pieces.cached_tokens = cached;
    }
    if usage["output_tokens"].is_u64() {
        pieces.output_tokens = tokens(&usage["output_tokens"]);
    }
}

fn body(provider: &Provider, request: &ModelRequest) -> Value {
    let mut body = json!({
        "model": provider.model,
        "max_tokens": provider.tokens_max(request).unwrap_or(OUTPUT_TOKENS_MAX),
        "messages": messages(request),
        "stream": true,
    });
    let system: Vec<Value> = request
        .messages
        .iter()
        .filter(|message| message.role == ModelRole::System)
        .flat_map(|message| message.parts.iter().map(block))
        .collect();
    if !system.is_empty() {
        body["system"] = Value::Array(system);
    }
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({ "name": tool.name, "description": tool.description, "input_schema": parse(&tool.parameters) })
        });
        body["tools"] = tools.collect();
    }
    if let Some(schema) = &request.schema {
        body["output_config"] = json!({ "format": { "type": "json_schema", "schema": parse(schema) } });
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = json!(temperature);
    }
    body
}

/// Turns take turns there: results of tools are the user's, and what one side says in a row is one message.
fn messages(request: &ModelRequest) -> Vec<Value> {
    let mut messages: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            ModelRole::System => continue,
            ModelRole::User | ModelRole::Tool => "user",
            ModelRole::Assistant => "assistant",
        };
        let blocks = message.parts.iter().filter(|part| !is_empty(part)).map(block);
        match messages.last_mut() {
            Some((last, content)) if *last == role => content.extend(blocks),
            _ => messages.push((role, blocks.collect())),
        }
    }
    let filled = messages.into_iter().filter(|(_, content)| !content.is_empty());
    filled.map(|(role, content)| json!({ "role": role, "content": content })).collect()
}

/// Empty texts are refused there, and say nothing.
fn is_empty(part: &ModelPart) -> bool {
    matches!(part, ModelPart::Text(text) if text.is_empty())
}

fn block(part: &ModelPart) -> Value {
    match part {
        ModelPart::Text(text) => json!({ "type": "text", "text": text }),
        ModelPart::Image { media_type, data } => {
            let data = base64::engine::general_purpose::STANDARD.encode(data);
            json!({ "type": "image", "source": { "type": "base64", "media_type": media_type, "data": data } })
        }
        ModelPart::ToolCall(call) => {
            json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": parse(&call.arguments) })
        }
        ModelPart::ToolResult { id, output, is_error } => {
            let content = tool_text(output, false);
            json!({ "type": "tool_result", "tool_use_id": id, "content": content, "is_error": is_error })
        }
    }
}
