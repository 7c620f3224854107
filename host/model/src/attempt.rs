//! The models of one attempt: each call is held against the budget, asked of a provider or of a file, and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bandstand_sandbox::{
    Model, ModelAnswer, ModelEvent, ModelFuture, ModelPart, ModelRequest, ModelResponse, ModelUsage,
    PowerError, PowerErrorKind,
};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::ledger::{Ledger, Spent};
use crate::models::{Inner, Source};
use crate::provider::{Price, Provider};
use crate::refusal;

/// Pieces that wait for the guest to take them; the provider waits when there are more.
const PIECES_WAITING_MAX: usize = 64;

/// What one attempt gets.
pub(crate) struct OfAttempt {
    models: Arc<Inner>,
    ledger: Arc<Ledger>,
    usage: Arc<Mutex<ModelUsage>>,
}

impl OfAttempt {
    pub(crate) fn new(models: Arc<Inner>, ledger: Arc<Ledger>) -> OfAttempt {
        OfAttempt { models, ledger, usage: Arc::default() }
    }

    /// Opens a call that carries so many bytes.
    fn open(&self, bytes: usize, provider: Option<&Provider>) -> Result<Call, PowerError> {
        let price = provider.map(|provider| provider.price).unwrap_or_default();
        let estimate = estimate(bytes, price);
        self.ledger.open(estimate, self.models.budget)?;
        Ok(Call {
            ledger: self.ledger.clone(),
            usage: self.usage.clone(),
            estimate,
            price,
            since: Instant::now(),
            came_bytes: 0,
            took: Took::Unknown,
        })
    }
}

/// About what a request takes before it is answered. Four bytes are a token, more or less.
fn estimate(bytes: usize, price: Price) -> Spent {
    let tokens = u64::try_from(bytes / 4).unwrap_or(u64::MAX).saturating_add(1);
    Spent { tokens, cost_micros: price.of(tokens, 0) }
}

impl Model for OfAttempt {
    fn ask(&self, request: ModelRequest) -> ModelFuture<'_, Box<dyn ModelAnswer>> {
        Box::pin(async move {
            let (source, provider) = self.models.find(&request.model)?;
            if let Source::Provider(provider) = &source {
                provider.usable_key(&request.model)?;
            }
            let mut call = self.open(request_bytes(&request), provider.as_deref())?;
            let pieces = match source {
                Source::Replies(replies) => match replies.answer(&request) {
                    Ok(response) => Pieces::Played(played(response)),
                    Err(error) => {
                        call.took = Took::Nothing;
                        return Err(error);
                    }
                },
                Source::Provider(provider) => self.ask_provider(&provider, request.clone())?,
            };
            let record = self.models.recorder.clone().map(|recorder| (recorder, request));
            let answer: Box<dyn ModelAnswer> = Box::new(Answer { call: Some(call), pieces, record });
            Ok(answer)
        })
    }

    fn embed(&self, model: String, texts: Vec<String>) -> ModelFuture<'_, Vec<Vec<f32>>> {
        Box::pin(async move {
            let (source, provider) = self.models.find(&model)?;
            let bytes = texts.iter().map(String::len).sum();
            let mut call = self.open(bytes, provider.as_deref())?;
            let came = match source {
                Source::Replies(replies) => replies.embed(&model, &texts),
                Source::Provider(provider) => self.embed_at_provider(&provider, &model, &texts).await,
            };
            call.took = match &came {
                Ok((_, tokens)) => Took::Tokens { read: *tokens, written: 0 },
                Err(_) => Took::Nothing,
            };
            if let Some(recorder) = &self.models.recorder {
                recorder.embed(&model, &texts, came.as_ref().map(|(vectors, tokens)| (vectors, *tokens)))?;
            }
            Ok(came?.0)
        })
    }

    fn usage(&self) -> ModelUsage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfAttempt {
    fn ask_provider(&self, provider: &Arc<Provider>, request: ModelRequest) -> Result<Pieces, PowerError> {
        let (runtime, client) = self.models.reach()?;
        let (events, coming) = mpsc::channel(PIECES_WAITING_MAX);
        let (client, provider) = (client.clone(), provider.clone());
        let task = runtime.spawn(async move {
            let name = request.model.clone();
            provider.answer(&client, &name, &request, &events).await;
        });
        Ok(Pieces::Coming { coming, _task: AbortOnDrop(task.abort_handle()) })
    }

    async fn embed_at_provider(
        &self,
        provider: &Arc<Provider>,
        model: &str,
        texts: &[String],
    ) -> Result<(Vec<Vec<f32>>, u64), PowerError> {
        let (runtime, client) = self.models.reach()?;
        let (client, provider) = (client.clone(), provider.clone());
        let (name, texts) = (model.to_owned(), texts.to_vec());
        let task = runtime.spawn(async move { provider.embed(&client, &name, &texts).await });
        let _abort = AbortOnDrop(task.abort_handle());
        task.await.unwrap_or_else(|_| Err(refusal::cut(model)))
    }
}

/// Whoever drops the answer gives the call up.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer in the making.
struct Answer {
    /// Until its end.
    call: Option<Call>,
    pieces: Pieces,
    record: Option<(Arc<crate::Recorder>, ModelRequest)>,
}

enum Pieces {
    Played(VecDeque<ModelEvent>),
    Coming { coming: mpsc::Receiver<Result<ModelEvent, PowerError>>, _task: AbortOnDrop },
}

impl ModelAnswer for Answer {
    fn next(&mut self) -> ModelFuture<'_, Option<ModelEvent>> {
        Box::pin(async move {
            let Some(call) = &mut self.call else { return Ok(None) };
            let next = match &mut self.pieces {
                Pieces::Played(events) => events.pop_front().map(Ok),
                Pieces::Coming { coming, .. } => coming.recv().await,
            };
            let next = next.unwrap_or_else(|| {
                // The task always says how it ended, unless it fell.
                Err(refusal::cut("of this call"))
            });
            match &next {
                Ok(ModelEvent::Text(text)) => call.came_bytes += text.len(),
                Ok(ModelEvent::ToolCall(made)) => call.came_bytes += made.arguments.len(),
                Ok(ModelEvent::Done(response)) => {
                    let (read, written) = (response.input_tokens, response.output_tokens);
                    call.took = Took::Tokens { read: read.into(), written: written.into() };
                }
                // What broke off in the middle was begun, and is paid for.
                Err(_) if call.came_bytes > 0 => {}
                Err(_) => call.took = Took::Nothing,
            }
            let ended = !matches!(next, Ok(ModelEvent::Text(_) | ModelEvent::ToolCall(_)));
            if ended {
                self.call = None;
                if let Some((recorder, request)) = self.record.take() {
                    match &next {
                        Ok(ModelEvent::Done(response)) => recorder.answer(&request, Ok(response))?,
                        // Not what the operator's key is about: whoever plays it has none.
                        Err(error) if error.kind != PowerErrorKind::Denied => {
                            recorder.answer(&request, Err(error))?;
                        }
                        _ => {}
                    }
                }
            }
            next.map(Some)
        })
    }
}

/// A recorded answer word by word, as a provider would send it.
fn played(response: ModelResponse) -> VecDeque<ModelEvent> {
    let words = response.text.split_inclusive(' ').map(|word| ModelEvent::Text(word.to_owned()));
    let calls = response.tool_calls.iter().cloned().map(ModelEvent::ToolCall);
    let mut events: VecDeque<ModelEvent> = words.chain(calls).collect();
    events.push_back(ModelEvent::Done(response));
    events
}

/// One call, counted when it is dropped.
struct Call {
    ledger: Arc<Ledger>,
    usage: Arc<Mutex<ModelUsage>>,
    estimate: Spent,
    price: Price,
    since: Instant,
    came_bytes: usize,
    took: Took,
}

enum Took {
    /// It was refused.
    Nothing,
    /// It was given up; nobody tells.
    Unknown,
    /// As the provider says.
    Tokens { read: u64, written: u64 },
}

impl Drop for Call {
    fn drop(&mut self) {
        let (read, written) = match self.took {
            Took::Nothing => (0, 0),
            Took::Unknown => (self.estimate.tokens, estimate(self.came_bytes, self.price).tokens - 1),
            Took::Tokens { read, written } => (read, written),
        };
        let cost_micros = self.price.of(read, written);
        self.ledger.close(self.estimate, Spent { tokens: read.saturating_add(written), cost_micros });
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.calls += 1;
        usage.tokens_in = usage.tokens_in.saturating_add(read);
        usage.tokens_out = usage.tokens_out.saturating_add(written);
        usage.cost_micros = usage.cost_micros.saturating_add(cost_micros);
        usage.took_ms += u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
    }
}

fn request_bytes(request: &ModelRequest) -> usize {
    let part = |part: &ModelPart| match part {
        ModelPart::Text(text) => text.len(),
        // Providers count pictures by their size in dots; about a thousand tokens each.
        ModelPart::Image { .. } => 4_000,
        ModelPart::ToolCall(call) => call.arguments.len() + call.name.len(),
        ModelPart::ToolResult { output, .. } => output.len(),
    };
    let parts: usize = request.messages.iter().flat_map(|message| &message.parts).map(part).sum();
    let tools: usize = request
        .tools
        .iter()
        .map(|tool| tool.name.len() + tool.description.len() + tool.parameters.len())
        .sum();
    parts + tools + request.schema.as_ref().map_or(0, String::len)
}
