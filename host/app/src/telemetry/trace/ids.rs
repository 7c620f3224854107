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

/// As `traceparent` of the W3C's Trace Context writes a span, sampled or not: that is not kept.
pub(super) fn traceparent(trace: TraceId, span: SpanId) -> String {
    format!("00-{}-{}-00", hex(&trace.0), hex(&span.0))
}

/// The span that a `traceparent` names. None: it is none.
pub(super) fn read_traceparent(text: &str) -> Option<(TraceId, SpanId)> {
    let (known, more) = text.split_at_checked(55)?;
    let parts: Vec<&str> = known.split('-').collect();
    let [version, trace, span, flags] = parts.as_slice() else { return None };
    let (version, _) = (bytes::<1>(version)?, bytes::<1>(flags)?);
    // Of later versions the beginning is the same; 255 is none.
    if version == [255] || !(more.is_empty() || version != [0] && more.starts_with('-')) {
        return None;
    }
    let (trace, span) = (bytes::<16>(trace)?, bytes::<8>(span)?);
    (trace != [0; 16] && span != [0; 8]).then_some((TraceId(trace), SpanId(span)))
}

/// Small hexadecimal digits, two for each byte.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if text.len() != 2 * N || !text.as_bytes().iter().all(is_hex) {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_traceparent_is_passed_over() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let (trace, span) = read_traceparent(good).unwrap();
        assert_eq!(traceparent(trace, span), good.replace("-01", "-00"));
        assert!(read_traceparent(&good.replacen("00-", "cc-", 1)).is_some(), "a later version");
        assert!(read_traceparent(&format!("{}-more", good.replacen("00-", "cc-", 1))).is_some());
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033310-1",
            "00-0af7651916cd43dd8448eb211c8031\u{e4}-b7ad6b7169203331-01",
        ] {
            assert!(read_traceparent(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_run_and_its_trace_have_one_number() {
        let id = "019a0b1c-2d3e-7f40-8123-456789abcdef";
        assert_eq!(hex(&trace(id).0), "019a0b1c2d3e7f408123456789abcdef");
        assert_eq!(trace("imported"), trace("imported"));
        assert_ne!(trace("imported"), trace("another"));
        assert_ne!(span(id, "run/0"), span(id, "run/1"));
    }
}
