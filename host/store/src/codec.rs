//! Events to and from journal text: large values leave as blobs by digest, a value that stands in the row already is
//! referred to, and all of them come back. The engine sees whole values.

use std::io;
use std::sync::Arc;

use bandstand_engine::event::{Event, Payload};
use serde_json::Value;

/// A value whose JSON is longer is kept as a blob. Bytes.
pub const INLINE_BYTES_MAX: usize = 4096;

/// A value whose JSON is shorter than about this is written again rather than referred to: the reference would be as
/// long. Bytes.
const SAME_BYTES_MIN: usize = 40;

/// A large value, kept apart from the row that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// BLAKE3 of `bytes`.
    pub digest: [u8; 32],
    /// The value's JSON.
    pub bytes: Vec<u8>,
}

/// A decision's events as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// A JSON array.
    pub events: String,
    /// How many events it holds.
    pub count: u64,
    /// The values that left it.
    pub blobs: Vec<Blob>,
}

/// The journal text of a decision's events. Values above [`INLINE_BYTES_MAX`] are swapped for their digests, values
/// that stand earlier in the row for references, in `events` too.
///
/// # Panics
/// Never: events hold nothing that JSON cannot say (their keys are text, their numbers were JSON).
pub fn encode(events: &mut [Event]) -> Encoded {
    let mut blobs: Vec<Blob> = Vec::new();
    let mut earlier: Vec<(usize, usize, Arc<Value>)> = Vec::new();
    for (event, of) in events.iter_mut().enumerate() {
        for (index, payload) in of.payloads_mut().into_iter().enumerate() {
            let Payload::Value(value) = payload else { continue };
            let found =
                is_worth_a_reference(value).then(|| earlier.iter().find_map(|known| same(known, value)));
            if let Some(same) = found.flatten() {
                *payload = same;
                continue;
            }
            if fits(value) {
                earlier.push((event, index, value.clone()));
                continue;
            }
            let bytes = serde_json::to_vec(value).expect("a JSON value is JSON");
            let digest = *blake3::hash(&bytes).as_bytes();
            *payload = Payload::Blob { digest: hex(&digest), bytes: bytes.len() as u64 };
            if blobs.iter().all(|blob| blob.digest != digest) {
                blobs.push(Blob { digest, bytes });
            }
        }
    }
    let text = serde_json::to_string(events).expect("events are JSON");
    Encoded { events: text, count: events.len() as u64, blobs }
}

/// The reference to an earlier value, if that is the same as `value`, or one of its members is. For values that are worth
/// one.
fn same((event, payload, known): &(usize, usize, Arc<Value>), value: &Value) -> Option<Payload> {
    let same = |member| Payload::Same { event: *event, payload: *payload, member };
    if equal(known, value) {
        return Some(same(None));
    }
    let (name, _) = known.as_object()?.iter().find(|(_, member)| equal(member, value))?;
    Some(same(Some(name.clone())))
}

/// Equal to the last byte: `==` alone takes `-0.0` for `0.0`.
fn equal(known: &Value, value: &Value) -> bool {
    let text = Value::to_string;
    known == value && text(known) == text(value)
}

/// Whether the value's JSON is surely not short, told without writing it.
fn is_worth_a_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() >= SAME_BYTES_MIN,
        Value::Array(items) => items.len() >= SAME_BYTES_MIN / 2 || items.iter().any(is_worth_a_reference),
        Value::Object(members) => {
            let names: usize = members.keys().map(|name| name.len() + 5).sum();
            names >= SAME_BYTES_MIN || members.values().any(is_worth_a_reference)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Why a row's text did not become events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// Not a JSON array of objects.
    NotEvents(String),
    /// JSON, but no event this host knows; its name, and what the parser said.
    Unknown(String, String),
    /// A blob that it names.
    Blob(String),
}

/// The events of a row, with every blob put back by `load` (digest to bytes).
pub(crate) fn decode<E: std::fmt::Display>(
    text: &str,
    mut load: impl FnMut(&[u8; 32]) -> Result<Option<Vec<u8>>, E>,
) -> Result<Vec<Event>, DecodeError> {
    let mut events = parse(text)?;
    // The values of the events so far, for those that refer to them.
    let mut earlier: Vec<Vec<Option<Arc<Value>>>> = Vec::with_capacity(events.len());
    for of in &mut events {
        earlier.push(Vec::new());
        for payload in of.payloads_mut() {
            match payload {
                Payload::Blob { digest, .. } => {
                    let value = blob(digest, &mut load)?;
                    *payload = Payload::Value(Arc::new(value));
                }
                Payload::Same { event, payload: index, member } => {
                    let known = earlier.get(*event).and_then(|of| of.get(*index)?.as_ref());
                    let value = match (known, member) {
                        (Some(known), None) => Some(known.clone()),
                        (Some(known), Some(name)) => known.get(&*name).cloned().map(Arc::new),
                        (None, _) => None,
                    };
                    let value = value.ok_or_else(|| {
                        DecodeError::NotEvents(format!("event {event} of the row has no such value"))
                    })?;
                    *payload = Payload::Value(value);
                }
                Payload::Value(_) | Payload::Output(_) | Payload::Block(_) => {}
            }
            if let Some(of) = earlier.last_mut() {
                of.push(payload.value().cloned());
            }
        }
    }
    Ok(events)
}

fn blob<E: std::fmt::Display>(
    digest: &str,
    mut load: impl FnMut(&[u8; 32]) -> Result<Option<Vec<u8>>, E>,
) -> Result<Value, DecodeError> {
    let key = unhex(digest).ok_or_else(|| DecodeError::Blob(format!("`{digest}` is not a digest")))?;
    let bytes = load(&key)
        .map_err(|error| DecodeError::Blob(format!("value {digest} cannot be read: {error}")))?
        .ok_or_else(|| DecodeError::Blob(format!("value {digest} is missing")))?;
    if *blake3::hash(&bytes).as_bytes() != key {
        return Err(DecodeError::Blob(format!("value {digest} is damaged")));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| DecodeError::Blob(format!("value {digest} is not JSON: {error}")))
}

/// The events of a row as they stand there, blobs by name.
pub(crate) fn parse(text: &str) -> Result<Vec<Event>, DecodeError> {
    if let Ok(events) = serde_json::from_str(text) {
        return Ok(events);
    }
    // Slow and rare: find out which event it was.
    let values: Vec<Value> =
        serde_json::from_str(text).map_err(|error| DecodeError::NotEvents(error.to_string()))?;
    for value in values {
        let name = value.get("type").and_then(Value::as_str).unwrap_or("without a type").to_owned();
        if let Err(error) = serde_json::from_value::<Event>(value) {
            return Err(DecodeError::Unknown(name, error.to_string()));
        }
    }
    Err(DecodeError::NotEvents("the row does not read as a whole".to_owned()))
}

/// How many events a row's text holds.
pub(crate) fn count(text: &str) -> Option<u64> {
    serde_json::from_str::<Vec<serde::de::IgnoredAny>>(text).ok().map(|events| events.len() as u64)
}

/// Whether a value's JSON has at most [`INLINE_BYTES_MAX`]; stops writing when it has more.
fn fits(value: &Value) -> bool {
    struct Room(usize);
    impl io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(INLINE_BYTES_MAX), value).is_ok()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let hash = blake3::Hash::from_hex(text).ok()?;
    Some(*hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use bandstand_engine::Path;
    use bandstand_engine::event::{NodeSucceeded, Write, WriteOp};
    use bandstand_engine::{graph::Reducer, id::Id};
    use serde_json::json;

    use super::*;

    fn step(output: Value, written: Value) -> Event {
        let op = WriteOp::Reduce(Reducer::Replace);
        let write = |value| Write { channel: Id::new("said").unwrap(), op, value: Payload::new(value) };
        Event::NodeSucceeded(NodeSucceeded {
            p: "turn@1".parse::<Path>().unwrap(),
            output: Payload::new(output),
            confidence: None,
            update: vec![write(written)],
            expired: false,
            took_ms: 1,
            kept: None,
            cached_from: None,
        })
    }

    fn round_trip(events: Vec<Event>) -> String {
        let mut swapped = events.clone();
        let encoded = encode(&mut swapped);
        let load = |digest: &[u8; 32]| -> Result<_, String> {
            Ok(encoded.blobs.iter().find(|blob| blob.digest == *digest).map(|blob| blob.bytes.clone()))
        };
        assert_eq!(decode(&encoded.events, load).unwrap(), events);
        encoded.events
    }

    #[test]
    fn what_stands_in_the_row_is_not_written_again() {
        let long = "what the agent said, which is longer than a reference to it";
        let text = round_trip(vec![
            step(json!({ "text": long, "n": 1 }), json!(long)),
            step(json!({ "text": long, "n": 1 }), json!("short")),
            step(json!({ "text": long, "n": 2 }), json!({ "text": long, "n": 1 })),
        ]);
        assert_eq!(text.matches(long).count(), 2, "{text}");
        assert_eq!(text.matches(r#"{"same":"#).count(), 3, "{text}");
    }

    #[test]
    fn a_value_that_became_a_blob_is_kept_once_and_comes_back() {
        let huge = json!({ "text": "x".repeat(INLINE_BYTES_MAX + 1) });
        let text = round_trip(vec![step(huge.clone(), huge.clone()), step(huge["text"].clone(), huge)]);
        assert_eq!(text.matches(r#"{"blob":"#).count(), 4, "{text}");
    }

    #[test]
    fn a_reference_to_nothing_is_damage() {
        let mut events = vec![step(json!({ "text": "x".repeat(60) }), json!("x".repeat(60)))];
        let text = encode(&mut events).events.replace(r#""event":0"#, r#""event":7"#);
        let decoded = decode(&text, |_| -> Result<Option<Vec<u8>>, String> { Ok(None) });
        assert!(matches!(decoded, Err(DecodeError::NotEvents(_))), "{decoded:?}");
    }
}
