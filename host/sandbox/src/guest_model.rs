//! The interface `model`: checks grant, JSON and numbers, counts bytes, and asks the [`Model`](crate::Model) behind the
//! attempt. Waiting for a model takes no thread.

use crate::bindings::{model, types};
use crate::guest::Guest;
use crate::model::{
    BUDGET_CODE, ModelAnswer, ModelEvent, ModelFinish, ModelMessage, ModelPart, ModelRequest, ModelResponse,
    ModelRole, ToolCall, ToolSpec,
};
use crate::power_error::{PowerError, PowerErrorKind, error, invalid};
use crate::reply::json_problem;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::Resource;

/// The refusal's code; an agent that fails with it failed for want of the grant.
pub(crate) const NOT_GRANTED: &str = "model-not-granted";
/// Answers that one attempt may have open at once; each is a connection of the host.
const ANSWERS_OPEN_MAX: usize = 8;
/// Texts in one call of `embed`, messages, parts and tools in one request.
const LIST_MAX: usize = 10_000;
const MEDIA_TYPES: &[&str] = &["image/png", "image/jpeg", "image/webp", "image/gif"];

type Answer<T> = Result<std::result::Result<T, types::Error>>;
type Checked<T> = std::result::Result<T, types::Error>;

/// What a guest holds of an answer in the making.
#[expect(unreachable_pub, reason = "the generated code exports it again")]
pub struct OpenAnswer {
    answer: Box<dyn ModelAnswer>,
}

impl Guest {
    /// The model behind the attempt, and the granted name that is meant.
    fn granted_model(&mut self, asked: Option<String>) -> Checked<(Arc<dyn crate::Model>, String)> {
        let granted = &self.grants.models;
        let name = match asked {
            Some(name) if granted.contains(&name) => name,
            None if !granted.is_empty() => granted[0].clone(),
            asked => {
                self.denied = Some(NOT_GRANTED);
                let name = asked.unwrap_or_else(|| "NAME".to_owned());
                let name = crate::sanitise::sanitise(&name, 100);
                let message = format!(
                    "the model `{name}` is not granted; the plugin needs `grants: {{model: [{name}]}}`"
                );
                return Err(error(types::ErrorKind::Denied, NOT_GRANTED, message));
            }
        };
        match self.model.clone() {
            Some(model) => Ok((model, name)),
            None => Err(error(types::ErrorKind::Unavailable, "no-models", "this host has no models")),
        }
    }

    async fn ask(&mut self, request: model::Request) -> Answer<Box<dyn ModelAnswer>> {
        self.charge_call(request_bytes(&request))?;
        let (model, name) = match self.granted_model(request.model.clone()) {
            Ok(granted) => granted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut request = match check_request(name, request) {
            Ok(request) => request,
            Err(problem) => return Ok(Err(problem)),
        };
        self.describe_tools(&mut request.tools);
        Ok(model.ask(request).await.map_err(|told| self.told(told)))
    }

    /// Tells the model, not the guest, what is known of tools that come with their name alone.
    fn describe_tools(&self, tools: &mut [ToolSpec]) {
        let Some(known) = &self.tools else { return };
        for tool in tools {
            let plain: String = tool.parameters.split_whitespace().collect();
            let bare = tool.description.is_empty() && matches!(plain.as_str(), "{}" | r#"{"type":"object"}"#);
            if let Some(told) = bare.then(|| known.describe(&tool.name)).flatten() {
                (tool.description, tool.parameters) = (told.description, told.parameters);
            }
        }
    }

    /// Remembers why the attempt may fail.
    fn told(&mut self, told: PowerError) -> types::Error {
        if told.kind == PowerErrorKind::Limit && told.code == BUDGET_CODE {
            self.denied = Some(BUDGET_CODE);
        }
        told.into()
    }
}

impl model::Host for Guest {
    async fn chat(&mut self, request: model::Request) -> Answer<model::Response> {
        let mut answer = match self.ask(request).await? {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            match answer.next().await {
                Ok(Some(ModelEvent::Done(response))) => {
                    self.charge_answer(response_bytes(&response))?;
                    return Ok(Ok(response.into()));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Err(cut())),
                Err(told) => return Ok(Err(self.told(told))),
            }
        }
    }

    async fn chat_stream(&mut self, request: model::Request) -> Answer<Resource<OpenAnswer>> {
        if self.answers_open >= ANSWERS_OPEN_MAX {
            self.charge_call(request_bytes(&request))?;
            let message = format!(
                "{ANSWERS_OPEN_MAX} answers are open, and no attempt may have more (limit answers-open, fixed by the \
                 host); drop one first"
            );
            return Ok(Err(error(types::ErrorKind::Limit, "answers-open", message)));
        }
        Ok(match self.ask(request).await? {
            Ok(answer) => {
                let open = self.resources.push(OpenAnswer { answer })?;
                self.answers_open += 1;
                Ok(open)
            }
            Err(error) => Err(error),
        })
    }

    async fn embed(&mut self, model: Option<String>, texts: Vec<String>) -> Answer<Vec<Vec<f32>>> {
        self.charge_call(texts.iter().map(|text| text.len() + 8).sum())?;
        let (model, name) = match self.granted_model(model) {
            Ok(granted) => granted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if texts.is_empty() || texts.len() > LIST_MAX || texts.iter().any(String::is_empty) {
            let message = format!("`texts` must hold 1 to {LIST_MAX} texts, none of them empty");
            return Ok(Err(invalid("texts-invalid", message)));
        }
        match model.embed(name, texts).await {
            Ok(vectors) => {
                self.charge_answer(vectors.iter().map(|vector| 8 + 4 * vector.len()).sum())?;
                Ok(Ok(vectors))
            }
            Err(told) => Ok(Err(self.told(told))),
        }
    }
}

impl model::HostAnswer for Guest {
    async fn next(&mut self, answer: Resource<OpenAnswer>) -> Answer<Option<model::Event>> {
        self.charge_call(0)?;
        let next = self.resources.get_mut(&answer)?.answer.next().await;
        match next {
            Ok(event) => {
                self.charge_answer(event.as_ref().map_or(0, event_bytes))?;
                Ok(Ok(event.map(Into::into)))
            }
            Err(told) => Ok(Err(self.told(told))),
        }
    }

    async fn drop(&mut self, answer: Resource<OpenAnswer>) -> Result<()> {
        self.resources.delete(answer)?;
        self.answers_open = self.answers_open.saturating_sub(1);
        Ok(())
    }
}

fn check_request(model: String, request: model::Request) -> Checked<ModelRequest> {
    if request.messages.is_empty() || request.messages.len() > LIST_MAX || request.tools.len() > LIST_MAX {
        let message = format!("`messages` must hold 1 to {LIST_MAX} messages, `tools` no more than that");
        return Err(invalid("messages-invalid", message));
    }
    // Written so that NaN fails it.
    if let Some(temperature) = request.temperature.filter(|number| !(0.0..=100.0).contains(number)) {
        return Err(invalid(
            "number-out-of-range",
            format!("temperature is {temperature}, but is 0 at least"),
        ));
    }
    if request.max_output_tokens == Some(0) {
        return Err(invalid("number-out-of-range", "max-output-tokens is 0, but must be 1 at least"));
    }
    let schema = request.schema.map(|schema| object("schema", schema)).transpose()?;
    let mut tools: Vec<ToolSpec> = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.into_iter().enumerate() {
        if !is_tool_name(&tool.name) {
            let message = format!(
                "tools[{index}].name must be 1 to 64 letters, digits, `_` and `-`, as providers want it"
            );
            return Err(invalid("tool-name-invalid", message));
        }
        if tools.iter().any(|other| other.name == tool.name) {
            return Err(invalid("tool-name-invalid", format!("two tools are called `{}`", tool.name)));
        }
        let parameters = object(&format!("tools[{index}].parameters"), tool.parameters)?;
        tools.push(ToolSpec { name: tool.name, description: tool.description, parameters });
    }
    let mut messages = Vec::with_capacity(request.messages.len());
    for (index, message) in request.messages.into_iter().enumerate() {
        messages.push(check_message(&format!("messages[{index}]"), message)?);
    }
    Ok(ModelRequest {
        model,
        messages,
        tools,
        schema,
        temperature: request.temperature,
        max_output_tokens: request.max_output_tokens,
    })
}

fn check_message(place: &str, message: model::Message) -> Checked<ModelMessage> {
    if message.parts.is_empty() || message.parts.len() > LIST_MAX {
        return Err(invalid("messages-invalid", format!("{place}.parts must hold 1 to {LIST_MAX} parts")));
    }
    let role = match message.role {
        model::Role::System => ModelRole::System,
        model::Role::User => ModelRole::User,
        model::Role::Assistant => ModelRole::Assistant,
        model::Role::Tool => ModelRole::Tool,
    };
    let mut parts = Vec::with_capacity(message.parts.len());
    for (index, part) in message.parts.into_iter().enumerate() {
        let place = format!("{place}.parts[{index}]");
        let (part, fits) = match part {
            model::Part::Text(text) => (ModelPart::Text(text), role != ModelRole::Tool),
            model::Part::Image(image) => {
                if !MEDIA_TYPES.contains(&image.media_type.as_str()) {
                    let message = format!("{place}: a picture is one of {}", MEDIA_TYPES.join(", "));
                    return Err(invalid("image-invalid", message));
                }
                let part = ModelPart::Image { media_type: image.media_type, data: image.data };
                (part, role == ModelRole::User)
            }
            model::Part::ToolCall(call) => {
                let arguments = object(&format!("{place}.arguments"), call.arguments)?;
                let call = ToolCall { id: call.id, name: call.name, arguments };
                (ModelPart::ToolCall(call), role == ModelRole::Assistant)
            }
            model::Part::ToolResult(result) => {
                let output = json(&format!("{place}.output"), result.output)?;
                let part = ModelPart::ToolResult { id: result.id, output, is_error: result.is_error };
                (part, role == ModelRole::Tool)
            }
        };
        if !fits {
            let message = format!("{place} cannot come from the role `{}`", role_name(role));
            return Err(invalid("messages-invalid", message));
        }
        parts.push(part);
    }
    Ok(ModelMessage { role, parts })
}

fn role_name(role: ModelRole) -> &'static str {
    match role {
        ModelRole::System => "system",
        ModelRole::User => "user",
        ModelRole::Assistant => "assistant",
        ModelRole::Tool => "tool",
    }
}

fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn json(place: &str, text: String) -> Checked<String> {
    match json_problem(&text) {
        Some(problem) => Err(invalid("not-json", format!("{place} is not JSON: {problem}"))),
        None => Ok(text),
    }
}

fn object(place: &str, text: String) -> Checked<String> {
    let text = json(place, text)?;
    if text.trim_start().starts_with('{') {
        Ok(text)
    } else {
        Err(invalid("not-an-object", format!("{place} must be a JSON object")))
    }
}

fn request_bytes(request: &model::Request) -> usize {
    let part = |part: &model::Part| match part {
        model::Part::Text(text) => text.len(),
        model::Part::Image(image) => image.data.len(),
        model::Part::ToolCall(call) => call.id.len() + call.name.len() + call.arguments.len(),
        model::Part::ToolResult(result) => result.id.len() + result.output.len(),
    };
    let parts = request.messages.iter().flat_map(|message| &message.parts).map(|one| part(one) + 16);
    let tools = request
        .tools
        .iter()
        .map(|tool| tool.name.len() + tool.description.len() + tool.parameters.len() + 16);
    parts.sum::<usize>() + tools.sum::<usize>() + request.schema.as_ref().map_or(0, String::len)
}

fn call_bytes(call: &ToolCall) -> usize {
    16 + call.id.len() + call.name.len() + call.arguments.len()
}

fn response_bytes(response: &ModelResponse) -> usize {
    response.text.len() + response.model.len() + response.tool_calls.iter().map(call_bytes).sum::<usize>()
}

fn event_bytes(event: &ModelEvent) -> usize {
    match event {
        ModelEvent::Text(text) => text.len(),
        ModelEvent::ToolCall(call) => call_bytes(call),
        ModelEvent::Done(response) => response_bytes(response),
    }
}

fn cut() -> types::Error {
    error(types::ErrorKind::Unavailable, "answer-cut", "the answer ended before it was complete")
}

impl From<ToolCall> for model::ToolCall {
    fn from(call: ToolCall) -> Self {
        Self { id: call.id, name: call.name, arguments: call.arguments }
    }
}

impl From<ModelResponse> for model::Response {
    fn from(response: ModelResponse) -> Self {
        Self {
            text: response.text,
            tool_calls: response.tool_calls.into_iter().map(Into::into).collect(),
            finish: match response.finish {
                ModelFinish::Stop => model::Finish::Stop,
                ModelFinish::ToolCalls => model::Finish::ToolCalls,
                ModelFinish::Length => model::Finish::Length,
                ModelFinish::Filtered => model::Finish::Filtered,
                ModelFinish::Other => model::Finish::Other,
            },
            usage: model::Usage {
                input_tokens: response.input_tokens,
                output_tokens: response.output_tokens,
                cached_tokens: response.cached_tokens,
            },
            model: response.model,
        }
    }
}

impl From<ModelEvent> for model::Event {
    fn from(event: ModelEvent) -> Self {
        match event {
            ModelEvent::Text(text) => model::Event::Text(text),
            ModelEvent::ToolCall(call) => model::Event::ToolCall(call.into()),
            ModelEvent::Done(response) => model::Event::Done(response.into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn turn(role: model::Role, parts: Vec<model::Part>) -> model::Message {
        model::Message { role, parts }
    }

    fn says(role: model::Role, text: &str) -> model::Message {
        turn(role, vec![model::Part::Text(text.to_owned())])
    }

    fn request(messages: Vec<model::Message>) -> model::Request {
        model::Request {
            model: None,
            messages,
            tools: Vec::new(),
            schema: None,
            temperature: None,
            max_output_tokens: None,
        }
    }

    fn code(request: model::Request) -> String {
        check_request("small".to_owned(), request).map_or_else(|error| error.code, |_| "fine".to_owned())
    }

    // R7.6
    #[test]
    fn requests_are_checked_before_they_cost_anything() {
        let hello = || request(vec![says(model::Role::User, "hello")]);
        assert_eq!(code(hello()), "fine");
        assert_eq!(code(request(Vec::new())), "messages-invalid");
        assert_eq!(code(request(vec![turn(model::Role::User, Vec::new())])), "messages-invalid");
        assert_eq!(code(request(vec![says(model::Role::Tool, "hello")])), "messages-invalid");
        for wrong in [f64::NAN, -0.1, f64::INFINITY] {
            assert_eq!(code(model::Request { temperature: Some(wrong), ..hello() }), "number-out-of-range");
        }
        assert_eq!(code(model::Request { max_output_tokens: Some(0), ..hello() }), "number-out-of-range");
        assert_eq!(code(model::Request { schema: Some("{".into()), ..hello() }), "not-json");
        assert_eq!(code(model::Request { schema: Some("[]".into()), ..hello() }), "not-an-object");
        let tool = |name: &str| model::ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            parameters: "{}".to_owned(),
        };
        assert_eq!(code(model::Request { tools: vec![tool("a"), tool("b-1")], ..hello() }), "fine");
        for tools in [vec![tool("a"), tool("a")], vec![tool("a b")], vec![tool("")]] {
            assert_eq!(code(model::Request { tools, ..hello() }), "tool-name-invalid");
        }
    }

    #[test]
    fn each_part_comes_from_its_role() {
        let call = |arguments: &str| {
            let arguments = arguments.to_owned();
            model::Part::ToolCall(model::ToolCall { id: "c".into(), name: "t".into(), arguments })
        };
        let result = |output: &str| {
            let output = output.to_owned();
            model::Part::ToolResult(model::ToolResult { id: "c".into(), output, is_error: false })
        };
        let image = |media_type: &str| {
            model::Part::Image(model::Image { media_type: media_type.to_owned(), data: vec![1] })
        };
        let of = |role, part| code(request(vec![turn(role, vec![part])]));
        assert_eq!(of(model::Role::Assistant, call("{}")), "fine");
        assert_eq!(of(model::Role::User, call("{}")), "messages-invalid");
        assert_eq!(of(model::Role::Assistant, call("[]")), "not-an-object");
        assert_eq!(of(model::Role::Tool, result("[1]")), "fine");
        assert_eq!(of(model::Role::Tool, result("nothing")), "not-json");
        assert_eq!(of(model::Role::User, image("image/png")), "fine");
        assert_eq!(of(model::Role::Assistant, image("image/png")), "messages-invalid");
        assert_eq!(of(model::Role::User, image("image/bmp")), "image-invalid");
    }
}
