//! Language models, by the operator's names for them. Needs the grant `model`; without it the host refuses the plugin
//! before the run.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[cfg(not(target_arch = "wasm32"))]
use crate::fake as host;
pub use crate::memory::{Error, ErrorKind};
#[cfg(target_arch = "wasm32")]
use crate::wasm as host;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The model.
    Assistant,
    /// Instructions.
    System,
    /// The tools, whose results the message carries.
    Tool,
    /// The person, or the program, that asks.
    User,
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A picture, from the user only: its media type (`image/png`) and the file.
    Image(String, Vec<u8>),
    /// Words.
    Text(String),
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// What a tool gave.
    ToolResult(ToolResult),
}

/// One turn of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Whose turn.
    pub role: Role,
    /// What was said, in order; at least one.
    pub parts: Vec<Part>,
}

impl Message {
    /// Instructions.
    pub fn system(text: impl Into<String>) -> Message {
        Message { role: Role::System, parts: vec![Part::Text(text.into())] }
    }

    /// Words of whoever asks.
    pub fn user(text: impl Into<String>) -> Message {
        Message { role: Role::User, parts: vec![Part::Text(text.into())] }
    }

    /// Words of the model.
    pub fn assistant(text: impl Into<String>) -> Message {
        Message { role: Role::Assistant, parts: vec![Part::Text(text.into())] }
    }

    /// What a tool gave: the answer to the call of that id.
    pub fn tool(id: impl Into<String>, output: Value) -> Message {
        let result = ToolResult { id: id.into(), output, is_error: false };
        Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] }
    }
}

/// A tool that the model may ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// When to use it, for the model.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub parameters: Value,
}

/// The model asks for a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names this call in its result.
    pub id: String,
    /// The tool.
    pub name: String,
    /// An object. The model wrote it, so it may not be what the tool's `parameters` ask for.
    pub args: Value,
}

/// What a tool gave.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult {
    /// The call it answers.
    pub id: String,
    /// Any JSON.
    pub output: Value,
    /// Whether the tool failed; then `output` says how.
    pub is_error: bool,
}

/// What a model is asked.
///
/// ```
/// use bandstand_sdk::model::{Message, Request};
/// let request = Request::new(vec![Message::user("Name a bird.")]).model("small").max_output_tokens(20);
/// assert_eq!(request.model.as_deref(), Some("small"));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// A name that the grant lists. None: the first it lists.
    pub model: Option<String>,
    /// The conversation so far, the oldest first.
    pub messages: Vec<Message>,
    /// The tools it may ask for. Calling them is the agent's work.
    pub tools: Vec<ToolSpec>,
    /// JSON Schema that the answer's text must match, once read as JSON.
    pub schema: Option<Value>,
    /// 0 for the likeliest words; none: the model's own.
    pub temperature: Option<f64>,
    /// The most it may write; the host has a limit of its own.
    pub max_output_tokens: Option<u32>,
}

impl Request {
    /// A conversation to be continued.
    #[must_use]
    pub fn new(messages: Vec<Message>) -> Request {
        Request { messages, ..Request::default() }
    }

    /// Of this model.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Request {
        self.model = Some(name.into());
        self
    }

    /// With a tool that it may ask for.
    #[must_use]
    pub fn tool(mut self, tool: ToolSpec) -> Request {
        self.tools.push(tool);
        self
    }

    /// To be answered by JSON that fits.
    #[must_use]
    pub fn schema(mut self, schema: Value) -> Request {
        self.schema = Some(schema);
        self
    }

    /// See the field.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Request {
        self.temperature = Some(temperature);
        self
    }

    /// See the field.
    #[must_use]
    pub fn max_output_tokens(mut self, tokens: u32) -> Request {
        self.max_output_tokens = Some(tokens);
        self
    }
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// The provider held the answer back.
    Filtered,
    /// It had written as much as it may.
    Length,
    /// Anything else.
    Other,
    /// It had said everything.
    #[default]
    Stop,
    /// It waits for tools.
    ToolCalls,
}

/// What a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Read by the model.
    pub input_tokens: u32,
    /// Written by it.
    pub output_tokens: u32,
    /// Of those read, the ones that the provider had kept.
    pub cached_tokens: u32,
}

/// What the model answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Response {
    /// Its words; JSON text where a schema was given.
    pub text: String,
    /// The tools it asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Why it stopped.
    pub finish: Finish,
    /// What it took.
    pub usage: Usage,
    /// The provider's name of the model that answered.
    pub model: String,
}

impl Response {
    /// The answer as a turn of the conversation, to be asked on with.
    #[must_use]
    pub fn message(&self) -> Message {
        let text =
            (!self.text.is_empty() || self.tool_calls.is_empty()).then(|| Part::Text(self.text.clone()));
        let calls = self.tool_calls.iter().cloned().map(Part::ToolCall);
        Message { role: Role::Assistant, parts: text.into_iter().chain(calls).collect() }
    }
}

/// A piece of an answer in the making.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The end, with the whole answer.
    Done(Response),
    /// The next words.
    Text(String),
    /// A tool it asks for, whole.
    ToolCall(ToolCall),
}

/// An answer in the making, piece by piece; the last one is [`Event::Done`]. Dropping it gives up the rest, which may be
/// paid for all the same.
pub struct Answer(pub(crate) host::Answer);

impl Iterator for Answer {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// Asks, and waits for the whole answer.
///
/// ```
/// use bandstand_sdk::{fake, model};
/// fake::answer_with(model::Response { text: "A wren.".into(), ..Default::default() });
/// let response = model::chat(&model::Request::new(vec![model::Message::user("Name a bird.")]))?;
/// assert_eq!(response.text, "A wren.");
/// # Ok::<(), model::Error>(())
/// ```
pub fn chat(request: &Request) -> Result<Response, Error> {
    host::model_chat(request)
}

/// Asks, and gives the answer piece by piece.
pub fn stream(request: &Request) -> Result<Answer, Error> {
    host::model_stream(request).map(Answer)
}

/// The meanings of texts as vectors, in the same order. `model` as in [`Request`].
pub fn embed(model: Option<&str>, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
    host::model_embed(model, texts)
}
