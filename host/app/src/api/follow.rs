//! Follows a run that a server drives: the stream of its events, and beside it the question how it stands. When a connection
//! breaks, it goes on where it was: no event is missing, none comes twice.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bandstand_engine::Status;
use hyper::body::Bytes;
use hyper::{StatusCode, header};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::error::{ApiError, Told};
use super::exchange::{Answered, Asked};
use super::target::Api;
use super::{escaped, query};
use crate::host::{Published, Settled, Watched};
use crate::view::{LeaseIs, Page, RunOutcome, event_of, live_of};

/// How long one question how a run stands waits for an answer. Seconds.
const WAIT_S: u32 = 25;
/// A server says at least so often that it is there.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long a server may be away while a run is followed: it is started again, perhaps.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries to reach it.
const PAUSE: Duration = Duration::from_millis(500);
/// The largest message of a stream. Bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Messages that wait for whoever follows.
const QUEUE: usize = 256;
/// Where the journal of a run that is only waited for begins: nowhere.
const NO_ROWS: u64 = u64::MAX;
/// Events in one read.
const PAGE_EVENTS: u32 = 1_000;

/// What is told of a run that a server drives.
#[derive(Debug)]
pub(crate) struct Followed {
    told: mpsc::Receiver<Result<Watched, ApiError>>,
    task: AbortHandle,
}

impl Followed {
    /// Follows a run from that event on.
    pub(crate) fn new(api: Api, run_id: &str, from_seq: u64) -> Followed {
        let (tell, told) = mpsc::channel(QUEUE);
        let following = Following { api, run_id: run_id.to_owned(), next_seq: from_seq, tell };
        let task = tokio::spawn(following.follow()).abort_handle();
        Followed { told, task }
    }

    /// What comes next. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the server cannot be reached any more, or says no.
    pub(crate) async fn next(&mut self) -> Result<Watched, ApiError> {
        match self.told.recv().await {
            Some(told) => told,
            // It has ended, and that was told.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Following {
    api: Api,
    run_id: String,
    next_seq: u64,
    tell: mpsc::Sender<Result<Watched, ApiError>>,
}

/// Why following ends.
enum End {
    /// All was told.
    Over,
    /// Whoever followed has gone.
    Unheard,
    /// It cannot go on.
    Failed(ApiError),
}

impl From<ApiError> for End {
    fn from(error: ApiError) -> End {
        End::Failed(error)
    }
}

type Standing<'a> = Pin<Box<dyn Future<Output = Result<RunOutcome, ApiError>> + Send + 'a>>;

impl Following {
    async fn follow(mut self) {
        if let Err(End::Failed(error)) = self.until_over().await {
            let _ = self.tell.send(Err(error)).await;
        }
    }

    /// Never comes back but with the reason why it ends.
    async fn until_over(&mut self) -> Result<std::convert::Infallible, End> {
        let api = self.api.clone();
        let run_id = self.run_id.clone();
        let mut away = Away::default();
        let mut stream: Option<Messages> = None;
        // Asked only after news: how a run stands is told once.
        let mut standing: Option<Standing<'_>> = Some(Box::pin(api.wait(&run_id, WAIT_S)));
        loop {
            if stream.is_none() && self.next_seq != NO_ROWS {
                stream = match self.open().await {
                    Ok(stream) => {
                        away = Away::default();
                        Some(stream)
                    }
                    Err(error) => {
                        away.wait(error).await?;
                        continue;
                    }
                };
            }
            tokio::select! {
                message = next_of(&mut stream) => match message {
                    Ok(Some(message)) => {
                        away = Away::default();
                        if self.message(message).await? && standing.is_none() {
                            standing = Some(Box::pin(api.wait(&run_id, WAIT_S)));
                        }
                    }
                    // The server is closing, or the run has ended, which the other question tells.
                    Ok(None) => {
                        stream = None;
                        if standing.is_none() {
                            standing = Some(Box::pin(api.wait(&run_id, WAIT_S)));
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(error) => {
                        stream = None;
                        away.wait(error).await?;
                    }
                },
                outcome = answer_of(&mut standing) => {
                    standing = None;
                    if outcome.is_ok() {
                        away = Away::default();
                    }
                    match outcome {
                        Ok(outcome) if !outcome.settled => standing = Some(Box::pin(api.wait(&run_id, WAIT_S))),
                        Ok(outcome) => self.settled(&outcome).await?,
                        Err(error) => {
                            away.wait(error).await?;
                            standing = Some(Box::pin(api.wait(&run_id, WAIT_S)));
                        }
                    }
                }
            }
        }
    }

    /// The run's events from the next one on.
    async fn open(&self) -> Result<Messages, ApiError> {
        let from = query(&[("from", Some(self.next_seq.to_string()))]);
        let path = format!("/runs/{}/stream{from}", escaped(&self.run_id));
        let answered =
            self.api.ask(Asked::get(path).header(header::ACCEPT, Some("text/event-stream"))).await?;
        let over = answered.status() == StatusCode::NO_CONTENT;
        Ok(Messages { answered, bytes: Vec::new(), read: 0, over })
    }

    /// Takes in a message of the stream; whether it is news of the run.
    async fn message(&mut self, (kind, data): (String, Value)) -> Result<bool, End> {
        match kind.as_str() {
            "end" | "closing" | "reset" => Ok(false),
            "problem" => {
                let told: Told = serde_json::from_value(data).unwrap_or_default();
                Err(ApiError::Problem { told, with_token: self.api.has_token() }.into())
            }
            kind if kind.starts_with("live.") => {
                // What a later version says while it works need not be understood.
                if let Some(live) = live_of(&data) {
                    self.tell(Watched::Live(live)).await?;
                }
                Ok(false)
            }
            _ => {
                self.event(data).await?;
                Ok(true)
            }
        }
    }

    async fn event(&mut self, line: Value) -> Result<(), End> {
        let known = line["type"].as_str().unwrap_or_default().to_owned();
        let Some((run_id, seq, at, event)) = event_of(line) else {
            let problem = format!("an event `{known}`");
            let theirs = Some("of another version".to_owned());
            return Err(self.api.not_understood(theirs, &problem).into());
        };
        if seq < self.next_seq {
            return Ok(());
        }
        self.next_seq = seq + 1;
        self.tell(Watched::Published(Published { run_id, seq, at, events: Arc::new(vec![event]) })).await
    }

    /// First what led there, then how it stands.
    async fn settled(&mut self, outcome: &RunOutcome) -> Result<(), End> {
        let mut more = self.next_seq != NO_ROWS;
        while more {
            let parameters =
                [("from", Some(self.next_seq.to_string())), ("limit", Some(PAGE_EVENTS.to_string()))];
            let path = format!("/runs/{}/events{}", escaped(&self.run_id), query(&parameters));
            let page: Page<Value> = self.api.json(Asked::get(path)).await?;
            more = !page.items.is_empty();
            for line in page.items {
                self.event(line).await?;
            }
        }
        let settled = settled(outcome);
        let over = matches!(settled, Settled::Ended(_));
        self.tell(Watched::Settled(settled)).await?;
        if over { Err(End::Over) } else { Ok(()) }
    }

    async fn tell(&self, watched: Watched) -> Result<(), End> {
        self.tell.send(Ok(watched)).await.map_err(|_| End::Unheard)
    }
}

/// How a run stands that does not go on by itself.
fn settled(outcome: &RunOutcome) -> Settled {
    let run = &outcome.run;
    match run.status.as_str() {
        "succeeded" => Settled::Ended(Status::Succeeded),
        "failed" => Settled::Ended(Status::Failed),
        "cancelled" | "killed" => Settled::Ended(Status::Cancelled),
        "paused" => Settled::Paused,
        "stuck" => Settled::Stuck(run.problem.clone().unwrap_or_default()),
        _ => match &run.lease {
            Some(lease) if lease.is == LeaseIs::Queued && lease.behind.is_some() => {
                Settled::QueuedBehind { run_id: lease.behind.clone().unwrap_or_default() }
            }
            _ => Settled::WaitingForPeople { reviews: outcome.reviews.clone() },
        },
    }
}

/// How long the server has been away.
#[derive(Default)]
struct Away(Duration);

impl Away {
    async fn wait(&mut self, error: ApiError) -> Result<(), ApiError> {
        if !error.may_pass() || self.0 >= PATIENCE {
            return Err(error);
        }
        self.0 += PAUSE;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

async fn next_of(stream: &mut Option<Messages>) -> Result<Option<(String, Value)>, ApiError> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

async fn answer_of(standing: &mut Option<Standing<'_>>) -> Result<RunOutcome, ApiError> {
    match standing {
        Some(standing) => standing.await,
        None => std::future::pending().await,
    }
}

/// The messages of a stream.
struct Messages {
    answered: Answered,
    /// Read and not told yet.
    bytes: Vec<u8>,
    /// Of these, what was looked through for an end.
    read: usize,
    over: bool,
}

impl Messages {
    /// The next one: what it is, and its data. None: the stream has ended. Nothing is lost when the future is dropped.
    async fn next(&mut self) -> Result<Option<(String, Value)>, ApiError> {
        loop {
            while let Some(end) = self.end_of_message() {
                let message: Vec<u8> = self.bytes.drain(..end).collect();
                self.read = 0;
                if let Some(message) = message_of(&message) {
                    return Ok(Some(message));
                }
            }
            if self.over {
                return Ok(None);
            }
            if self.bytes.len() > MESSAGE_BYTES_MAX {
                let problem = format!("a message of its stream has more than {MESSAGE_BYTES_MAX} bytes");
                return Err(ApiError::Written(problem));
            }
            let part: Option<Bytes> = self.answered.part(SILENCE_MAX).await?;
            match part {
                Some(part) => self.bytes.extend_from_slice(&part),
                None => self.over = true,
            }
        }
    }

    /// Behind the empty line that ends a message.
    fn end_of_message(&mut self) -> Option<usize> {
        let from = self.read.saturating_sub(1);
        let found = self.bytes[from..].windows(2).position(|two| two == b"\n\n");
        self.read = self.bytes.len();
        found.map(|at| from + at + 2)
    }
}

/// None: it says nothing but that the server is there, or is no JSON, which ours is.
fn message_of(message: &[u8]) -> Option<(String, Value)> {
    let text = std::str::from_utf8(message).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let data = serde_json::from_str(field("data:")?).ok()?;
    Some((field("event:").unwrap_or_default().to_owned(), data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_are_read_and_signs_of_life_passed_over() {
        assert_eq!(
            message_of(b"id: 4\nevent: run.started\ndata: {\"a\":1}\n\n"),
            Some(("run.started".to_owned(), json!({ "a": 1 })))
        );
        for nothing in [&b": alive\n\n"[..], b"retry: 1000\n\n", b"event: x\ndata: {\n\n", b"\xff\n\n"] {
            assert_eq!(message_of(nothing), None);
        }
    }
}
