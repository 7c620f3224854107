//! A file without errors to the graph that the engine runs, every default filled in. `None` means that something is
//! missing that the checks should have told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bandstand_engine::expression::{Expression, Template, TextTemplate};
use bandstand_engine::failure::Class;
use bandstand_engine::graph::Node as GraphNode;
use bandstand_engine::graph::{
    Agent, Arm, Body, Branch, Cache, CacheScope, Channel, Child, ChildWorkflow, Edges, Exit, Fail, Graph,
    Join, Keep, Kind, Limits, Map, MaxErrors, OnFailure, OnTimeout, Overlap, Parallel, Plugin, PluginLimits,
    Reducer, Retry, Review, Route, ScopeGraph, SecondRun, SignalWait, Stage, Strategy, Target, Thread,
    Trigger, Update, When,
};
use bandstand_engine::id::Id;
use serde_json::Value;

use crate::advice::ATTEMPT_TIMEOUT_MS;
use crate::cron::ZONE_DEFAULT;
use crate::files::Files;
use crate::grants;
use crate::outline::{Outline, Step};
use crate::plugins::source_of;
use crate::quantity::{duration_ms, percent, size_bytes};
use crate::schemas::Schemas;
use crate::source::Source;
use crate::yaml::{Node, Typed, Yaml};

/// How many items of a map are open at once when nothing says it.
const CONCURRENCY_DEFAULT: u32 = 32;

/// What the lowering takes from the checks.
pub(crate) struct Lower<'a, 's, 't> {
    pub(crate) source: &'a Source<'s>,
    pub(crate) outline: &'a Outline<'t>,
    pub(crate) schemas: &'a Schemas,
    pub(crate) constants: BTreeMap<Id, Arc<Value>>,
    pub(crate) templates: BTreeMap<String, TextTemplate>,
    pub(crate) children: BTreeMap<Id, ChildWorkflow>,
}

/// The constants that are values; those in files are read. `None` where a file was not.
pub(crate) fn constants(
    report: &mut crate::diagnostic::Report<'_>,
    file: &Node,
    files: &mut Files<'_>,
) -> BTreeMap<Id, Arc<Value>> {
    let mut constants = BTreeMap::new();
    for entry in file.get("constants").map(Node::entries).unwrap_or_default() {
        let value = match (entry.value.get("value"), entry.value.get("path")) {
            (Some(value), _) => Some(value.json()),
            (None, Some(path)) => files.text(report, path).map(Value::String),
            (None, None) if entry.value.is_map() => None,
            (None, None) => Some(entry.value.json()),
        };
        if let (Some(value), Ok(id)) = (value, Id::new(&entry.key)) {
            constants.insert(id, Arc::new(value));
        }
    }
    constants
}

impl Lower<'_, '_, '_> {
    pub(crate) fn graph(self) -> Option<Graph> {
        let file = self.outline.file;
        let text = |key: &str| file.get(key).and_then(Node::text).map(str::to_owned);
        Some(Graph {
            name: text("name")?,
            version: file.get("version")?.integer()?,
            description: text("description").unwrap_or_default(),
            input: self.schemas.of(file.get("input")).cloned(),
            output: self.schemas.of(file.get("output")).cloned(),
            state: self.state()?,
            limits: limits(file.get("limits")),
            timeout_ms: duration(file, "timeout"),
            thread: thread(file)?,
            plugins: plugins(file)?,
            root: self.scope(0)?,
            result: self.optional(file.get("result"))?,
            triggers: self.triggers()?,
            constants: self.constants,
            templates: self.templates,
            workflows: self.children,
        })
    }

    fn triggers(&self) -> Option<Vec<Trigger>> {
        let triggers = self.outline.file.get("triggers").map(Node::items).unwrap_or_default();
        triggers
            .iter()
            .map(|trigger| {
                let text = |key: &str| trigger.get(key).and_then(Node::text).map(str::to_owned);
                let when = match trigger.get("webhook") {
                    Some(webhook) => When::Webhook {
                        webhook: Id::new(webhook.text()?).ok()?,
                        secret: text("secret"),
                        key: match trigger.get("key") {
                            Some(key) => Some(self.expression(key)?),
                            None => None,
                        },
                    },
                    None => When::Cron {
                        cron: text("cron")?,
                        zone: text("zone").unwrap_or_else(|| ZONE_DEFAULT.to_owned()),
                        overlap: match text("overlap").as_deref() {
                            None | Some("skip") => Overlap::Skip,
                            Some("queue") => Overlap::Queue,
                            Some("allow") => Overlap::Allow,
                            Some(_) => return None,
                        },
                    },
                };
                Some(Trigger { when, input: self.template(trigger.get("input")?)? })
            })
            .collect()
    }

    fn state(&self) -> Option<BTreeMap<Id, Channel>> {
        let channels = self.outline.file.get("state").map(Node::entries).unwrap_or_default();
        channels
            .iter()
            .map(|channel| {
                let reduce = match channel.value.get("reduce")?.text()? {
                    "replace" => Reducer::Replace,
                    "append" => Reducer::Append,
                    "merge" => Reducer::Merge,
                    "sum" => Reducer::Sum,
                    "min" => Reducer::Min,
                    "max" => Reducer::Max,
                    _ => return None,
                };
                let keep = match channel.value.get("keep").and_then(Node::text).unwrap_or("run") {
                    "run" => Keep::Run,
                    "branch" => Keep::Branch,
                    "thread" => Keep::Thread,
                    _ => return None,
                };
                let schema = self.schemas.of(channel.value.get("schema")).cloned();
                let initial = self.optional(channel.value.get("initial"))?;
                Some((Id::new(&channel.key).ok()?, Channel { reduce, schema, initial, keep }))
            })
            .collect()
    }

    fn scope(&self, index: usize) -> Option<ScopeGraph> {
        let scope = &self.outline.scopes[index];
        let nodes = scope.nodes.iter().map(|step| Some((Id::new(step.id).ok()?, self.node(step, false)?)));
        let nodes: Option<BTreeMap<Id, GraphNode>> = nodes.collect();
        Some(ScopeGraph { start: Id::new(scope.nodes[scope.first()?].id).ok()?, nodes: nodes? })
    }

    fn body(&self, index: usize) -> Option<Body> {
        let scope = &self.outline.scopes[index];
        if scope.sole {
            return Some(Body::Node(Box::new(self.node(scope.nodes.first()?, true)?)));
        }
        self.scope(index).map(Body::Graph)
    }

    fn node(&self, step: &Step<'_>, sole: bool) -> Option<GraphNode> {
        let kind = self.kind(step)?;
        let exit = match &kind {
            Kind::Fail(_) | Kind::Review(_) => None,
            _ if sole => Some(Exit::Next(Edges { when: Vec::new(), otherwise: Target::End })),
            _ => Some(match (step.get("next"), step.get("route")) {
                (Some(next), _) => Exit::Next(self.edges(next)?),
                (None, route) => Exit::Route(self.route(route?)?),
            }),
        };
        let edges = |key: &str| match step.get(key) {
            Some(value) => self.edges(value).map(Some),
            None => Some(None),
        };
        let on_failure = match step.get("on-failure") {
            None => None,
            Some(value) if value.is_map() => Some(OnFailure::Value(self.template(value.get("value")?)?)),
            Some(value) => Some(OnFailure::To(self.edges(value)?)),
        };
        let set = step.get("set").map(Node::entries).unwrap_or_default();
        let goto = step.get("goto").map(Node::items).unwrap_or_default();
        Some(GraphNode {
            kind,
            description: step.get("description").and_then(Node::text).unwrap_or_default().to_owned(),
            stage: step.get("stage").and_then(Node::text).and_then(stage),
            update: match step.get("update") {
                None => None,
                Some(update) if update.is_map() => Some(Update::Channels(self.channels(update)?)),
                Some(update) => Some(Update::Whole(self.template(update)?)),
            },
            set: set
                .iter()
                .map(|entry| Some((Id::new(&entry.key).ok()?, self.template(&entry.value)?)))
                .collect::<Option<_>>()?,
            exit,
            approved: edges("approved")?,
            rejected: edges("rejected")?,
            on_failure,
            goto: goto.iter().map(|id| Id::new(id.text()?).ok()).collect::<Option<BTreeSet<Id>>>()?,
            checkpoint: step.get("checkpoint").and_then(Node::text).and_then(|name| Id::new(name).ok()),
        })
    }

    fn channels(&self, update: &Node) -> Option<BTreeMap<Id, Template>> {
        let one =
            |entry: &crate::yaml::Entry| Some((Id::new(&entry.key).ok()?, self.template(&entry.value)?));
        update.entries().iter().map(one).collect()
    }

    fn kind(&self, step: &Step<'_>) -> Option<Kind> {
        let Some(entry) = step.kind else { return Some(Kind::Pure) };
        let value = &entry.value;
        Some(match entry.key.as_str() {
            "agent" => {
                let defaults = self.outline.file.get("defaults");
                let timeout_ms = duration(step.tree, "timeout").or_else(|| duration(defaults?, "timeout"));
                let retries = [defaults.and_then(|defaults| defaults.get("retry")), step.get("retry")];
                Kind::Agent(Agent {
                    plugin: Id::new(value.text()?).ok()?,
                    input: match step.get("input") {
                        Some(input) => self.template(input)?,
                        None => empty(),
                    },
                    retry: retry(retries.into_iter().flatten()),
                    timeout_ms: timeout_ms.unwrap_or(ATTEMPT_TIMEOUT_MS),
                    deadline_ms: duration(step.tree, "deadline"),
                    cache: match step.get("cache") {
                        Some(cache) => Some(self.cache(cache)?),
                        None => None,
                    },
                    stream: match step.get("stream") {
                        Some(name) => Some(Id::new(name.text()?).ok()?),
                        None => None,
                    },
                })
            }
            "workflow" => Kind::Workflow(Child {
                workflow: Id::new(value.text()?).ok()?,
                input: match step.get("input") {
                    Some(input) => self.template(input)?,
                    None => empty(),
                },
                // The defaults of the file are for attempts of agents; a child is run once unless the node says more.
                retry: retry_from(
                    Retry { max_retries: 0, ..Retry::default() },
                    step.get("retry").into_iter(),
                ),
                timeout_ms: duration(step.tree, "timeout"),
            }),
            "review" => Kind::Review(self.review(value)?),
            "wait" => match value.get("signal") {
                Some(signal) => Kind::Signal(SignalWait {
                    signal: Id::new(signal.text()?).ok()?,
                    schema: self.schemas.of(value.get("schema")).cloned(),
                    timeout_ms: duration(value, "timeout"),
                    on_timeout: match value.get("on-timeout").and_then(|node| node.get("to")) {
                        Some(to) => Some(target(to)?),
                        None => None,
                    },
                }),
                None => Kind::Wait { for_ms: duration(value, "for")? },
            },
            "value" => Kind::Value(self.template(value)?),
            "fail" => Kind::Fail(Fail {
                code: value.get("code")?.text()?.to_owned(),
                message: self.template(value.get("message")?)?,
                data: self.optional(value.get("data"))?,
            }),
            "parallel" => Kind::Parallel(self.parallel(step, value)?),
            "map" => Kind::Map(self.map(step, value)?),
            _ => return None,
        })
    }

    fn cache(&self, value: &Node) -> Option<Cache> {
        Some(Cache {
            for_ms: duration(value, "for")?,
            key: match value.get("key") {
                Some(key) => Some(self.expression(key)?),
                None => None,
            },
            scope: match value.get("scope").and_then(Node::text) {
                Some("run") => CacheScope::Run,
                Some("thread") => CacheScope::Thread,
                _ => CacheScope::Workflow,
            },
        })
    }

    fn review(&self, value: &Node) -> Option<Review> {
        let on_timeout = match value.get("on-timeout") {
            None => OnTimeout::Fail,
            Some(node) => match (node.text(), node.get("to")) {
                (Some("fail"), _) => OnTimeout::Fail,
                (Some("approve"), _) => OnTimeout::Approve,
                (Some("reject"), _) => OnTimeout::Reject,
                (_, to) => OnTimeout::To(target(to?)?),
            },
        };
        let reviewers = value.get("reviewers").map(Node::items).unwrap_or_default();
        Some(Review {
            title: self.template(value.get("title")?)?,
            reason: self.optional(value.get("reason"))?,
            propose: self.optional(value.get("propose"))?.unwrap_or_else(empty),
            form: self.schemas.of(value.get("form")).cloned(),
            reviewers: reviewers.iter().map(|reviewer| self.template(reviewer)).collect::<Option<_>>()?,
            quorum: value.get("quorum").and_then(Node::integer).map_or(Some(1), |n| u32::try_from(n).ok())?,
            timeout_ms: duration(value, "timeout").unwrap_or(Review::TIMEOUT_MS_DEFAULT),
            on_timeout,
            self_approval: value.get("self-approval").is_none_or(|node| node.json() != Value::Bool(false)),
        })
    }

    fn parallel(&self, step: &Step<'_>, value: &Node) -> Option<Parallel> {
        let branches = step.inner.iter().map(|scope| {
            let branch = self.outline.scopes[*scope].owner?.branch?;
            let after = branch.value.get("after").map(Node::items).unwrap_or_default();
            Some(Branch {
                id: Id::new(&branch.key).ok()?,
                after: after.iter().map(|id| Id::new(id.text()?).ok()).collect::<Option<_>>()?,
                body: self.body(*scope)?,
                result: self.optional(branch.value.get("result"))?,
            })
        });
        Some(Parallel {
            join: join(value.get("join"))?,
            max_errors: value.get("max-errors").and_then(max_errors),
            branches: branches.collect::<Option<_>>()?,
            timeout_ms: duration(step.tree, "timeout"),
        })
    }

    fn map(&self, step: &Step<'_>, value: &Node) -> Option<Map> {
        let concurrency = value.get("concurrency").and_then(Node::integer);
        Some(Map {
            over: self.expression(value.get("over")?)?,
            item: Id::new(value.get("as").map_or(Some("item"), Node::text)?).ok()?,
            concurrency: concurrency.map_or(Some(CONCURRENCY_DEFAULT), |n| u32::try_from(n).ok())?,
            join: join(value.get("join"))?,
            max_errors: value.get("max-errors").and_then(max_errors),
            body: self.body(*step.inner.first()?)?,
            result: self.optional(value.get("result"))?,
            timeout_ms: duration(step.tree, "timeout"),
        })
    }

    fn edges(&self, value: &Node) -> Option<Edges> {
        let Yaml::List(entries) = &value.value else {
            return Some(Edges { when: Vec::new(), otherwise: target(value)? });
        };
        let (last, arms) = entries.split_last()?;
        let arm = |entry: &Node| {
            Some(Arm { when: self.expression(entry.get("when")?)?, to: target(entry.get("to")?)? })
        };
        Some(Edges {
            when: arms.iter().map(arm).collect::<Option<_>>()?,
            otherwise: target(last.get("to")?)?,
        })
    }

    fn route(&self, value: &Node) -> Option<Route> {
        let to = value.get("to")?.entries().iter();
        let optional = |key: &str| match value.get(key) {
            Some(node) => target(node).map(Some),
            None => Some(None),
        };
        Some(Route {
            options: match value.get("options") {
                Some(options) => Some(self.expression(options)?),
                None => None,
            },
            threshold: value.get("threshold").and_then(Node::number).unwrap_or(Route::THRESHOLD_DEFAULT),
            to: to.map(|entry| Some((entry.key.clone(), target(&entry.value)?))).collect::<Option<_>>()?,
            below: optional("below")?,
            default: optional("default")?,
        })
    }

    fn position(&self, node: &Node, offset: usize) -> (u32, u32) {
        let (line, column) = self.source.position(node.place(self.source, offset, offset).start);
        (u32::try_from(line).unwrap_or(0), u32::try_from(column).unwrap_or(0))
    }

    fn expression(&self, node: &Node) -> Option<Expression> {
        let text = &node.scalar()?.text;
        let (line, column) = self.position(node, text.len() - text.trim_start().len());
        Expression::compile(text.trim(), line, column).ok()
    }

    fn optional(&self, node: Option<&Node>) -> Option<Option<Template>> {
        match node {
            Some(node) => self.template(node).map(Some),
            None => Some(None),
        }
    }

    fn template(&self, node: &Node) -> Option<Template> {
        match &node.value {
            Yaml::Scalar(scalar) if scalar.typed == Typed::Text => {
                Template::from_text(&scalar.text, |offset| self.position(node, offset)).ok()
            }
            Yaml::Scalar(_) => Some(Template::Literal(Arc::new(node.json()))),
            Yaml::List(items) => {
                items.iter().map(|item| self.template(item)).collect::<Option<Vec<_>>>().map(Template::list)
            }
            Yaml::Map(entries) => {
                let member =
                    |entry: &crate::yaml::Entry| Some((entry.key.clone(), self.template(&entry.value)?));
                entries.iter().map(member).collect::<Option<BTreeMap<_, _>>>().map(Template::object)
            }
        }
    }
}

fn empty() -> Template {
    Template::Literal(Arc::new(Value::Object(serde_json::Map::new())))
}

fn duration(of: &Node, key: &str) -> Option<u64> {
    of.get(key).and_then(Node::text).and_then(duration_ms)
}

fn target(node: &Node) -> Option<Target> {
    match node.text()? {
        "end" => Some(Target::End),
        id => Id::new(id).ok().map(Target::Node),
    }
}

fn join(node: Option<&Node>) -> Option<Join> {
    let Some(node) = node else { return Some(Join::Settle) };
    match node.text() {
        Some("settle") => Some(Join::Settle),
        Some("all") => Some(Join::All),
        Some("any") => Some(Join::Any),
        _ => node.get("quorum")?.integer().and_then(|n| u32::try_from(n).ok()).map(Join::Quorum),
    }
}

fn max_errors(node: &Node) -> Option<MaxErrors> {
    node.integer().map(MaxErrors::Count).or_else(|| node.text().and_then(percent).map(MaxErrors::Percent))
}

fn stage(name: &str) -> Option<Stage> {
    let all = [
        Stage::Init,
        Stage::Validation,
        Stage::Processing,
        Stage::Review,
        Stage::Approval,
        Stage::Completion,
        Stage::Error,
    ];
    all.into_iter().find(|stage| stage.name() == name)
}

/// `thread`; `Some(None)` when the file has none.
fn thread(file: &Node) -> Option<Option<Thread>> {
    let Some(thread) = file.get("thread") else { return Some(None) };
    let second_run = match thread.get("second-run").and_then(Node::text) {
        None | Some("reject") => SecondRun::Reject,
        Some("queue") => SecondRun::Queue,
        Some("interrupt") => SecondRun::Interrupt,
        Some(_) => return None,
    };
    Some(Some(Thread { second_run }))
}

/// The built-in retry with each level's keys on top, in order.
fn retry<'n>(levels: impl Iterator<Item = &'n Node>) -> Retry {
    retry_from(Retry::default(), levels)
}

fn retry_from<'n>(built_in: Retry, levels: impl Iterator<Item = &'n Node>) -> Retry {
    let mut retry = built_in;
    for level in levels {
        match level.get("strategy").and_then(Node::text) {
            Some("exponential") => retry.strategy = Strategy::Exponential,
            Some("fixed") => retry.strategy = Strategy::Fixed,
            Some("immediate") => retry.strategy = Strategy::Immediate,
            Some("none") => retry.strategy = Strategy::None,
            _ => {}
        }
        let count = level.get("max-retries").and_then(Node::integer).and_then(|n| u32::try_from(n).ok());
        retry.max_retries = count.unwrap_or(retry.max_retries);
        retry.base_delay_ms = duration(level, "base-delay").unwrap_or(retry.base_delay_ms);
        retry.factor = level.get("factor").and_then(Node::number).unwrap_or(retry.factor);
        retry.max_delay_ms = duration(level, "max-delay").unwrap_or(retry.max_delay_ms);
        retry.jitter = level.get("jitter").and_then(Node::number).unwrap_or(retry.jitter);
        if let Some(classes) = level.get("retry-on") {
            let all = [Class::Agent, Class::Trap, Class::Timeout, Class::InvalidOutput, Class::Limit];
            let names: Vec<&str> = classes.items().iter().filter_map(Node::text).collect();
            retry.retry_on = all.into_iter().filter(|class| names.contains(&class.name())).collect();
        }
    }
    retry
}

fn limits(node: Option<&Node>) -> Limits {
    let mut limits = Limits::default();
    let Some(node) = node else { return limits };
    let integer = |key: &str| node.get(key).and_then(Node::integer);
    let size = |key: &str| node.get(key).and_then(Node::text).and_then(size_bytes);
    limits.max_steps = integer("max-steps").unwrap_or(limits.max_steps);
    limits.max_total_steps = integer("max-total-steps").unwrap_or(limits.max_total_steps);
    limits.max_items = integer("max-items").unwrap_or(limits.max_items);
    limits.payload_bytes = size("payload").unwrap_or(limits.payload_bytes);
    limits.state_bytes = size("state").unwrap_or(limits.state_bytes);
    limits.expression_fuel = integer("expression-fuel").unwrap_or(limits.expression_fuel);
    limits
}

fn plugins(file: &Node) -> Option<BTreeMap<Id, Plugin>> {
    let declared = file.get("plugins").map(Node::entries).unwrap_or_default();
    declared
        .iter()
        .map(|entry| {
            let plugin = &entry.value;
            let mut limits = PluginLimits::default();
            if let Some(given) = plugin.get("limits") {
                let size = |key: &str| given.get(key).and_then(Node::text).and_then(size_bytes);
                limits.memory_bytes = size("memory").unwrap_or(limits.memory_bytes);
                limits.cpu_ms = duration(given, "cpu").unwrap_or(limits.cpu_ms);
                limits.output_bytes = size("output").unwrap_or(limits.output_bytes);
                limits.log_bytes = size("log").unwrap_or(limits.log_bytes);
            }
            let lowered = Plugin {
                function: plugin.get("function").and_then(Node::text).map(str::to_owned),
                digest: plugin.get("digest").and_then(Node::text).map(str::to_owned),
                grants: grants::lower(plugin),
                limits,
                ..Plugin::new(source_of(plugin)?)
            };
            Some((Id::new(&entry.key).ok()?, lowered))
        })
        .collect()
}
