//! Shows a world to people: the workflow as a file of the language, the script as JSON.

use std::fmt::Write as _;

use bandstand_engine::Graph;
use bandstand_engine::expression::{Part, Template};
use bandstand_engine::graph::{
    Body, Edges, Exit, Join, Keep, Kind, MaxErrors, Node, OnFailure, OnTimeout, Retry, ScopeGraph, Target,
    Update,
};
use serde_json::{Value, json};

use crate::generate::World;

/// A YAML value with the order of its keys.
enum Yaml {
    Flow(Value),
    Map(Vec<(String, Yaml)>),
}

/// The workflow as YAML.
pub fn workflow(graph: &Graph) -> String {
    let mut file = vec![
        ("format".to_owned(), Yaml::Flow(json!(1))),
        ("name".to_owned(), Yaml::Flow(json!(graph.name))),
        ("version".to_owned(), Yaml::Flow(json!(graph.version))),
    ];
    if let Some(input) = &graph.input {
        file.push(("input".to_owned(), Yaml::Flow((**input.source()).clone())));
    }
    if let Some(output) = &graph.output {
        file.push(("output".to_owned(), Yaml::Flow((**output.source()).clone())));
    }
    let state = graph.state.iter().map(|(id, channel)| {
        let mut shown = json!({ "reduce": channel.reduce });
        if let Some(schema) = &channel.schema {
            shown["schema"] = (**schema.source()).clone();
        }
        if let Some(initial) = &channel.initial {
            shown["initial"] = template(initial);
        }
        if channel.keep == Keep::Branch {
            shown["keep"] = json!("branch");
        }
        (id.to_string(), Yaml::Flow(shown))
    });
    file.push(("state".to_owned(), Yaml::Map(state.collect())));
    let constants = graph.constants.iter().map(|(id, value)| (id.to_string(), Yaml::Flow((**value).clone())));
    file.push(("constants".to_owned(), Yaml::Map(constants.collect())));
    file.push(("limits".to_owned(), Yaml::Flow(json!({ "max-steps": graph.limits.max_steps }))));
    if let Some(timeout_ms) = graph.timeout_ms {
        file.push(("timeout".to_owned(), span(timeout_ms)));
    }
    let plugins =
        graph.plugins.keys().map(|id| (id.to_string(), Yaml::Flow(json!({ "path": format!("{id}.wasm") }))));
    file.push(("plugins".to_owned(), Yaml::Map(plugins.collect())));
    if !graph.workflows.is_empty() {
        let workflows = graph.workflows.iter().map(|(id, child)| {
            (id.to_string(), Yaml::Flow(json!({ "path": child.path, "version": child.graph.version })))
        });
        file.push(("workflows".to_owned(), Yaml::Map(workflows.collect())));
    }
    file.extend(scope(&graph.root));
    if let Some(result) = &graph.result {
        file.push(("result".to_owned(), Yaml::Flow(template(result))));
    }
    let mut text = String::new();
    write_map(&mut text, &file, 0);
    text
}

/// Everything of a world, for a person who looks into a problem.
pub fn world(world: &World) -> String {
    let script = serde_json::to_string_pretty(&world.script).unwrap_or_default();
    let children: Vec<String> =
        world.children.iter().map(|(id, child)| format!("\n# child {id}\n{}", self::world(child))).collect();
    format!(
        "# workflow\n{}\n# input\n{}\n\n# script (by the place in the graph; the attempt's id picks one)\n{script}\n\n# verbs and signals (after so many ms)\n{:?}\n{:?}\n{}",
        workflow(&world.graph),
        world.input,
        world.verbs,
        world.signals,
        children.concat()
    )
}

fn write_map(text: &mut String, members: &[(String, Yaml)], depth: usize) {
    for (key, value) in members {
        let _ = write!(text, "{:indent$}{key}:", "", indent = depth * 2);
        match value {
            Yaml::Flow(value) => {
                let _ = writeln!(text, " {value}");
            }
            Yaml::Map(members) if members.is_empty() => text.push_str(" {}\n"),
            Yaml::Map(members) => {
                text.push('\n');
                write_map(text, members, depth + 1);
            }
        }
    }
}

fn span(ms: u64) -> Yaml {
    Yaml::Flow(json!(format!("{}ms", ms.max(1))))
}

fn scope(graph: &ScopeGraph) -> Vec<(String, Yaml)> {
    // The order of the file: numbered as they were made.
    let mut nodes: Vec<_> = graph.nodes.iter().collect();
    nodes.sort_by_key(|(id, _)| (id.as_str().len(), id.to_string()));
    let nodes = nodes.into_iter().map(|(id, one)| (id.to_string(), Yaml::Map(node(one, false)))).collect();
    vec![("start".to_owned(), Yaml::Flow(json!(graph.start))), ("nodes".to_owned(), Yaml::Map(nodes))]
}

fn body(body: &Body) -> Vec<(String, Yaml)> {
    match body {
        Body::Graph(graph) => scope(graph),
        Body::Node(one) => node(one, true),
    }
}

fn node(node: &Node, alone: bool) -> Vec<(String, Yaml)> {
    let mut lines: Vec<(String, Yaml)> = Vec::new();
    kind(&node.kind, &mut lines);
    let mut add = |key: &str, value: Value| lines.push((key.to_owned(), Yaml::Flow(value)));
    if let Some(name) = &node.checkpoint {
        add("checkpoint", json!(name));
    }
    if let Some(stage) = node.stage {
        add("stage", json!(stage.name()));
    }
    match &node.update {
        None => {}
        Some(Update::Whole(whole)) => add("update", template(whole)),
        Some(Update::Channels(channels)) => {
            add("update", channels.iter().map(|(id, value)| (id.to_string(), template(value))).collect());
        }
    }
    if !node.set.is_empty() {
        add("set", node.set.iter().map(|(id, value)| (id.to_string(), template(value))).collect());
    }
    if !node.goto.is_empty() {
        add("goto", json!(node.goto));
    }
    if let Some(approved) = &node.approved {
        add("approved", edges(approved));
    }
    if let Some(rejected) = &node.rejected {
        add("rejected", edges(rejected));
    }
    match &node.exit {
        Some(Exit::Next(next)) if !alone => add("next", edges(next)),
        Some(Exit::Route(route)) => {
            let to: serde_json::Map<String, Value> =
                route.to.iter().map(|(name, to)| (name.clone(), target(to))).collect();
            let mut shown = json!({ "threshold": route.threshold, "to": to });
            if let Some(options) = &route.options {
                shown["options"] = json!(options.source());
            }
            if let Some(below) = &route.below {
                shown["below"] = target(below);
            }
            if let Some(default) = &route.default {
                shown["default"] = target(default);
            }
            add("route", shown);
        }
        _ => {}
    }
    match &node.on_failure {
        None => {}
        Some(OnFailure::To(to)) => add("on-failure", edges(to)),
        Some(OnFailure::Value(value)) => add("on-failure", json!({ "value": template(value) })),
    }
    lines
}

fn kind(kind: &Kind, lines: &mut Vec<(String, Yaml)>) {
    let mut add = |key: &str, value: Yaml| lines.push((key.to_owned(), value));
    match kind {
        Kind::Agent(agent) => {
            add("agent", Yaml::Flow(json!(agent.plugin)));
            add("input", Yaml::Flow(template(&agent.input)));
            add("retry", Yaml::Flow(retry(&agent.retry)));
            add("timeout", span(agent.timeout_ms));
            if let Some(deadline_ms) = agent.deadline_ms {
                add("deadline", span(deadline_ms));
            }
        }
        Kind::Workflow(child) => {
            add("workflow", Yaml::Flow(json!(child.workflow)));
            add("input", Yaml::Flow(template(&child.input)));
            add("retry", Yaml::Flow(retry(&child.retry)));
            if let Some(timeout_ms) = child.timeout_ms {
                add("timeout", span(timeout_ms));
            }
        }
        Kind::Review(review) => {
            let mut shown = vec![
                ("title".to_owned(), Yaml::Flow(template(&review.title))),
                ("propose".to_owned(), Yaml::Flow(template(&review.propose))),
                ("quorum".to_owned(), Yaml::Flow(json!(review.quorum))),
                ("timeout".to_owned(), span(review.timeout_ms)),
                (
                    "on-timeout".to_owned(),
                    Yaml::Flow(match &review.on_timeout {
                        OnTimeout::Fail => json!("fail"),
                        OnTimeout::Approve => json!("approve"),
                        OnTimeout::Reject => json!("reject"),
                        OnTimeout::To(to) => json!({ "to": target(to) }),
                    }),
                ),
            ];
            if !review.self_approval {
                shown.push(("self-approval".to_owned(), Yaml::Flow(json!(false))));
            }
            if let Some(form) = &review.form {
                shown.push(("form".to_owned(), Yaml::Flow((**form.source()).clone())));
            }
            if !review.reviewers.is_empty() {
                shown.push((
                    "reviewers".to_owned(),
                    Yaml::Flow(review.reviewers.iter().map(template).collect()),
                ));
            }
            add("review", Yaml::Map(shown));
        }
        Kind::Wait { for_ms } => add("wait", Yaml::Flow(json!({ "for": format!("{for_ms}ms") }))),
        Kind::Signal(wait) => {
            let mut shown = json!({ "signal": wait.signal });
            if let Some(schema) = &wait.schema {
                shown["schema"] = (**schema.source()).clone();
            }
            if let Some(timeout_ms) = wait.timeout_ms {
                shown["timeout"] = json!(format!("{timeout_ms}ms"));
            }
            if let Some(to) = &wait.on_timeout {
                shown["on-timeout"] = json!({ "to": target(to) });
            }
            add("wait", Yaml::Flow(shown));
        }
        Kind::Value(value) => add("value", Yaml::Flow(template(value))),
        Kind::Pure => {}
        Kind::Fail(fail) => {
            let mut shown = json!({ "code": fail.code, "message": template(&fail.message) });
            if let Some(data) = &fail.data {
                shown["data"] = template(data);
            }
            add("fail", Yaml::Flow(shown));
        }
        Kind::Parallel(block) => {
            let mut shown = join(block.join, block.max_errors);
            let branches = block.branches.iter().map(|branch| {
                let mut lines = body(&branch.body);
                if !branch.after.is_empty() {
                    lines.push(("after".to_owned(), Yaml::Flow(json!(branch.after))));
                }
                if let Some(result) = &branch.result {
                    lines.push(("result".to_owned(), Yaml::Flow(template(result))));
                }
                (branch.id.to_string(), Yaml::Map(lines))
            });
            shown.push(("branches".to_owned(), Yaml::Map(branches.collect())));
            add("parallel", Yaml::Map(shown));
            if let Some(timeout_ms) = block.timeout_ms {
                add("timeout", span(timeout_ms));
            }
        }
        Kind::Map(block) => {
            let mut shown = vec![
                ("over".to_owned(), Yaml::Flow(json!(block.over.source()))),
                ("as".to_owned(), Yaml::Flow(json!(block.item))),
                ("concurrency".to_owned(), Yaml::Flow(json!(block.concurrency))),
            ];
            shown.extend(join(block.join, block.max_errors));
            shown.push(("do".to_owned(), Yaml::Map(body(&block.body))));
            if let Some(result) = &block.result {
                shown.push(("result".to_owned(), Yaml::Flow(template(result))));
            }
            add("map", Yaml::Map(shown));
            if let Some(timeout_ms) = block.timeout_ms {
                add("timeout", span(timeout_ms));
            }
        }
    }
}

fn join(join: Join, max_errors: Option<MaxErrors>) -> Vec<(String, Yaml)> {
    let shown = match join {
        Join::Quorum(needed) => json!({ "quorum": needed }),
        other => json!(other),
    };
    let mut lines = vec![("join".to_owned(), Yaml::Flow(shown))];
    match max_errors {
        None => {}
        Some(MaxErrors::Count(count)) => lines.push(("max-errors".to_owned(), Yaml::Flow(json!(count)))),
        Some(MaxErrors::Percent(percent)) => {
            lines.push(("max-errors".to_owned(), Yaml::Flow(json!(format!("{percent}%")))));
        }
    }
    lines
}

fn retry(retry: &Retry) -> Value {
    json!({
        "strategy": retry.strategy.name(),
        "max-retries": retry.max_retries,
        "base-delay": format!("{}ms", retry.base_delay_ms.max(1)),
        "factor": retry.factor,
        "max-delay": format!("{}ms", retry.max_delay_ms.max(1)),
        "jitter": retry.jitter,
        "retry-on": retry.retry_on,
    })
}

fn edges(edges: &Edges) -> Value {
    if edges.when.is_empty() {
        return target(&edges.otherwise);
    }
    let mut list: Vec<Value> =
        edges.when.iter().map(|arm| json!({ "when": arm.when.source(), "to": target(&arm.to) })).collect();
    list.push(json!({ "to": target(&edges.otherwise) }));
    list.into()
}

fn target(target: &Target) -> Value {
    match target {
        Target::End => json!("end"),
        Target::Node(id) => json!(id),
    }
}

fn template(template_value: &Template) -> Value {
    match template_value {
        Template::Literal(value) => escaped(value),
        Template::Expression(expression) => json!(format!("${{{{ {} }}}}", expression.source())),
        Template::Text(parts) => {
            let mut text = String::new();
            for part in parts {
                match part {
                    Part::Text(part) => text.push_str(&part.replace("${{", "$${{")),
                    Part::Expression(expression) => {
                        let _ = write!(text, "${{{{ {} }}}}", expression.source());
                    }
                }
            }
            json!(text)
        }
        Template::List(items) => items.iter().map(template).collect(),
        Template::Object(members) => {
            members.iter().map(|(key, value)| (key.clone(), template(value))).collect()
        }
    }
}

fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(text.replace("${{", "$${{")),
        Value::Array(items) => items.iter().map(escaped).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), escaped(value))).collect(),
        other => other.clone(),
    }
}
