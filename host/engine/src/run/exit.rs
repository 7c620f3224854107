//! Where a run goes from a node: conditions, routes, the agent's wish.

use serde_json::Value;

use super::names::Context;
use crate::event::{EdgeCause, RouteDecided};
use crate::failure::{Class, Failure};
use crate::graph::{Edges, Exit, Node, Route, Target};
use crate::id::Id;
use crate::input::{Choice, ReplyNext};
use crate::path::Path;

/// A chosen way out.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) to: Target,
    pub(super) because: EdgeCause,
    pub(super) route: Option<RouteDecided>,
    /// Choices that no route asked for.
    pub(super) unused_choices: bool,
}

impl Way {
    pub(super) fn plain(to: Target, because: EdgeCause) -> Way {
        Way { to, because, route: None, unused_choices: false }
    }
}

/// The way of a node that succeeded, by its reply and its exits.
pub(super) fn choose(p: &Path, node: &Node, next: &ReplyNext, context: &Context<'_>) -> Result<Way, Failure> {
    if let ReplyNext::Goto(to) = next {
        let target =
            Id::new(to).ok().filter(|id| node.goto.contains(id)).ok_or_else(|| undeclared_goto(to, node))?;
        return Ok(Way::plain(Target::Node(target), EdgeCause::Goto));
    }
    let choices = match next {
        ReplyNext::Choose(choices) => Some(choices.as_slice()),
        ReplyNext::Edges | ReplyNext::Goto(_) | ReplyNext::Review(_) => None,
    };
    match &node.exit {
        Some(Exit::Route(route)) => {
            let unused_choices = choices.is_some() && route.options.is_some();
            Ok(Way { unused_choices, ..choose_route(p, route, choices, context)? })
        }
        Some(Exit::Next(edges)) => {
            let (to, because) = first(edges, EdgeCause::Next, context)?;
            Ok(Way { unused_choices: choices.is_some(), ..Way::plain(to, because) })
        }
        None => Ok(Way::plain(Target::End, EdgeCause::Next)),
    }
}

/// The first entry whose condition holds; `otherwise` is the cause given to the last entry.
pub(super) fn first(
    edges: &Edges,
    otherwise: EdgeCause,
    context: &Context<'_>,
) -> Result<(Target, EdgeCause), Failure> {
    for (index, arm) in edges.when.iter().enumerate() {
        if context.condition(&arm.when)? {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            return Ok((arm.to.clone(), EdgeCause::When(index)));
        }
    }
    Ok((edges.otherwise.clone(), otherwise))
}

fn choose_route(
    p: &Path,
    route: &Route,
    choices: Option<&[Choice]>,
    context: &Context<'_>,
) -> Result<Way, Failure> {
    let mut options = match &route.options {
        Some(expression) => parse_options(&context.expression(expression)?)?,
        None => choices.unwrap_or_default().to_vec(),
    };
    if let Some(bad) = options.iter().find(|choice| !(0.0..=1.0).contains(&choice.confidence)) {
        return Err(bad_options(format!(
            "option `{}` has confidence {}; a confidence lies between 0 and 1",
            bad.name, bad.confidence
        )));
    }
    let order = |name: &str| route.to.iter().position(|(option, _)| option == name).unwrap_or(usize::MAX);
    options.sort_by(|a, b| {
        b.confidence.total_cmp(&a.confidence).then_with(|| order(&a.name).cmp(&order(&b.name)))
    });
    let mut options = options.into_iter();
    let Some(winner) = options.next() else {
        let to = route.default.clone().ok_or_else(|| {
            let message = format!(
                "the route got no options and has no `default`; it knows: {}",
                names(route.to.iter().map(|(name, _)| name.as_str()))
            );
            Failure::permanent(Class::Route, "no-route", message)
        })?;
        let decided = RouteDecided {
            p: p.clone(),
            decision: None,
            confidence: None,
            reason: None,
            alternatives: Vec::new(),
            threshold: route.threshold,
            below: false,
        };
        return Ok(Way { to, because: EdgeCause::Default, route: Some(decided), unused_choices: false });
    };
    let Some((_, target)) = route.to.iter().find(|(name, _)| *name == winner.name) else {
        let message = format!(
            "route `{}` is not declared; there are: {}",
            winner.name,
            names(route.to.iter().map(|(name, _)| name.as_str()))
        );
        return Err(Failure::permanent(Class::Route, "unknown-route", message));
    };
    let below = winner.confidence < route.threshold;
    let (to, because) = match &route.below {
        Some(to) if below => (to.clone(), EdgeCause::Below),
        _ => (target.clone(), EdgeCause::Route),
    };
    let decided = RouteDecided {
        p: p.clone(),
        decision: Some(winner.name),
        confidence: Some(winner.confidence),
        reason: winner.reason,
        alternatives: options.collect(),
        threshold: route.threshold,
        below,
    };
    Ok(Way { to, because, route: Some(decided), unused_choices: false })
}

/// `{ option: confidence }` or `[{ name, confidence, reason? }]`.
fn parse_options(value: &Value) -> Result<Vec<Choice>, Failure> {
    let confidence = |name: &str, value: Option<&Value>| {
        value.and_then(Value::as_f64).ok_or_else(|| {
            let found = value.map_or("nothing", super::write::type_name);
            bad_options(format!(
                "option `{name}` has {found} as its confidence; it must be a number between 0 and 1"
            ))
        })
    };
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                Ok(Choice { name: name.clone(), confidence: confidence(name, Some(value))?, reason: None })
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                let name = item.get("name").and_then(Value::as_str);
                let name = name
                    .ok_or_else(|| bad_options(format!("an option without a `name`: {}", shorten(item))))?;
                Ok(Choice {
                    name: name.to_owned(),
                    confidence: confidence(name, item.get("confidence"))?,
                    reason: item.get("reason").and_then(Value::as_str).map(str::to_owned),
                })
            })
            .collect(),
        other => Err(bad_options(format!(
            "`options` gave {}; it must be an object {{ option: confidence }} or a list of {{ name, confidence }}",
            super::write::type_name(other)
        ))),
    }
}

fn bad_options(message: String) -> Failure {
    Failure::permanent(Class::Route, "bad-options", message)
}

fn undeclared_goto(to: &str, node: &Node) -> Failure {
    let message = if node.goto.is_empty() {
        format!("the agent wants to go to `{to}`, but the node has no `goto` list")
    } else {
        let declared = names(node.goto.iter().map(Id::as_str));
        format!("the agent wants to go to `{to}`, which its `goto` list does not name; there are: {declared}")
    };
    Failure::permanent(Class::Route, "undeclared-goto", message)
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
