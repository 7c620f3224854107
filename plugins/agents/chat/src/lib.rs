//! `chat`: one turn of a language model. It comes with the host as a builtin.
//!
//! Input: `messages` (the conversation, oldest first); `system` (instructions before it) and `text` (what the user says
//! after it), both optional; `model` (a granted name; default: the first one granted); `tools` (names, or
//! `{ name, description, parameters }`, where `parameters` is a JSON Schema); `schema` (a JSON Schema for the answer);
//! `temperature`; `max_output_tokens`.
//!
//! A message is `{ role, content }` with the role `system`, `user` or `assistant` and a text; one of the assistant may
//! have `tool_calls`; the result of a tool is `{ role: tool, id, content }` with any JSON, and `is_error: true` where
//! the tool failed. What this agent gives as `message` can be put into `messages` as it is.
//!
//! Output: `message`; `text`; `tool_calls` (list of `{ id, name, args }`, empty: the model has its say); `json` (with
//! `schema`: the answer read as JSON); `finish` (`stop`, `tool-calls`, `length`, `filtered`, `other`); `usage`
//! (`input_tokens`, `output_tokens`, `cached_tokens`); `model` (the provider's name). The text is shown as it comes.
//!
//! Failures: `input-invalid`; `reply-not-json` (recoverable); and what the host says of the model.

use bandstand_sdk::model::{
    self, Event, Finish, Message, Part, Request, Response, Role, ToolCall, ToolResult, ToolSpec,
};
use bandstand_sdk::{Call, Failure, Reply, agent, progress};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

agent!(run);

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    messages: Vec<Turn>,
    #[serde(default)]
    system: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    tools: Vec<Tool>,
    #[serde(default)]
    schema: Option<Value>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    max_output_tokens: Option<u32>,
}

/// A message as workflows write it.
#[derive(Deserialize)]
struct Turn {
    role: Role,
    #[serde(default)]
    content: Value,
    #[serde(default)]
    tool_calls: Vec<ToolCall>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    is_error: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Tool {
    Name(String),
    Spec {
        name: String,
        #[serde(default)]
        description: String,
        #[serde(default)]
        parameters: Option<Value>,
    },
}

#[derive(Serialize)]
struct Output {
    message: Value,
    text: String,
    tool_calls: Vec<ToolCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Value>,
    finish: Finish,
    usage: model::Usage,
    model: String,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let schema = input.schema.clone();
    let request = request(input)?;
    let mut whole = None;
    for event in model::stream(&request)? {
        match event? {
            Event::Text(text) => progress::chunk(&text),
            Event::ToolCall(_) => {}
            Event::Done(response) => whole = Some(response),
        }
    }
    let response =
        whole.ok_or_else(|| Failure::recoverable("answer-cut", "the answer ended before it was complete"))?;
    let json = match &schema {
        // A model that asks for tools has not answered yet.
        Some(_) if response.tool_calls.is_empty() => Some(read(&response)?),
        _ => None,
    };
    Ok(Reply::new(Output {
        message: message(&response),
        text: response.text,
        tool_calls: response.tool_calls,
        json,
        finish: response.finish,
        usage: response.usage,
        model: response.model,
    }))
}

fn request(input: Input) -> Result<Request, Failure> {
    let mut messages: Vec<Message> = input.system.map(Message::system).into_iter().collect();
    for (index, turn) in input.messages.into_iter().enumerate() {
        messages.push(turn_of(index, turn)?);
    }
    messages.extend(input.text.map(Message::user));
    if !messages.iter().any(|message| message.role != Role::System) {
        return Err(invalid("neither `messages` nor `text` says anything".to_owned()));
    }
    let tools = input.tools.into_iter().map(|tool| match tool {
        Tool::Name(name) => {
            ToolSpec { name, description: String::new(), parameters: json!({ "type": "object" }) }
        }
        Tool::Spec { name, description, parameters } => {
            let parameters = parameters.unwrap_or_else(|| json!({ "type": "object" }));
            ToolSpec { name, description, parameters }
        }
    });
    Ok(Request {
        model: input.model,
        messages,
        tools: tools.collect(),
        schema: input.schema,
        temperature: input.temperature,
        max_output_tokens: input.max_output_tokens,
    })
}

fn turn_of(index: usize, turn: Turn) -> Result<Message, Failure> {
    let Turn { role, content, tool_calls, id, is_error } = turn;
    let parts = match role {
        Role::Tool => {
            let id = id.ok_or_else(|| invalid(format!("messages[{index}] is of a tool and has no `id`")))?;
            vec![Part::ToolResult(ToolResult { id, output: content, is_error })]
        }
        Role::Assistant => {
            let text = match content {
                // A turn of tool calls alone.
                Value::Null if !tool_calls.is_empty() => None,
                Value::String(text) if text.is_empty() && !tool_calls.is_empty() => None,
                content => Some(Part::Text(words(index, content)?)),
            };
            text.into_iter().chain(tool_calls.into_iter().map(Part::ToolCall)).collect()
        }
        Role::System | Role::User => vec![Part::Text(words(index, content)?)],
    };
    Ok(Message { role, parts })
}

/// A text; other JSON is shown to the model as it is.
fn words(index: usize, content: Value) -> Result<String, Failure> {
    match content {
        Value::Null => Err(invalid(format!("messages[{index}] has no `content`"))),
        Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}

fn message(response: &Response) -> Value {
    let mut message = json!({ "role": "assistant", "content": response.text });
    if !response.tool_calls.is_empty() {
        message["tool_calls"] = json!(response.tool_calls);
    }
    message
}

fn read(response: &Response) -> Result<Value, Failure> {
    let text = response.text.trim();
    // Some models wrap JSON in a fence, whatever they are told.
    let fenced = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    let text = fenced.and_then(|text| text.strip_suffix("```")).unwrap_or(text);
    serde_json::from_str(text).map_err(|error| {
        let finish = if response.finish == Finish::Length { ", since it was cut at its limit" } else { "" };
        Failure::recoverable("reply-not-json", format!("the model's answer is not JSON{finish}: {error}"))
    })
}

fn invalid(message: String) -> Failure {
    Failure::permanent("input-invalid", message)
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::fake;

    use super::*;

    fn ask(input: Value, response: Response) -> Result<Value, Failure> {
        fake::reset();
        fake::answer_with(response);
        run(&Call::with_input(input)).map(|reply| reply.output())
    }

    fn says(text: &str) -> Response {
        Response { text: text.to_owned(), ..Response::default() }
    }

    // R7.6
    #[test]
    fn a_turn_is_asked_for_streamed_and_given_back() {
        let output =
            ask(json!({ "system": "Be short.", "text": "Name a bird." }), says("A small wren.")).unwrap();
        assert_eq!(output["text"], "A small wren.");
        assert_eq!(output["message"], json!({ "role": "assistant", "content": "A small wren." }));
        assert_eq!(output["tool_calls"], json!([]));
        assert_eq!(output["finish"], "stop");
        assert_eq!(fake::shown(), ["A ", "small ", "wren."]);
        let asked = fake::asked();
        assert_eq!(asked[0].messages, [Message::system("Be short."), Message::user("Name a bird.")]);
    }

    #[test]
    fn tools_are_asked_for_and_their_results_go_back_as_they_are() {
        let call = ToolCall { id: "c1".to_owned(), name: "price".to_owned(), args: json!({ "of": "lamp" }) };
        let response =
            Response { tool_calls: vec![call.clone()], finish: Finish::ToolCalls, ..Response::default() };
        let tools = json!(["look", { "name": "price", "description": "What it costs", "parameters": {} }]);
        let first = ask(json!({ "text": "Costs?", "tools": tools, "schema": {} }), response).unwrap();
        assert_eq!(first["tool_calls"], json!([{ "id": "c1", "name": "price", "args": { "of": "lamp" } }]));
        assert_eq!(first.get("json"), None);
        assert_eq!(fake::asked()[0].tools[0].parameters, json!({ "type": "object" }));
        let messages = json!([
            { "role": "user", "content": "Costs?" },
            first["message"],
            { "role": "tool", "id": "c1", "content": { "price": 42 } },
        ]);
        ask(json!({ "messages": messages }), says("42")).unwrap();
        let asked = &fake::asked()[0].messages;
        assert_eq!(asked[1].parts, [Part::ToolCall(call)]);
        assert_eq!(asked[2], Message::tool("c1", json!({ "price": 42 })));
    }

    #[test]
    fn an_answer_by_a_schema_is_read() {
        let output =
            ask(json!({ "text": "?", "schema": { "type": "object" } }), says("```json\n{\"a\": 1}\n```"));
        assert_eq!(output.unwrap()["json"], json!({ "a": 1 }));
        let failure = ask(json!({ "text": "?", "schema": {} }), says("no")).unwrap_err();
        assert_eq!(failure.code(), "reply-not-json");
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        for (input, expected) in [
            (json!({}), "says anything"),
            (json!({ "messages": [{ "role": "tool", "content": 1 }] }), "no `id`"),
            (json!({ "messages": [{ "role": "user" }] }), "no `content`"),
            (json!({ "messages": [{ "role": "robot", "content": "x" }] }), "robot"),
        ] {
            let failure = ask(input, Response::default()).unwrap_err();
            assert_eq!(failure.code(), "input-invalid");
            assert!(failure.message().contains(expected), "{failure}");
        }
    }
}
