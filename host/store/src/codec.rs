//! Events to and from journal text: large values leave as blobs by digest and come back. The engine sees whole values.

use std::io;
use std::sync::Arc;

use bandstand_engine::event::{Event, Payload};
use serde_json::Value;

/// A value whose JSON is longer is kept as a blob. Bytes.
pub const INLINE_BYTES_MAX: usize = 4096;

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

/// The journal text of a decision's events. Values above [`INLINE_BYTES_MAX`] are swapped for their digests, in
/// `events` too.
///
/// # Panics
/// Never: events hold nothing that JSON cannot say (their keys are text, their numbers were JSON).
pub fn encode(events: &mut [Event]) -> Encoded {
    let mut blobs: Vec<Blob> = Vec::new();
    for event in events.iter_mut() {
        for payload in event.payloads_mut() {
            let Payload::Value(value) = payload else { continue };
            if fits(value) {
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
    for event in &mut events {
        for payload in event.payloads_mut() {
            let Payload::Blob { digest, .. } = payload else { continue };
            let key =
                unhex(digest).ok_or_else(|| DecodeError::Blob(format!("`{digest}` is not a digest")))?;
            let bytes = load(&key)
                .map_err(|error| DecodeError::Blob(format!("value {digest} cannot be read: {error}")))?
                .ok_or_else(|| DecodeError::Blob(format!("value {digest} is missing")))?;
            if *blake3::hash(&bytes).as_bytes() != key {
                return Err(DecodeError::Blob(format!("value {digest} is damaged")));
            }
            let value: Value = serde_json::from_slice(&bytes)
                .map_err(|error| DecodeError::Blob(format!("value {digest} is not JSON: {error}")))?;
            *payload = Payload::Value(Arc::new(value));
        }
    }
    Ok(events)
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

fn unhex(text: &str) -> Option<[u8; 32]> {
    let hash = blake3::Hash::from_hex(text).ok()?;
    Some(*hash.as_bytes())
}
