//! Choices by confidence, by section 4 of the language's reference.

use bandstand_engine::graph::{Route, Target};
use bandstand_engine::input::Choice;
use serde_json::{Value, json};

/// The options that an expression gives; none: their shape is wrong.
pub(super) fn options(value: &Value) -> Option<Vec<Choice>> {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, confidence)| {
                Some(Choice { name: name.clone(), confidence: confidence.as_f64()?, reason: None })
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                Some(Choice {
                    name: item.get("name")?.as_str()?.to_owned(),
                    confidence: item.get("confidence")?.as_f64()?,
                    reason: item.get("reason").and_then(Value::as_str).map(ToOwned::to_owned),
                })
            })
            .collect(),
        _ => None,
    }
}

/// The edge, why, and `nodes.X.routing`; or the code of the failure.
pub(super) fn decide(
    route: &Route,
    options: Vec<Choice>,
) -> Result<(Target, &'static str, Value), &'static str> {
    if options.iter().any(|option| !(option.confidence >= 0.0 && option.confidence <= 1.0)) {
        return Err("bad-options");
    }
    if options.is_empty() {
        let to = route.default.clone().ok_or("no-route")?;
        let routing = json!({
            "decision": null, "confidence": null, "threshold": route.threshold, "below": false, "alternatives": [],
        });
        return Ok((to, "default", routing));
    }
    let place = |name: &str| route.to.iter().position(|(option, _)| option == name).unwrap_or(route.to.len());
    let mut best_first = options;
    best_first.sort_by(|a, b| {
        let by_confidence = b.confidence.partial_cmp(&a.confidence).unwrap_or(std::cmp::Ordering::Equal);
        by_confidence.then(place(&a.name).cmp(&place(&b.name)))
    });
    let winner = best_first.remove(0);
    let (_, target) = route.to.iter().find(|(option, _)| *option == winner.name).ok_or("unknown-route")?;
    let below = winner.confidence < route.threshold;
    let routing = json!({
        "decision": winner.name,
        "confidence": winner.confidence,
        "threshold": route.threshold,
        "below": below,
        "alternatives": best_first.iter().map(|option| json!({
            "name": option.name, "confidence": option.confidence, "reason": option.reason,
        })).collect::<Vec<_>>(),
    });
    match (&route.below, below) {
        (Some(to), true) => Ok((to.clone(), "below", routing)),
        _ => Ok((target.clone(), "route", routing)),
    }
}
