//! Server-Sent Events: what a [`Listener`] hears, as text, with the numbers by which a client goes on where it was.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::feed::{Piece, Place, Topic};
use super::follow::Listener;
use super::problem::{Code, Problem};

/// The last number that a client saw.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// While there is nothing to say, a client hears this often that the server is there.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How long a client waits before it connects again. Milliseconds.
const RETRY_MS: u32 = 1_000;
/// What is written at once, about. Bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// The more listen, the longer each waits between two writes, so that all together write so often a second at most.
const WRITES_PER_SECOND: usize = 10_000;
/// No listener waits longer than this between two writes.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// The answer to a request for a stream. `from` is what the query asks for, if the client did not come back.
///
/// # Errors
/// When the number is none of this stream's, there is no such run, or the store cannot be read.
pub async fn answer(
    feed: &super::feed::Feed,
    topic: Topic,
    headers: &HeaderMap,
    from: Option<String>,
) -> Result<Response, Problem> {
    let one_run = matches!(topic, Topic::Run(_));
    let last = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?").to_owned());
    // EventSource sends an empty one when it has none.
    let last = last.filter(|id| !id.is_empty());
    let from = match (&last, &from) {
        (Some(id), _) if one_run => Some(after(parse(id)?)),
        (Some(id), _) => Some(parse(id)?),
        (None, Some(from)) => Some(parse(from)?),
        (None, None) => None,
    };
    let listener = Listener::open(feed, topic, from).await?;
    // A client that comes back to a run that has ended must not come back again.
    if listener.is_over() && last.is_some() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut opening = format!("retry: {RETRY_MS}\n\n");
    if listener.is_reset() {
        opening.push_str("event: reset\ndata: {}\n\n");
    }
    let state = Stream { listener, opening: Some(opening), one_run, over: false };
    Ok(respond(Body::from_stream(futures_util::stream::unfold(state, Stream::step))))
}

fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    // A proxy that collects a response would keep it for ever.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

struct Stream {
    listener: Listener,
    opening: Option<String>,
    one_run: bool,
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
        self.pause().await;
        let mut text = String::new();
        let piece = match tokio::time::timeout(ALIVE_EVERY, self.listener.next()).await {
            Ok(piece) => piece,
            Err(_) => return Some((Ok(Bytes::from_static(b": alive\n\n")), self)),
        };
        match piece {
            Ok(Some(piece)) => {
                write(&mut text, &piece, self.one_run);
                while text.len() < CHUNK_BYTES
                    && let Some(piece) = self.listener.ready()
                {
                    write(&mut text, &piece, self.one_run);
                }
            }
            Ok(None) => {
                self.over = true;
                text.push_str(if self.listener.is_over() { END } else { CLOSING });
            }
            Err(problem) => {
                self.over = true;
                let json = serde_json::to_string(&problem).unwrap_or_default();
                let _ = write!(text, "event: problem\ndata: {json}\n\n");
            }
        }
        Some((Ok(text.into()), self))
    }

    /// Leaves others their turn: many listeners share what may be written.
    async fn pause(&self) {
        let listeners = self.listener.all_listeners().saturating_sub(1);
        let pause = Duration::from_secs(1) * u32::try_from(listeners).unwrap_or(u32::MAX)
            / u32::try_from(WRITES_PER_SECOND).unwrap_or(u32::MAX);
        let pause = pause.min(PAUSE_MAX);
        if pause >= Duration::from_millis(1) {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Nothing more comes: the run has ended.
const END: &str = "event: end\ndata: {}\n\n";
/// The server is closing; a client may come back to the next one.
const CLOSING: &str = "event: closing\ndata: {}\n\n";

fn write(text: &mut String, piece: &Piece, one_run: bool) {
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
        Piece::Large => return,
    };
    let _ = write!(text, "event: {kind}\ndata: {}\n\n", String::from_utf8_lossy(json));
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

/// Of one run: the event after the one that was seen.
fn after(last: Place) -> Place {
    Place { pos: last.pos.saturating_add(1), index: 0 }
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
