//! Server-Sent Events: what listeners hear, as text, with the numbers by which a client goes on where it was.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::all::{AllListener, Heard};
use super::feed::{Feed, Piece, Place, Topic};
use super::follow::{Listener, Of};
use super::listen::GoesOn;
use super::pace::Pace;
use super::problem::{Code, Problem};

/// The last number that a client saw.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// While there is nothing to say, a client hears this often that the server is there.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How long a client waits before it connects again. Milliseconds.
const RETRY_MS: u32 = 1_000;
/// What is written at once, about. Bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// The more listen, the longer each that was told all waits for more, so that all together are woken so often a second at
/// most.
const WAKES_PER_SECOND: u32 = 4_000;
/// No listener waits longer than this for more.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// The answer to a request for a stream. `from` is what the query asks for, if the client did not come back.
///
/// # Errors
/// When the number is none of this stream's, there is no such run, or the store cannot be read.
pub async fn answer(
    feed: &Feed,
    topic: Topic,
    headers: &HeaderMap,
    from: Option<String>,
) -> Result<Response, Problem> {
    let last = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?").to_owned());
    // EventSource sends an empty one when it has none.
    let last = last.filter(|id| !id.is_empty());
    let came_back = last.is_some();
    let place = last.or(from).map(|id| parse(&id)).transpose()?;
    let told = match topic {
        Topic::All => Told::All(AllListener::open(feed, place).await?),
        Topic::Run(run_id) => {
            // Of a run: the event after the one that was seen.
            let from = place.and_then(|place| u64::try_from(place.pos).ok());
            let from = from.map(|seq| seq.saturating_add(u64::from(came_back)));
            Told::Run(Listener::open(feed, Of::Run(run_id, from)).await?)
        }
        Topic::Thread(key) => Told::Thread(Listener::open(feed, Of::Thread(key, place)).await?),
    };
    // A client that comes back to a run that has ended must not come back again.
    if told.is_over() && came_back {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut opening = format!("retry: {RETRY_MS}\n\n");
    if told.is_reset() {
        opening.push_str("event: reset\ndata: {}\n\n");
    }
    let stream = Stream { feed: feed.clone(), pace: feed.pace(), told, opening: Some(opening), over: false };
    Ok(respond(Body::from_stream(futures_util::stream::unfold(stream, Stream::step))))
}

fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    // A proxy that collects a response would keep it for ever.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    // Requests after it would be answered by the threads for streams.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response.extensions_mut().insert(GoesOn);
    response
}

/// What is told.
enum Told {
    All(AllListener),
    Run(Listener),
    Thread(Listener),
}

impl Told {
    fn is_reset(&self) -> bool {
        match self {
            Told::All(listener) => listener.is_reset(),
            Told::Run(listener) | Told::Thread(listener) => listener.is_reset(),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Told::All(_) => false,
            Told::Run(listener) | Told::Thread(listener) => listener.is_over(),
        }
    }

    /// What comes next, as text, when there is something; `None`: nothing more comes.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let one_run = matches!(self, Told::Run(_));
        match self {
            Told::All(listener) => Ok(listener.next().await?.map(text_of)),
            Told::Run(listener) | Told::Thread(listener) => {
                let Some(piece) = listener.next().await? else { return Ok(None) };
                let mut text = String::new();
                write(&mut text, &piece, one_run);
                while text.len() < CHUNK_BYTES
                    && let Some(piece) = listener.ready()
                {
                    write(&mut text, &piece, one_run);
                }
                Ok(Some(text.into()))
            }
        }
    }

    /// What comes next if it is there already.
    fn ready(&mut self) -> Option<Bytes> {
        match self {
            Told::All(listener) => listener.ready().map(text_of),
            // All that was there was taken.
            Told::Run(_) | Told::Thread(_) => None,
        }
    }
}

fn text_of(heard: Heard) -> Bytes {
    match heard {
        Heard::Events(page, last) => page.text_after(last),
        Heard::Live(piece) => {
            let mut text = String::new();
            write(&mut text, &piece, false);
            text.into()
        }
    }
}

struct Stream {
    feed: Feed,
    pace: Pace,
    told: Told,
    opening: Option<String>,
    over: bool,
}

impl Stream {
    async fn step(mut self) -> Option<(Result<Bytes, Infallible>, Stream)> {
        if self.over {
            return None;
        }
        // What opens a stream is sent at once.
        if let Some(opening) = self.opening.take() {
            return Some((Ok(opening.into()), self));
        }
        if let Some(text) = self.told.ready() {
            self.wait_to_write(&text).await;
            return Some((Ok(text), self));
        }
        self.pause().await;
        let text = match tokio::time::timeout(ALIVE_EVERY, self.told.next()).await {
            Err(_) => Bytes::from_static(b": alive\n\n"),
            Ok(Ok(Some(text))) => text,
            Ok(Ok(None)) => {
                self.over = true;
                if self.told.is_over() { END } else { CLOSING }.into()
            }
            Ok(Err(problem)) => {
                self.over = true;
                let json = serde_json::to_string(&problem).unwrap_or_default();
                format!("event: problem\ndata: {json}\n\n").into()
            }
        };
        self.wait_to_write(&text).await;
        Some((Ok(text), self))
    }

    async fn wait_to_write(&mut self, text: &Bytes) {
        let wait = self.pace.wait_for(text.len(), Instant::now());
        if wait >= Duration::from_millis(1) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Leaves others their turn, and lets more come together.
    async fn pause(&self) {
        let others = u32::try_from(self.feed.listeners().saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = (Duration::from_secs(1) / WAKES_PER_SECOND * others).min(PAUSE_MAX);
        if pause >= Duration::from_millis(1) {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Nothing more comes: the run has ended.
const END: &str = "event: end\ndata: {}\n\n";
/// The server is closing; a client may come back to the next one.
const CLOSING: &str = "event: closing\ndata: {}\n\n";

/// Writes a piece; where its JSON stands.
pub(super) fn write(text: &mut String, piece: &Piece, one_run: bool) -> Range<usize> {
    // JSON in one line: it has no line break that is not escaped. Writing into a text cannot fail.
    let (kind, json) = match piece {
        Piece::Event { seq, place, kind, json, .. } => {
            let _ = if one_run {
                writeln!(text, "id: {seq}")
            } else {
                writeln!(text, "id: {}.{}", place.pos, place.index)
            };
            (*kind, json)
        }
        Piece::Live { kind, json } => (*kind, json),
        Piece::Large => return text.len()..text.len(),
    };
    let _ = write!(text, "event: {kind}\ndata: ");
    let begins = text.len();
    text.push_str(&String::from_utf8_lossy(json));
    let json = begins..text.len();
    text.push_str("\n\n");
    json
}

/// `POS` or `POS.INDEX`.
pub(super) fn parse(id: &str) -> Result<Place, Problem> {
    let parsed = match id.split_once('.') {
        Some((pos, index)) => pos.parse().ok().zip(index.parse().ok()),
        None => id.parse().ok().zip(Some(u32::MAX)),
    };
    let place = parsed.map(|(pos, index)| Place { pos, index }).filter(|place| place.pos >= 0);
    place.ok_or_else(|| {
        let id: String = id.chars().take(40).collect();
        Problem::new(Code::BadRequest, format!("`{id}` is no number of an event; begin without one"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_events_are_read_and_others_refused() {
        assert_eq!(parse("7").unwrap(), Place { pos: 7, index: u32::MAX });
        assert_eq!(parse("7.2").unwrap(), Place { pos: 7, index: 2 });
        for wrong in ["", "-1", "x", "1.", "1.x", "99999999999999999999", "1 "] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
