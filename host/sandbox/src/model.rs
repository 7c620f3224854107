//! The language models that stand behind an agent: the trait that a provider implements, and its plain types.
//!
//! The sandbox checks grants, JSON and number ranges before it calls; what a name means, keys, prices and budgets are
//! the implementer's: a [`Model`] is made for one attempt and knows for whom it works.

use crate::power_error::PowerError;
use std::future::Future;
use std::pin::Pin;

/// Work on one call. Dropping it gives the call up.
pub type ModelFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, PowerError>> + Send + 'a>>;

/// What the interface `model` of `wit/agent.wit` asks for.
///
/// The futures are polled on the guests' threads, so they must not block. When the attempt ends, futures and answers are
/// dropped: the call is given up.
pub trait Model: Send + Sync + 'static {
    /// Begins an answer. `request.model` is a granted name.
    fn ask(&self, request: ModelRequest) -> ModelFuture<'_, Box<dyn ModelAnswer>>;
    /// `embed`: as many vectors as texts, in their order. `model` is a granted name.
    fn embed(&self, model: String, texts: Vec<String>) -> ModelFuture<'_, Vec<Vec<f32>>>;
    /// What the attempt's calls took so far. Those that were given up are in it as far as that is known.
    fn usage(&self) -> ModelUsage;
}

/// An answer in the making.
pub trait ModelAnswer: Send + 'static {
    /// The next piece. `None` after [`ModelEvent::Done`].
    fn next(&mut self) -> ModelFuture<'_, Option<ModelEvent>>;
}

/// What the calls of one attempt took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelUsage {
    /// How many calls.
    pub calls: u64,
    /// What models read. Tokens.
    pub tokens_in: u64,
    /// What models wrote. Tokens.
    pub tokens_out: u64,
    /// What it cost. Millionths of the operator's currency.
    pub cost_micros: u64,
    /// From each call to its end. Milliseconds.
    pub took_ms: u64,
    /// Each call, in the order in which they ended; very many of them added up.
    pub each: Vec<ModelCall>,
}

/// One call of a model, or several of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelCall {
    /// The operator's name of the model.
    pub name: String,
    /// Who has it; empty: recorded replies.
    pub provider: &'static str,
    /// The provider's name of it; empty: as `name`.
    pub model: String,
    /// Whether it was asked for vectors.
    pub embed: bool,
    /// From when the attempt got its models to the call. Milliseconds.
    pub at_ms: u64,
    /// From the call to its end. Milliseconds.
    pub took_ms: u64,
    /// Tokens read.
    pub tokens_in: u64,
    /// Tokens written.
    pub tokens_out: u64,
    /// Millionths of the operator's currency.
    pub cost_micros: u64,
    /// The code of its failure, `cut` if it was given up.
    pub failed: Option<String>,
    /// Further calls that are added up in this entry.
    pub more: u64,
}

/// The code of an error of kind `limit` that an operator's budget gives. An attempt that fails with it has failed for
/// good, with class `limit` and code `budget`.
pub const BUDGET_CODE: &str = "budget";

/// What a model is asked; the fields are those of the record `request` in the WIT.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// A granted name.
    pub model: String,
    /// At least one; each has at least one part.
    pub messages: Vec<ModelMessage>,
    /// What it may ask for.
    pub tools: Vec<ToolSpec>,
    /// JSON text, an object; checked.
    pub schema: Option<String>,
    /// Finite and not negative; checked.
    pub temperature: Option<f64>,
    /// Tokens.
    pub max_output_tokens: Option<u32>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// Instructions.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
    /// The tools.
    Tool,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelMessage {
    /// Whose.
    pub role: ModelRole,
    /// What was said, in order.
    pub parts: Vec<ModelPart>,
}

/// A piece of a message. That it comes from the right role is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelPart {
    /// Words.
    Text(String),
    /// A picture.
    Image {
        /// One of `image/png`, `image/jpeg`, `image/webp`, `image/gif`; checked.
        media_type: String,
        /// The file.
        data: Vec<u8>,
    },
    /// The model asked for a tool.
    ToolCall(ToolCall),
    /// What a tool gave.
    ToolResult {
        /// The call it answers.
        id: String,
        /// JSON text; checked.
        output: String,
        /// Whether the tool failed.
        is_error: bool,
    },
}

/// A tool that the model may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSpec {
    /// Letters, digits, `_` and `-`, 64 at most; checked.
    pub name: String,
    /// For the model.
    pub description: String,
    /// JSON text, an object; checked.
    pub parameters: String,
}

/// A wish of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Names it in the result.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON text. From the model it is an object.
    pub arguments: String,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFinish {
    /// It had said everything.
    Stop,
    /// It waits for tools.
    ToolCalls,
    /// It had written as much as it may.
    Length,
    /// The provider held the answer back.
    Filtered,
    /// Anything else.
    Other,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelResponse {
    /// Its words.
    pub text: String,
    /// What it asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Why it stopped.
    pub finish: ModelFinish,
    /// Tokens read.
    pub input_tokens: u32,
    /// Tokens written.
    pub output_tokens: u32,
    /// Of those read, the ones that the provider had kept.
    pub cached_tokens: u32,
    /// The provider's name of the model.
    pub model: String,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelEvent {
    /// The next words.
    Text(String),
    /// A tool it asks for, whole.
    ToolCall(ToolCall),
    /// The end.
    Done(ModelResponse),
}
