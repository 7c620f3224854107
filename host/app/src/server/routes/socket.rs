//! The WebSocket: the messages of all streams over one connection, and commands the other way.
//!
//! A client sends JSON texts with a member `do`, and an `id` of its own by which the answer names it:
//! `{"id": 1, "do": "follow", "run": RUN, "from": 0}`. It gets `{"answer": 1, "ok": {...}}` or `{"answer": 1, "problem": {...}}`,
//! and for what it follows `{"follow": 1, "event": "run.started", "at": "0", "data": {...}}`, where `at` is the number to go on
//! from. Nobody waits for a slow client: what it follows is read from the store when it has room.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::get;
use bandstand_store::ThreadKey;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::reviews::{self, Decision};
use super::runs_control::{Reason, SignalBody, send_signal, steer};
use crate::host::Steering;
use crate::project::catalogue::Precondition;
use crate::project::server::Role;
use crate::server::all::{AllListener, Heard};
use crate::server::caller::{Caller, Viewer};
use crate::server::feed::{self, Piece, until};
use crate::server::follow::{Listener, Of};
use crate::server::guard::CountedAs;
use crate::server::listen::Place;
use crate::server::pace::Pace;
use crate::server::problem::{Code, Problem};
use crate::server::sse;
use crate::server::state::AppState;

/// A client's message. Bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Messages that wait for a client to read.
const QUEUE_MAX: usize = 64;
/// What one client follows at once.
const FOLLOWS_MAX: usize = 64;
/// While there is nothing to say, a client is pinged this often; one that went away is noticed by that.
const PING_EVERY: Duration = Duration::from_secs(15);
/// How long a message may take to leave.
const SEND_WITHIN: Duration = Duration::from_secs(60);
/// The protocol that a page asks for, beside `bearer.TOKEN`.
const PROTOCOL: &str = "bandstand";

/// The route.
pub fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/ws", get(open))
}

async fn open(
    Viewer(caller): Viewer,
    State(state): State<AppState>,
    place: Option<Extension<Place>>,
    Extension(counted_as): Extension<CountedAs>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade =
        upgrade.protocols([PROTOCOL]).max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    upgrade.on_upgrade(move |socket| async move {
        // The connection's place among those at once is taken until here, and the server waits for it when it ends.
        let _until_here = place;
        speak(socket, state, caller, counted_as).await;
    })
}

/// What a client wants.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Command {
    /// Hear of a run, of a thread or, with neither, of all runs. A run from event `from` on; the others after the place `from`.
    Follow { run: Option<String>, thread: Option<ThreadName>, from: Option<Value> },
    /// Hear no more of what that command began.
    Unfollow { follow: u64 },
    /// Answer a review.
    Decide {
        review: String,
        seen: Option<String>,
        request: Option<String>,
        #[serde(rename = "with")]
        decision: Decision,
    },
    /// Send a run a signal.
    Signal { run: String, name: String, data: Option<Value>, request: Option<String> },
    /// Nothing new starts.
    Pause { run: String, reason: Option<String> },
    /// A paused run carries on.
    Resume { run: String, reason: Option<String> },
    /// It ends, in order.
    Cancel { run: String, reason: Option<String> },
    /// It ends at once.
    Kill { run: String, reason: Option<String> },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThreadName {
    workflow: String,
    thread_id: String,
}

/// One client.
struct Client {
    state: AppState,
    caller: Caller,
    counted_as: CountedAs,
    out: mpsc::Sender<Message>,
    follows: HashMap<u64, AbortHandle>,
}

async fn speak(socket: WebSocket, state: AppState, caller: Caller, counted_as: CountedAs) {
    let (sink, mut stream) = socket.split();
    let (out, queue) = mpsc::channel(QUEUE_MAX);
    let mut closed = state.feed().closed();
    // What is told takes its turn behind what is asked.
    let writer = state.streams().spawn(write(sink, queue, state.feed().pace()));
    let mut client = Client { state, caller, counted_as, out, follows: HashMap::new() };
    loop {
        let text = tokio::select! {
            text = next_text(&mut stream) => text,
            () = until(&mut closed) => break,
        };
        let Some(text) = text else { break };
        let answer = client.carry_out(&text).await;
        if client.out.send(Message::Text(answer.to_string().into())).await.is_err() {
            break;
        }
    }
    client.follows.drain().for_each(|(_, follow)| follow.abort());
    // What is queued may still leave; a client that reads nothing is not waited for.
    drop(client);
    let _ = tokio::time::timeout(Duration::from_secs(1), writer).await;
}

async fn next_text(stream: &mut SplitStream<WebSocket>) -> Option<String> {
    loop {
        match stream.next().await?.ok()? {
            Message::Text(text) => return Some(text.to_string()),
            Message::Close(_) => return None,
            // Not JSON: the answer says so.
            Message::Binary(_) => return Some(String::new()),
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut queue: mpsc::Receiver<Message>, mut pace: Pace) {
    loop {
        let message = match tokio::time::timeout(PING_EVERY, queue.recv()).await {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(_) => Message::Ping(Vec::new().into()),
        };
        if let Message::Text(text) = &message {
            tokio::time::sleep(pace.wait_for(text.len(), Instant::now())).await;
        }
        // Who reads nothing for so long is gone.
        match tokio::time::timeout(SEND_WITHIN, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
    let _ = tokio::time::timeout(Duration::from_secs(1), sink.send(Message::Close(None))).await;
}

impl Client {
    /// Does what a message says; the answer to it.
    async fn carry_out(&mut self, text: &str) -> Value {
        let mut message = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(message)) => message,
            _ => {
                let problem =
                    Problem::new(Code::BadRequest, "a message is a JSON object with `do` and an `id`");
                return json!({ "answer": null, "problem": problem });
            }
        };
        let id = message.remove("id").unwrap_or_default();
        // A command counts as a request does.
        if let Err(problem) = self.state.rate().admit(&self.counted_as, Instant::now()) {
            return json!({ "answer": id, "problem": problem });
        }
        let done = match serde_json::from_value(Value::Object(message)) {
            Ok(command) => self.command(&id, command).await,
            Err(error) => Err(Problem::new(Code::Invalid, format!("the message: {error}"))),
        };
        match done {
            Ok(done) => json!({ "answer": id, "ok": done }),
            Err(problem) => json!({ "answer": id, "problem": problem }),
        }
    }

    fn needs(&self, role: Role) -> Result<(), Problem> {
        self.caller.needs(role)
    }

    async fn command(&mut self, id: &Value, command: Command) -> Result<Value, Problem> {
        match command {
            Command::Follow { run, thread, from } => self.follow(id, run, thread, from).await,
            Command::Unfollow { follow } => {
                let known = self.follows.remove(&follow);
                known.iter().for_each(AbortHandle::abort);
                Ok(json!({ "changed": known.is_some() }))
            }
            Command::Decide { review, seen, request, decision } => {
                self.needs(Role::Reviewer)?;
                let seen = seen.map(|seen| Precondition::is(&seen)).unwrap_or_default();
                let decided =
                    reviews::answer(&self.state, &self.caller, review, seen, request, decision).await?;
                Ok(json!(decided.0))
            }
            Command::Signal { run, name, data, request } => {
                self.needs(Role::Operator)?;
                let body = SignalBody { data: data.unwrap_or_default(), by: None };
                Ok(json!(send_signal(&self.state, &self.caller, run, name, body, request).await?))
            }
            Command::Pause { run, reason } => self.steer(run, Steering::Pause, reason).await,
            Command::Resume { run, reason } => self.steer(run, Steering::Resume, reason).await,
            Command::Cancel { run, reason } => self.steer(run, Steering::Cancel, reason).await,
            Command::Kill { run, reason } => self.steer(run, Steering::Kill, reason).await,
        }
    }

    async fn steer(&self, run: String, steering: Steering, reason: Option<String>) -> Result<Value, Problem> {
        self.needs(Role::Operator)?;
        let reason = Reason { reason: reason.unwrap_or_default(), by: None };
        Ok(json!(steer(&self.state, &self.caller, run, steering, reason).await?))
    }

    async fn follow(
        &mut self,
        id: &Value,
        run: Option<String>,
        thread: Option<ThreadName>,
        from: Option<Value>,
    ) -> Result<Value, Problem> {
        let number = id.as_u64().ok_or_else(|| {
            Problem::new(Code::Invalid, "id: what is followed needs a number by which its messages name it")
        })?;
        self.follows.retain(|_, follow| !follow.is_finished());
        if self.follows.contains_key(&number) {
            return Err(Problem::new(Code::Conflict, format!("id: {number} is followed already")));
        }
        if self.follows.len() >= FOLLOWS_MAX {
            let what = format!(
                "{FOLLOWS_MAX} things are followed already; unfollow one, or open another connection"
            );
            return Err(Problem::new(Code::Conflict, what));
        }
        let from = match from {
            None | Some(Value::Null) => None,
            Some(Value::String(from)) => Some(sse::parse(&from)?),
            Some(Value::Number(from)) => Some(sse::parse(&from.to_string())?),
            Some(_) => return Err(Problem::new(Code::Invalid, "from: a number, or the `at` of a message")),
        };
        let one_run = run.is_some();
        let of = match (run, thread) {
            (Some(_), Some(_)) => return Err(Problem::new(Code::Invalid, "run and thread: one of them")),
            (Some(run), None) => Some(Of::Run(run, from.and_then(|place| u64::try_from(place.pos).ok()))),
            (None, Some(ThreadName { workflow, thread_id })) => {
                Some(Of::Thread(ThreadKey { workflow, thread_id }, from))
            }
            (None, None) => None,
        };
        let out = Out { to: self.out.clone(), follow: number, one_run };
        let feed = self.state.feed();
        let (reset, told) = match of {
            Some(of) => {
                let listener = Listener::open(feed, of).await?;
                (listener.is_reset(), self.state.streams().spawn(tell(listener, out)))
            }
            None => {
                let listener = AllListener::open(feed, from).await?;
                (listener.is_reset(), self.state.streams().spawn(tell_all(listener, out)))
            }
        };
        self.follows.insert(number, told.abort_handle());
        Ok(json!({ "follow": number, "reset": reset }))
    }
}

/// Where what somebody follows is told.
struct Out {
    to: mpsc::Sender<Message>,
    follow: u64,
    one_run: bool,
}

impl Out {
    /// Tells; whether there is somebody.
    async fn piece(&self, piece: &Piece) -> bool {
        self.text(line(self.follow, piece, self.one_run)).await
    }

    /// Tells the last thing.
    async fn last(&self, event: &str, data: &Value) {
        self.text(json!({ "follow": self.follow, "event": event, "data": data }).to_string()).await;
    }

    async fn text(&self, text: String) -> bool {
        self.to.send(Message::Text(text.into())).await.is_ok()
    }
}

async fn tell(mut listener: Listener, out: Out) {
    loop {
        match listener.next().await {
            Ok(Some(piece)) => {
                if !out.piece(&piece).await {
                    return;
                }
            }
            Ok(None) => {
                return out.last(if listener.is_over() { "end" } else { "closing" }, &json!({})).await;
            }
            Err(problem) => return out.last("problem", &json!(problem)).await,
        }
    }
}

async fn tell_all(mut listener: AllListener, out: Out) {
    loop {
        match listener.next().await {
            Ok(Some(Heard::Live(piece))) => {
                if !out.piece(&piece).await {
                    return;
                }
            }
            Ok(Some(Heard::Events(page, last))) => {
                for piece in page.events_after(last) {
                    if !out.piece(piece).await {
                        return;
                    }
                }
            }
            Ok(None) => return out.last("closing", &json!({})).await,
            Err(problem) => return out.last("problem", &json!(problem)).await,
        }
    }
}

/// A piece as a message. Its JSON is there already, so it is not read again.
fn line(follow: u64, piece: &Piece, one_run: bool) -> String {
    let (at, kind, data): (Option<String>, &str, _) = match piece {
        Piece::Event { seq, kind, json, .. } if one_run => (Some(seq.to_string()), kind, json),
        Piece::Event { place: feed::Place { pos, index }, kind, json, .. } => {
            (Some(format!("{pos}.{index}")), kind, json)
        }
        Piece::Live { kind, json } => (None, kind, json),
        // A listener reads it from the store instead.
        Piece::Large => return json!({ "follow": follow, "event": "large", "data": {} }).to_string(),
    };
    let at = at.map(|at| format!("\"at\":\"{at}\",")).unwrap_or_default();
    format!("{{\"follow\":{follow},{at}\"event\":\"{kind}\",\"data\":{}}}", String::from_utf8_lossy(data))
}
