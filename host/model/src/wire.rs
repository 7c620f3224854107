//! Requests and answers as JSON that people can read and write: in files of replies.

use bandstand_sandbox::{
    ModelFinish, ModelMessage, ModelPart, ModelRequest, ModelResponse, ModelRole, PowerError, PowerErrorKind,
    ToolCall,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// JSON text that was checked by the sandbox; what is none stays visible as text.
pub(crate) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// What a tool gave, for a model: words as they are, other JSON as text. `mark_error`: say in the words that it failed,
/// where there is no other place for it.
pub(crate) fn tool_text(output: &str, mark_error: bool) -> String {
    match parse(output) {
        Value::String(text) if !mark_error => text,
        value if mark_error && value.get("error").is_none() => json!({ "error": value }).to_string(),
        value => value.to_string(),
    }
}

/// A request without its model, with what is unset left out.
pub(crate) fn request(request: &ModelRequest) -> Value {
    let mut made = Map::new();
    made.insert("messages".to_owned(), request.messages.iter().map(message).collect());
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({ "name": tool.name, "description": tool.description, "parameters": parse(&tool.parameters) })
        });
        made.insert("tools".to_owned(), tools.collect());
    }
    if let Some(schema) = &request.schema {
        made.insert("schema".to_owned(), parse(schema));
    }
    if let Some(temperature) = request.temperature {
        made.insert("temperature".to_owned(), json!(temperature));
    }
    if let Some(tokens) = request.max_output_tokens {
        made.insert("max_output_tokens".to_owned(), json!(tokens));
    }
    Value::Object(made)
}

fn message(message: &ModelMessage) -> Value {
    let role = match message.role {
        ModelRole::System => "system",
        ModelRole::User => "user",
        ModelRole::Assistant => "assistant",
        ModelRole::Tool => "tool",
    };
    match &message.parts[..] {
        [ModelPart::Text(text)] => json!({ "role": role, "content": text }),
        parts => json!({ "role": role, "content": parts.iter().map(part).collect::<Vec<_>>() }),
    }
}

fn part(part: &ModelPart) -> Value {
    match part {
        ModelPart::Text(text) => json!({ "text": text }),
        // The picture itself would drown the file; its digest tells it from others.
        ModelPart::Image { media_type, data } => json!({ "image": media_type, "digest": digest(data) }),
        ModelPart::ToolCall(call) => json!({ "tool_call": tool_call(call) }),
        ModelPart::ToolResult { id, output, is_error: false } => {
            json!({ "tool_result": { "id": id, "output": parse(output) } })
        }
        ModelPart::ToolResult { id, output, is_error: true } => {
            json!({ "tool_result": { "id": id, "output": parse(output), "is_error": true } })
        }
    }
}

fn tool_call(call: &ToolCall) -> Value {
    json!({ "id": call.id, "name": call.name, "args": parse(&call.arguments) })
}

/// An answer in a file of replies. Every member has a default, so that people can write short ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Answer {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<WireCall>,
    /// None: `tool-calls` if there are any, else `stop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finish: Option<Finish>,
    pub(crate) usage: Usage,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) model: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireCall {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) args: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Finish {
    Stop,
    ToolCalls,
    Length,
    Filtered,
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Usage {
    pub(crate) input: u32,
    pub(crate) output: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) cached: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl From<&ModelResponse> for Answer {
    fn from(response: &ModelResponse) -> Answer {
        let calls = response.tool_calls.iter().map(|call| WireCall {
            id: call.id.clone(),
            name: call.name.clone(),
            args: parse(&call.arguments).as_object().cloned().unwrap_or_default(),
        });
        Answer {
            text: response.text.clone(),
            tool_calls: calls.collect(),
            finish: Some(match response.finish {
                ModelFinish::Stop => Finish::Stop,
                ModelFinish::ToolCalls => Finish::ToolCalls,
                ModelFinish::Length => Finish::Length,
                ModelFinish::Filtered => Finish::Filtered,
                ModelFinish::Other => Finish::Other,
            }),
            usage: Usage {
                input: response.input_tokens,
                output: response.output_tokens,
                cached: response.cached_tokens,
            },
            model: response.model.clone(),
        }
    }
}

impl From<Answer> for ModelResponse {
    fn from(answer: Answer) -> ModelResponse {
        let guessed = if answer.tool_calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
        let calls = answer.tool_calls.into_iter().map(|call| ToolCall {
            id: call.id,
            name: call.name,
            arguments: Value::Object(call.args).to_string(),
        });
        ModelResponse {
            text: answer.text,
            tool_calls: calls.collect(),
            finish: match answer.finish.unwrap_or(guessed) {
                Finish::Stop => ModelFinish::Stop,
                Finish::ToolCalls => ModelFinish::ToolCalls,
                Finish::Length => ModelFinish::Length,
                Finish::Filtered => ModelFinish::Filtered,
                Finish::Other => ModelFinish::Other,
            },
            input_tokens: answer.usage.input,
            output_tokens: answer.usage.output,
            cached_tokens: answer.usage.cached,
            model: answer.model,
        }
    }
}

/// An error in a file of replies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refused {
    pub(crate) kind: Kind,
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Denied,
    Invalid,
    NotFound,
    Limit,
    Unavailable,
    Cancelled,
    Other,
}

impl From<&PowerError> for Refused {
    fn from(error: &PowerError) -> Refused {
        Refused {
            kind: match error.kind {
                PowerErrorKind::Denied => Kind::Denied,
                PowerErrorKind::Invalid => Kind::Invalid,
                PowerErrorKind::NotFound => Kind::NotFound,
                PowerErrorKind::Limit => Kind::Limit,
                PowerErrorKind::Unavailable => Kind::Unavailable,
                PowerErrorKind::Cancelled => Kind::Cancelled,
                PowerErrorKind::Other => Kind::Other,
            },
            code: error.code.clone(),
            message: error.message.clone(),
            retry_after_ms: error.retry_after_ms,
        }
    }
}

impl From<Refused> for PowerError {
    fn from(refused: Refused) -> PowerError {
        let kind = match refused.kind {
            Kind::Denied => PowerErrorKind::Denied,
            Kind::Invalid => PowerErrorKind::Invalid,
            Kind::NotFound => PowerErrorKind::NotFound,
            Kind::Limit => PowerErrorKind::Limit,
            Kind::Unavailable => PowerErrorKind::Unavailable,
            Kind::Cancelled => PowerErrorKind::Cancelled,
            Kind::Other => PowerErrorKind::Other,
        };
        PowerError {
            kind,
            code: refused.code,
            message: refused.message,
            retry_after_ms: refused.retry_after_ms,
        }
    }
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("sha256:");
    for byte in <sha2::Sha256 as sha2::Digest>::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
