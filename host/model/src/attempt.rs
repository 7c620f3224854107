//! The models of one attempt: each call is held against the budget, asked of a provider or of a file, and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bandstand_sandbox::{
    Model, ModelAnswer, ModelCall, ModelEvent, ModelFuture, ModelPart, ModelRequest, ModelResponse,
    ModelUsage, PowerError, PowerErrorKind,
};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::ledger::{Ledger, Spent};
use crate::models::{Inner, Source};
use crate::provider::{Price, Provider};
use crate::refusal;

/// Pieces that wait for the guest to take them; the provider waits when there are more.
const PIECES_WAITING_MAX: usize = 64;

/// Calls of one attempt that are told one by one; further ones are added to those of the same model.
const CALLS_TOLD_MAX: usize = 64;

/// What one attempt gets.
pub(crate) struct OfAttempt {
    models: Arc<Inner>,
    ledger: Arc<Ledger>,
    usage: Arc<Mutex<ModelUsage>>,
    /// When the attempt got it, a moment before it began.
    since: Instant,
}

impl OfAttempt {
    pub(crate) fn new(models: Arc<Inner>, ledger: Arc<Ledger>) -> OfAttempt {
        OfAttempt { models, ledger, usage: Arc::default(), since: Instant::now() }
    }

    /// Opens a call that carries so many bytes, and asks for vectors or not.
    fn open(&self, name: &str, asked: Asked<'_>) -> Result<Call, PowerError> {
        let Asked { bytes, embed, provider, played } = asked;
        let price = provider.map(|provider| provider.price).unwrap_or_default();
        let estimate = estimate(bytes, price);
        self.ledger.open(estimate, self.models.budget)?;
        let since = Instant::now();
        // Recorded replies are nobody's, whoever's they were.
        let asked = provider.filter(|_| !played);
        Ok(Call {
            told: ModelCall {
                name: name.to_owned(),
                provider: asked.map_or("", |provider| provider.kind.name()),
                model: asked.map(|provider| provider.model.clone()).unwrap_or_default(),
                embed,
                at_ms: ms(since.saturating_duration_since(self.since)),
                failed: Some("cut".to_owned()),
                ..ModelCall::default()
            },
            ledger: self.ledger.clone(),
            usage: self.usage.clone(),
            estimate,
            price,
            since,
            came_bytes: 0,
            took: Took::Unknown,
        })
    }
}

/// What a call is to be opened for.
struct Asked<'a> {
    bytes: usize,
    embed: bool,
    provider: Option<&'a Provider>,
    /// Whether recorded replies stand in for the provider.
    played: bool,
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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
            let asked = Asked {
                bytes: request_bytes(&request),
                embed: false,
                provider: provider.as_deref(),
                played: matches!(source, Source::Replies(_)),
            };
            let mut call = self.open(&request.model, asked)?;
            let pieces = match source {
                Source::Replies(replies) => match replies.answer(&request) {
                    Ok(response) => Pieces::Played(played(response)),
                    Err(error) => {
                        call.took = Took::Nothing;
                        call.told.failed = Some(error.code.clone());
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
            let asked = Asked {
                bytes,
                embed: true,
                provider: provider.as_deref(),
                played: matches!(source, Source::Replies(_)),
            };
            let mut call = self.open(&model, asked)?;
            let came = match source {
                Source::Replies(replies) => replies.embed(&model, &texts),
                Source::Provider(provider) => self.embed_at_provider(&provider, &model, &texts).await,
            };
            call.took = match &came {
                Ok((_, tokens)) => Took::Tokens { read: *tokens, written: 0 },
                Err(_) => Took::Nothing,
            };
            call.told.failed = came.as_ref().err().map(|error| error.code.clone());
            if let Some(recorder) = &self.models.recorder {
                recorder.embed(&model, &texts, came.as_ref().map(|(vectors, tokens)| (vectors, *tokens)))?;
            }
            Ok(came?.0)
        })
    }

    fn usage(&self) -> ModelUsage {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
                    call.told.failed = None;
                }
                // What broke off in the middle was begun, and is paid for.
                Err(_) if call.came_bytes > 0 => {}
                Err(_) => call.took = Took::Nothing,
            }
            if let Err(error) = &next {
                call.told.failed = Some(error.code.clone());
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
    /// What is told of it besides.
    told: ModelCall,
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
        let took_ms = ms(self.since.elapsed());
        usage.took_ms += took_ms;
        let told = ModelCall {
            took_ms,
            tokens_in: read,
            tokens_out: written,
            cost_micros,
            ..std::mem::take(&mut self.told)
        };
        tell(&mut usage.each, told);
    }
}

/// Notes a call; where there are very many, the sums stay right.
fn tell(each: &mut Vec<ModelCall>, call: ModelCall) {
    let same = |known: &&mut ModelCall| {
        (&known.name, known.embed, &known.failed) == (&call.name, call.embed, &call.failed)
    };
    // Names and codes are few, so there are not many more entries than the bound.
    let told = each.len();
    match each.iter_mut().rev().find(|known| told >= CALLS_TOLD_MAX && same(known)) {
        Some(known) => {
            known.took_ms = known.took_ms.saturating_add(call.took_ms);
            known.tokens_in = known.tokens_in.saturating_add(call.tokens_in);
            known.tokens_out = known.tokens_out.saturating_add(call.tokens_out);
            known.cost_micros = known.cost_micros.saturating_add(call.cost_micros);
            known.more += 1;
        }
        None if told < 2 * CALLS_TOLD_MAX => each.push(call),
        None => {}
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
