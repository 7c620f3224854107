//! What expressions see: the names of the language, looked up in the scope instance they stand in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::Run;
use super::measured::Measured;
use super::state::{BranchStatus, Json, Scope, View};
use super::write::Changed;
use crate::expression::{self, EvaluateError, Expression, Fields, Names, Template, Visible};
use crate::failure::{Class, Failure};
use crate::graph::Kind;
use crate::id::Id;
use crate::path::{Path, Segment};

/// The place and moment an expression is evaluated at.
#[derive(Clone)]
pub(super) struct Context<'a> {
    run: &'a Run,
    scope: &'a Path,
    /// The visit's number; none where no node is (a branch's `result`).
    visit: Option<u32>,
    output: Option<Json>,
    /// The present visit as `nodes.X`, which the state does not show yet.
    present: Option<(Id, View)>,
    changed: Option<&'a Changed>,
    error: Option<Json>,
}

impl<'a> Context<'a> {
    /// The names of a scope, outside of any visit.
    pub(super) fn new(run: &'a Run, scope: &'a Path) -> Context<'a> {
        Context { run, scope, visit: None, output: None, present: None, changed: None, error: None }
    }

    /// With `visit`.
    pub(super) fn at_visit(self, number: u32) -> Context<'a> {
        Context { visit: Some(number), ..self }
    }

    /// With `output`.
    pub(super) fn with_output(self, output: Json) -> Context<'a> {
        Context { output: Some(output), ..self }
    }

    /// With the present visit under `nodes`.
    pub(super) fn with_present(self, id: Option<&Id>, view: View) -> Context<'a> {
        Context { present: id.map(|id| (id.clone(), view)), ..self }
    }

    /// With channels as they are about to be.
    pub(super) fn with_changed(self, changed: &'a Changed) -> Context<'a> {
        Context { changed: Some(changed), ..self }
    }

    /// With another `error`.
    pub(super) fn with_error(self, error: Json) -> Context<'a> {
        Context { error: Some(error), ..self }
    }

    /// The value of a template.
    pub(super) fn template(&self, template: &Template) -> Result<Value, Failure> {
        template.evaluate(&self.machine()).map_err(failure)
    }

    /// A template as text.
    pub(super) fn text(&self, template: &Template) -> Result<String, Failure> {
        template.evaluate_text(&self.machine()).map_err(failure)
    }

    /// The value of an expression.
    pub(super) fn expression(&self, expression: &Expression) -> Result<Value, Failure> {
        expression.evaluate(&self.machine()).map_err(failure)
    }

    /// A condition; anything but a boolean is a failure.
    pub(super) fn condition(&self, expression: &Expression) -> Result<bool, Failure> {
        expression.evaluate_bool(&self.machine()).map_err(failure)
    }

    fn machine(&self) -> expression::Scope<'_> {
        expression::Scope {
            names: self,
            templates: &self.run.graph.templates,
            fuel: self.run.graph.limits.expression_fuel,
            result_bytes_max: expression::RESULT_BYTES_MAX,
        }
    }

    /// The scope instances that enclose this one, the root first, each with its path.
    fn chain(&self) -> impl DoubleEndedIterator<Item = (&'a [Segment], &'a Scope)> {
        let segments = self.scope.segments();
        let run = self.run;
        (0..=segments.len() / 2).filter_map(move |level| {
            let path = &segments[..level * 2];
            Some((path, run.state.root.inner(path)?))
        })
    }

    fn state(&self) -> Visible {
        Visible::Lazy(Arc::new(SeenState {
            about_to_be: self.changed.cloned().unwrap_or_default(),
            scopes: self.chain().rev().map(|(_, scope)| scope.changed.clone()).collect(),
        }))
    }

    fn nodes(&self) -> Visible {
        Visible::Lazy(Arc::new(SeenNodes {
            present: self.present.clone(),
            scopes: self.chain().rev().map(|(_, scope)| scope.views.clone()).collect(),
        }))
    }

    /// `branches`: what the branches that this one waited for have given.
    fn branches(&self) -> Visible {
        let mut members = BTreeMap::new();
        for (path, _) in self.chain() {
            let [.., _, Segment::Branch(own)] = path else { continue };
            let block_path =
                path[..path.len() - 1].iter().fold(Path::root(), |path, segment| path.join(segment.clone()));
            let (Some(node), Some(block)) = (
                self.run.graph.node(&block_path),
                self.run.visit(&block_path).and_then(|visit| visit.block()),
            ) else {
                continue;
            };
            let Kind::Parallel(parallel) = &node.kind else { continue };
            let needs = super::block::needs(parallel, own);
            for (name, branch) in block.names.iter().zip(&block.branches) {
                if let (true, BranchStatus::Succeeded, Some(result)) =
                    (needs.contains(name), branch.status, &branch.result)
                {
                    let member = [("result".to_owned(), Visible::Json(result.clone()))];
                    members.insert(name.to_string(), Visible::Members(member.into()));
                }
            }
        }
        Visible::Members(members)
    }

    /// `<as>` and `<as>_index` of the maps around this place.
    fn item(&self, name: &str) -> Option<Visible> {
        let segments = self.scope.segments();
        (0..segments.len()).rev().find_map(|position| {
            let Segment::Item(index) = &segments[position] else { return None };
            let block =
                segments[..position].iter().fold(Path::root(), |path, segment| path.join(segment.clone()));
            let Kind::Map(map) = &self.run.graph.node(&block)?.kind else { return None };
            let item = map.item.as_str();
            if name.strip_prefix(item) == Some("_index") {
                return Some(Visible::Json(Arc::new(Value::from(*index))));
            }
            if name != item {
                return None;
            }
            let items = self.run.visit(&block)?.block()?.items.as_ref()?;
            items.get(usize::try_from(*index).ok()?).map(|item| Visible::Json(Arc::new(item.clone())))
        })
    }

    fn run(&self) -> Visible {
        let (started, spent) = (&self.run.state.started, &self.run.state.spent);
        Visible::Json(Arc::new(json!({
            "id": started.run_id,
            "thread_id": started.thread_id,
            "user_id": started.user_id,
            "workflow": started.workflow.name,
            "version": started.workflow.version,
            "started_at": self.run.state.started_at.to_string(),
            "steps": self.run.state.steps,
            "usage": {
                "tokens_in": spent.tokens_in,
                "tokens_out": spent.tokens_out,
                "cost_micros": spent.cost_micros,
            },
        })))
    }

    /// The nearest scope's value, or `none`.
    fn nearest(&self, member: fn(&Scope) -> Option<&Json>) -> Visible {
        match self.chain().rev().find_map(|(_, scope)| member(scope)) {
            Some(value) => Visible::Json(value.clone()),
            None => Visible::Json(Arc::new(Value::Null)),
        }
    }
}

impl Names for Context<'_> {
    fn get(&self, name: &str) -> Option<Visible> {
        match name {
            "input" => self.run.state.started.input.value().cloned().map(Visible::Json),
            "constants" => {
                let constants = self.run.graph.constants.iter();
                Some(Visible::Members(
                    constants.map(|(id, value)| (id.to_string(), Visible::Json(value.clone()))).collect(),
                ))
            }
            "state" => Some(self.state()),
            "nodes" => Some(self.nodes()),
            "output" => self.output.clone().map(Visible::Json),
            "visit" => self.visit.map(|visit| Visible::Json(Arc::new(Value::from(visit)))),
            "error" => Some(match &self.error {
                Some(error) => Visible::Json(error.clone()),
                None => self.nearest(|scope| scope.error.as_ref()),
            }),
            "review" => Some(self.nearest(|scope| scope.review.as_ref())),
            "branches" => Some(self.branches()),
            "run" => Some(self.run()),
            "now" => Some(Visible::Json(Arc::new(Value::from(self.run.clock.to_string())))),
            other => self.item(other),
        }
    }
}

/// `state`. Each channel is looked up when an expression reads it.
struct SeenState {
    /// Channels as they are about to be.
    about_to_be: Changed,
    /// What each scope has changed, the nearest first.
    scopes: Vec<Arc<BTreeMap<Id, Measured>>>,
}

impl Fields for SeenState {
    fn get(&self, name: &str) -> Option<Visible> {
        let measured = || self.scopes.iter().find_map(|scope| scope.get(name)).map(Measured::value);
        self.about_to_be.get(name).or_else(measured).cloned().map(Visible::Json)
    }

    fn names(&self) -> Vec<String> {
        // The root has every channel.
        self.scopes.last().map_or_else(Vec::new, |root| root.keys().map(Id::to_string).collect())
    }
}

/// `nodes`. Each node's latest visit is looked up when an expression reads it.
struct SeenNodes {
    present: Option<(Id, View)>,
    /// What each scope has completed, the nearest first.
    scopes: Vec<Arc<BTreeMap<Id, View>>>,
}

impl Fields for SeenNodes {
    fn get(&self, name: &str) -> Option<Visible> {
        let present = self.present.as_ref().filter(|(id, _)| *id == name).map(|(_, view)| view);
        present.or_else(|| self.scopes.iter().find_map(|scope| scope.get(name))).map(visible)
    }

    fn names(&self) -> Vec<String> {
        let present = self.present.iter().map(|(id, _)| id);
        let all: BTreeSet<&Id> = present.chain(self.scopes.iter().flat_map(|scope| scope.keys())).collect();
        all.into_iter().map(Id::to_string).collect()
    }
}

/// `nodes.X`.
fn visible(view: &View) -> Visible {
    let mut members = BTreeMap::from([
        ("visits".to_owned(), Visible::Json(Arc::new(Value::from(view.visits)))),
        ("status".to_owned(), Visible::Json(Arc::new(Value::from(view.status.name())))),
        ("confidence".to_owned(), Visible::Json(Arc::new(Value::from(view.confidence)))),
    ]);
    for (name, value) in [("output", &view.output), ("error", &view.error), ("routing", &view.routing)] {
        if let Some(value) = value {
            members.insert(name.to_owned(), Visible::Json(value.clone()));
        }
    }
    Visible::Members(members)
}

/// The channels' first values see `input` and `constants` only.
pub(super) struct Beginning<'a> {
    /// The input, defaults filled in.
    pub(super) input: &'a Json,
    /// The graph's constants.
    pub(super) constants: &'a BTreeMap<Id, Json>,
}

impl Names for Beginning<'_> {
    fn get(&self, name: &str) -> Option<Visible> {
        match name {
            "input" => Some(Visible::Json(self.input.clone())),
            "constants" => Some(Visible::Members(
                self.constants
                    .iter()
                    .map(|(id, value)| (id.to_string(), Visible::Json(value.clone())))
                    .collect(),
            )),
            _ => None,
        }
    }
}

fn failure(error: EvaluateError) -> Failure {
    Failure::permanent(Class::Expression, &error.code.to_string(), error.to_string())
}
