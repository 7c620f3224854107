//! An answer as it is put together from the pieces of a provider.

use bandstand_sandbox::{ModelEvent, ModelFinish, ModelResponse, PowerError, ToolCall};

use super::Events;

/// Tools that one answer may ask for.
pub(super) const TOOL_CALLS_MAX: usize = 1_000;

/// What has come so far.
#[derive(Default)]
pub(super) struct Pieces {
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
    pub(super) finish: Option<ModelFinish>,
    pub(super) input_tokens: u32,
    pub(super) output_tokens: u32,
    pub(super) cached_tokens: u32,
    pub(super) model: String,
}

/// A tool call in the making; `arguments` is the text so far.
#[derive(Default)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

impl Pieces {
    /// Takes the next words and passes them on. `false`: nobody waits any more.
    pub(super) async fn text(&mut self, text: &str, events: &Events) -> bool {
        if text.is_empty() {
            return true;
        }
        self.text.push_str(text);
        events.send(Ok(ModelEvent::Text(text.to_owned()))).await.is_ok()
    }

    /// The tools, whole, then the end.
    pub(super) async fn end(self, events: &Events) -> Result<(), PowerError> {
        let calls = self.calls.into_iter().filter(|call| !call.name.is_empty());
        let tool_calls: Vec<ToolCall> = calls
            .enumerate()
            .map(|(index, call)| ToolCall {
                id: if call.id.is_empty() { format!("call-{}", index + 1) } else { call.id },
                name: call.name,
                arguments: object(&call.arguments),
            })
            .collect();
        let finish = match self.finish {
            _ if !tool_calls.is_empty() => ModelFinish::ToolCalls,
            finish => finish.unwrap_or(ModelFinish::Other),
        };
        for call in &tool_calls {
            if events.send(Ok(ModelEvent::ToolCall(call.clone()))).await.is_err() {
                return Ok(());
            }
        }
        let response = ModelResponse {
            text: self.text,
            tool_calls,
            finish,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cached_tokens: self.cached_tokens,
            model: self.model,
        };
        // Nobody waits any more: then nobody misses it.
        let _ = events.send(Ok(ModelEvent::Done(response))).await;
        Ok(())
    }
}

/// Arguments as an object, whatever the model wrote.
fn object(text: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value @ serde_json::Value::Object(_)) => value.to_string(),
        Ok(serde_json::Value::Null) => "{}".to_owned(),
        Ok(value) => serde_json::json!({ "value": value }).to_string(),
        Err(_) if text.trim().is_empty() => "{}".to_owned(),
        Err(_) => serde_json::json!({ "value": text }).to_string(),
    }
}

/// A number of tokens; what is none counts as nothing.
pub(super) fn tokens(value: &serde_json::Value) -> u32 {
    value.as_u64().map_or(0, |number| u32::try_from(number).unwrap_or(u32::MAX))
}
