//! Ids of traces and spans: derived, so that they are the same in every process.

use std::fmt::Write as _;

/// Of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TraceId(pub(super) [u8; 16]);

/// Of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SpanId(pub(super) [u8; 8]);

/// The trace of a run: the run's id without its dashes, if that is a UUID, so that people find one by the other.
pub(super) fn trace(run_id: &str) -> TraceId {
    match uuid::Uuid::try_parse(run_id) {
        Ok(id) if !id.is_nil() => TraceId(id.into_bytes()),
        _ => TraceId(first(run_id, "trace")),
    }
}

/// The span of a place in a run.
pub(super) fn span(run_id: &str, place: &str) -> SpanId {
    SpanId(first(run_id, place))
}

fn first<const N: usize>(run_id: &str, place: &str) -> [u8; N] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(run_id.as_bytes()).update(b"\0").update(place.as_bytes());
    let mut bytes = [0; N];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..N]);
    // All zeros means that there is none.
    bytes[N - 1] |= u8::from(bytes == [0; N]);
    bytes
}

/// As OTLP's JSON writes ids.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_and_its_trace_have_one_number() {
        let id = "019a0b1c-2d3e-7f40-8123-456789abcdef";
        assert_eq!(hex(&trace(id).0), "019a0b1c2d3e7f408123456789abcdef");
        assert_eq!(trace("imported"), trace("imported"));
        assert_ne!(trace("imported"), trace("another"));
        assert_ne!(span(id, "run/0"), span(id, "run/1"));
    }
}
