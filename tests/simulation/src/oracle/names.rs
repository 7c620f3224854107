//! A scope instance of the oracle: its own copies of everything an expression can name.

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::Id;
use bandstand_engine::expression::{self, Expression, RESULT_BYTES_MAX, Template, Visible};
use bandstand_engine::failure::Class;
use bandstand_engine::graph::{Keep, Node, Reducer, Update};
use bandstand_engine::path::Path;
use serde_json::{Map, Value, json};

use super::reduce;
use crate::generate::World;

/// A write to a channel: by its reducer, or over it.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) channel: Id,
    pub(super) set: bool,
    pub(super) value: Value,
}

/// What expressions see beside the scope.
#[derive(Clone, Default)]
pub(super) struct Extra<'a> {
    pub(super) visit: Option<u32>,
    pub(super) output: Option<&'a Value>,
    pub(super) present: Option<(String, &'a Value)>,
    pub(super) error: Option<&'a Value>,
}

impl<'a> Extra<'a> {
    pub(super) fn output(output: &'a Value) -> Extra<'a> {
        Extra { output: Some(output), ..Extra::default() }
    }
}

/// A scope instance. Nested ones hold what they saw at the fork.
#[derive(Clone)]
pub(super) struct Scope<'p> {
    pub(super) path: Path,
    enclosing: Option<&'p Scope<'p>>,
    pub(super) channels: BTreeMap<Id, Value>,
    /// Writes that leave with the branch.
    pub(super) writes: Vec<Write>,
    nodes: BTreeMap<String, Value>,
    pub(super) visits: BTreeMap<Id, u32>,
    pub(super) steps: u64,
    pub(super) error: Option<Value>,
    pub(super) review: Option<Value>,
    pub(super) items: BTreeMap<String, Value>,
    pub(super) branches: BTreeMap<String, Value>,
    pub(super) last: Value,
}

type Failed = (Class, String);

impl Scope<'_> {
    pub(super) fn root(world: &World) -> Result<Scope<'static>, String> {
        let mut scope = Scope {
            path: Path::root(),
            enclosing: None,
            channels: BTreeMap::new(),
            writes: Vec::new(),
            nodes: BTreeMap::new(),
            visits: BTreeMap::new(),
            steps: 0,
            error: None,
            review: None,
            items: BTreeMap::new(),
            branches: BTreeMap::new(),
            last: Value::Null,
        };
        for (id, channel) in &world.graph.state {
            let first = match (&channel.initial, channel.reduce) {
                (Some(template), _) => scope
                    .template(world, template, &Extra::default())
                    .map_err(|(_, code)| format!("channel {id} cannot start: {code}"))?,
                (None, Reducer::Append) => json!([]),
                (None, Reducer::Merge) => json!({}),
                (None, Reducer::Sum) => json!(0),
                (None, Reducer::Replace | Reducer::Min | Reducer::Max) => Value::Null,
            };
            scope.channels.insert(id.clone(), first);
        }
        Ok(scope)
    }

    /// A branch or item of a block in this scope.
    pub(super) fn fork(&self, path: Path) -> Scope<'_> {
        Scope {
            path,
            enclosing: Some(self),
            channels: self.channels.clone(),
            writes: Vec::new(),
            nodes: BTreeMap::new(),
            visits: BTreeMap::new(),
            steps: 0,
            error: self.error.clone(),
            review: self.review.clone(),
            items: self.items.clone(),
            branches: self.branches.clone(),
            last: Value::Null,
        }
    }

    /// A copy to try writes on.
    pub(super) fn draft(&self) -> Self {
        self.clone()
    }

    /// Makes the visit visible as `nodes.X`.
    pub(super) fn show(&mut self, id: Option<&Id>, view: Value) {
        if let Some(id) = id {
            self.nodes.insert(id.to_string(), view);
        }
    }

    pub(super) fn write(&mut self, world: &World, write: &Write) -> Result<(), Failed> {
        self.inherit(world, write)?;
        let keeps = world.graph.state.get(&write.channel).map(|channel| channel.keep);
        if self.enclosing.is_some() && keeps == Some(Keep::Run) {
            self.writes.push(write.clone());
        }
        Ok(())
    }

    /// A write of a branch that this one waited for: seen, but not this branch's own.
    pub(super) fn inherit(&mut self, world: &World, write: &Write) -> Result<(), Failed> {
        let unknown = || (Class::State, "unknown-channel".to_owned());
        let channel = world.graph.state.get(&write.channel).ok_or_else(unknown)?;
        let current = self.channels.get(&write.channel).ok_or_else(unknown)?;
        let next = if write.set {
            write.value.clone()
        } else {
            reduce::reduce(channel.reduce, current, &write.value)
                .ok_or_else(|| (Class::State, "bad-operand".to_owned()))?
        };
        if channel.schema.as_ref().is_some_and(|schema| schema.check(&next).is_err()) {
            return Err((Class::State, "bad-value".to_owned()));
        }
        self.channels.insert(write.channel.clone(), next);
        Ok(())
    }

    /// `update`, then `set`: all read the state before the node.
    pub(super) fn evaluate_writes(
        &self,
        world: &World,
        node: &Node,
        extra: &Extra<'_>,
    ) -> Result<Vec<Write>, Failed> {
        let mut writes = Vec::new();
        let known = |channel: &Id| match world.graph.state.contains_key(channel) {
            true => Ok(channel.clone()),
            false => Err((Class::State, "unknown-channel".to_owned())),
        };
        match &node.update {
            None => {}
            Some(Update::Channels(channels)) => {
                for (channel, operand) in channels {
                    let value = self.template(world, operand, extra)?;
                    writes.push(Write { channel: known(channel)?, set: false, value });
                }
            }
            Some(Update::Whole(template)) => match self.template(world, template, extra)? {
                Value::Object(members) => {
                    for (key, value) in members {
                        let channel =
                            Id::new(&key).map_err(|_| (Class::State, "unknown-channel".to_owned()))?;
                        writes.push(Write { channel: known(&channel)?, set: false, value });
                    }
                }
                _ => return Err((Class::State, "bad-operand".to_owned())),
            },
        }
        for (channel, template) in &node.set {
            let value = self.template(world, template, extra)?;
            writes.push(Write { channel: known(channel)?, set: true, value });
        }
        Ok(writes)
    }

    pub(super) fn template(
        &self,
        world: &World,
        template: &Template,
        extra: &Extra<'_>,
    ) -> Result<Value, Failed> {
        self.with(world, extra, |scope| template.evaluate(scope))
    }

    pub(super) fn expression(
        &self,
        world: &World,
        source: &Expression,
        extra: &Extra<'_>,
    ) -> Result<Value, Failed> {
        self.with(world, extra, |scope| source.evaluate(scope))
    }

    fn with(
        &self,
        world: &World,
        extra: &Extra<'_>,
        evaluate: impl FnOnce(&expression::Scope<'_>) -> Result<Value, expression::EvaluateError>,
    ) -> Result<Value, Failed> {
        let names = self.names(world, extra);
        let scope = expression::Scope {
            names: &names,
            templates: &world.graph.templates,
            fuel: world.graph.limits.expression_fuel,
            result_bytes_max: RESULT_BYTES_MAX,
        };
        evaluate(&scope).map_err(|error| (Class::Expression, error.code.as_str().to_owned()))
    }

    fn names(&self, world: &World, extra: &Extra<'_>) -> BTreeMap<String, Visible> {
        let mut nodes = Map::new();
        self.collect_nodes(&mut nodes);
        if let Some((id, view)) = &extra.present {
            nodes.insert(id.clone(), (*view).clone());
        }
        let state: Map<String, Value> =
            self.channels.iter().map(|(id, value)| (id.to_string(), value.clone())).collect();
        let constants: Map<String, Value> =
            world.graph.constants.iter().map(|(id, value)| (id.to_string(), (**value).clone())).collect();
        let mut names: BTreeMap<String, Value> = BTreeMap::from([
            ("input".to_owned(), world.input.clone()),
            ("constants".to_owned(), Value::Object(constants)),
            ("state".to_owned(), Value::Object(state)),
            ("nodes".to_owned(), Value::Object(nodes)),
            ("error".to_owned(), extra.error.or(self.error.as_ref()).cloned().unwrap_or(Value::Null)),
            ("review".to_owned(), self.review.clone().unwrap_or(Value::Null)),
            ("branches".to_owned(), Value::Object(self.branches.clone().into_iter().collect())),
        ]);
        if let Some(visit) = extra.visit {
            names.insert("visit".to_owned(), json!(visit));
        }
        if let Some(output) = extra.output {
            names.insert("output".to_owned(), output.clone());
        }
        names.extend(self.items.clone());
        names.into_iter().map(|(name, value)| (name, Visible::Json(Arc::new(value)))).collect()
    }

    fn collect_nodes(&self, into: &mut Map<String, Value>) {
        if let Some(enclosing) = self.enclosing {
            enclosing.collect_nodes(into);
        }
        into.extend(self.nodes.iter().map(|(id, view)| (id.clone(), view.clone())));
    }
}
