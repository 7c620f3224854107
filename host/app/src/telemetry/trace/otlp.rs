//! OTLP's JSON: what a receiver of traces is sent (`ExportTraceServiceRequest`). Ids are hexadecimal, 64-bit numbers text.

use serde_json::{Value as Json, json};

use super::ids::hex;
use super::{Span, Value};

/// The body of a request.
pub(super) fn request(service: &str, spans: &[Span]) -> Json {
    let resource = [
        ("service.name", Value::from(service)),
        ("service.version", Value::from(env!("CARGO_PKG_VERSION"))),
        ("process.pid", Value::from(u64::from(std::process::id()))),
    ];
    json!({
        "resourceSpans": [{
            "resource": { "attributes": attributes(&resource) },
            "scopeSpans": [{
                "scope": { "name": "bandstand", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans.iter().map(span).collect::<Vec<Json>>(),
            }],
        }],
    })
}

fn span(span: &Span) -> Json {
    const INTERNAL: u8 = 1;
    const CLIENT: u8 = 3;
    let links =
        span.links.iter().map(|(trace, id)| json!({ "traceId": hex(&trace.0), "spanId": hex(&id.0) }));
    let mut told = json!({
        "traceId": hex(&span.trace.0),
        "spanId": hex(&span.id.0),
        "name": span.name,
        "kind": if span.is_client { CLIENT } else { INTERNAL },
        "startTimeUnixNano": nanos(span.start_us),
        "endTimeUnixNano": nanos(span.end_us),
        "attributes": attributes(&span.attributes),
        "links": links.collect::<Vec<Json>>(),
        "status": {},
    });
    if let Some(parent) = &span.parent {
        told["parentSpanId"] = hex(&parent.0).into();
    }
    if let Some(class) = &span.failed {
        const ERROR: u8 = 2;
        told["status"] = json!({ "code": ERROR, "message": class });
        if let Some(attributes) = told["attributes"].as_array_mut() {
            attributes.push(json!({ "key": "error.type", "value": { "stringValue": class } }));
        }
    }
    told
}

fn nanos(us: i64) -> String {
    us.saturating_mul(1_000).to_string()
}

fn attributes(attributes: &[(&'static str, Value)]) -> Vec<Json> {
    let value = |value: &Value| match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::Fraction(number) => json!({ "doubleValue": number }),
        Value::Truth(truth) => json!({ "boolValue": truth }),
    };
    attributes.iter().map(|(key, of)| json!({ "key": key, "value": value(of) })).collect()
}
