//! The file's scopes, nodes and edges as a borrowed outline of the tree, however incomplete the file is. The checks and
//! the lowering go over this; it judges nothing.

use std::collections::BTreeMap;

use crate::grammar::KINDS;
use crate::source::Span;
use crate::yaml::{Entry, Node, Yaml};

/// The file, taken apart.
pub(crate) struct Outline<'t> {
    pub(crate) file: &'t Node,
    /// Every scope; the root is the first, an enclosing one comes before those inside it.
    pub(crate) scopes: Vec<Scope<'t>>,
}

/// Nodes that run one after the other in one scope instance.
pub(crate) struct Scope<'t> {
    /// The block that opens it; `None` for the root.
    pub(crate) owner: Option<Owner<'t>>,
    /// The `start` key's value.
    pub(crate) start: Option<&'t Node>,
    /// The nodes in file order. One node without an id in a one-node body.
    pub(crate) nodes: Vec<Step<'t>>,
    /// The body is one node without an id.
    pub(crate) sole: bool,
    /// What the scope gives; the root's is the file's `result`.
    pub(crate) result: Option<&'t Node>,
    ids: BTreeMap<&'t str, usize>,
}

/// Whose branch or item a scope is.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'t> {
    /// Index of the enclosing scope.
    pub(crate) scope: usize,
    /// Index of the block's node in it.
    pub(crate) node: usize,
    /// The branch's entry; `None` for the body of a map.
    pub(crate) branch: Option<&'t Entry>,
}

/// A node.
pub(crate) struct Step<'t> {
    /// Its id; the branch's or the block's in a one-node body.
    pub(crate) id: &'t str,
    /// Its key, or the key that a one-node body stands under.
    pub(crate) key: Span,
    pub(crate) tree: &'t Node,
    /// The entry of its kind; `None` for a pure step.
    pub(crate) kind: Option<&'t Entry>,
    pub(crate) edges: Vec<Edge<'t>>,
    /// The scopes of its branches or of its body, in declared order.
    pub(crate) inner: Vec<usize>,
}

/// One way out of a node.
#[derive(Clone, Copy)]
pub(crate) struct Edge<'t> {
    pub(crate) by: By,
    /// The value that names the target.
    pub(crate) to: &'t Node,
    /// Where that is; `None` if it names no node of the scope.
    pub(crate) target: Option<Goal>,
}

/// Where an edge or a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// At a node, by its index.
    Node(usize),
    /// At the end of the scope.
    End,
}

/// How an edge comes to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Next,
    Route,
    Approved,
    Rejected,
    OnFailure,
    OnTimeout,
    Goto,
}

impl<'t> Step<'t> {
    /// The keyword of its kind; `step` without one.
    pub(crate) fn kind_name(&self) -> &'t str {
        self.kind.map_or("step", |entry| entry.key.as_str())
    }

    /// A key of the mapping under its kind.
    pub(crate) fn of_kind(&self, key: &str) -> Option<&'t Node> {
        self.kind.and_then(|entry| entry.value.get(key))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'t Node> {
        self.tree.get(key)
    }
}

impl<'t> Outline<'t> {
    pub(crate) fn new(file: &'t Node) -> Outline<'t> {
        let mut outline = Outline { file, scopes: Vec::new() };
        outline.graph(file, None, file.get("result"));
        outline
    }

    fn graph(&mut self, body: &'t Node, owner: Option<Owner<'t>>, result: Option<&'t Node>) -> usize {
        let index = self.scopes.len();
        let scope = Scope {
            owner,
            start: body.get("start"),
            nodes: Vec::new(),
            sole: false,
            result,
            ids: BTreeMap::new(),
        };
        self.scopes.push(scope);
        for entry in body.get("nodes").map(Node::entries).unwrap_or_default() {
            self.step(index, &entry.key, entry.key_span, &entry.value);
        }
        let scope = &mut self.scopes[index];
        // `end` is where a scope ends, even if somebody calls a node so.
        let ids = scope.nodes.iter().enumerate().map(|(index, step)| (step.id, index));
        scope.ids = ids.filter(|(id, _)| *id != "end").collect();
        for edge in scope.nodes.iter_mut().flat_map(|step| &mut step.edges) {
            edge.target = match edge.to.text() {
                Some("end") if edge.by != By::Goto => Some(Goal::End),
                Some(id) => scope.ids.get(id).copied().map(Goal::Node),
                None => None,
            };
        }
        index
    }

    fn body(
        &mut self,
        id: &'t str,
        key: Span,
        body: &'t Node,
        owner: Owner<'t>,
        result: Option<&'t Node>,
    ) -> usize {
        if body.entry("nodes").is_some() || body.entry("start").is_some() {
            return self.graph(body, Some(owner), result);
        }
        let index = self.scopes.len();
        self.scopes.push(Scope {
            owner: Some(owner),
            start: None,
            nodes: Vec::new(),
            sole: true,
            result,
            ids: BTreeMap::new(),
        });
        self.step(index, id, key, body);
        index
    }

    fn step(&mut self, scope: usize, id: &'t str, key: Span, tree: &'t Node) {
        let kind = tree.entries().iter().find(|entry| KINDS.contains(&entry.key.as_str()));
        let index = self.scopes[scope].nodes.len();
        let edges = edges(tree, kind);
        self.scopes[scope].nodes.push(Step { id, key, tree, kind, edges, inner: Vec::new() });
        let Some(entry) = kind else { return };
        let owner = |branch| Owner { scope, node: index, branch };
        let mut inner = Vec::new();
        if entry.key == "parallel" {
            for branch in entry.value.get("branches").map(Node::entries).unwrap_or_default() {
                let result = branch.value.get("result");
                inner.push(self.body(
                    &branch.key,
                    branch.key_span,
                    &branch.value,
                    owner(Some(branch)),
                    result,
                ));
            }
        }
        if entry.key == "map"
            && let Some(body) = entry.value.entry("do")
        {
            inner.push(self.body(id, body.key_span, &body.value, owner(None), entry.value.get("result")));
        }
        self.scopes[scope].nodes[index].inner = inner;
    }

    /// The step that opens a scope.
    pub(crate) fn owner_step(&self, owner: Owner<'t>) -> &Step<'t> {
        &self.scopes[owner.scope].nodes[owner.node]
    }

    /// The scope and those that enclose it, inside out.
    pub(crate) fn chain(&self, scope: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(scope), |scope| self.scopes[*scope].owner.map(|owner| owner.scope))
    }

    /// The `as` name of the map that a scope is the body of.
    pub(crate) fn item_name(&self, scope: usize) -> Option<&'t str> {
        let owner = self.scopes[scope].owner.filter(|owner| owner.branch.is_none())?;
        let name = self.owner_step(owner).of_kind("as").map(Node::text);
        Some(name.unwrap_or(Some("item")).unwrap_or("item"))
    }
}

impl<'t> Scope<'t> {
    /// The index of the node with this id.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.ids.get(id).copied()
    }

    /// The index of the first node; `None` if `start` names none.
    pub(crate) fn first(&self) -> Option<usize> {
        match self.start {
            Some(start) => self.find(start.text()?),
            None => (!self.nodes.is_empty()).then_some(0),
        }
    }
}

/// All edges that a node's keys name, in file order of the kinds of edges.
fn edges<'t>(tree: &'t Node, kind: Option<&'t Entry>) -> Vec<Edge<'t>> {
    let mut edges = Vec::new();
    for (key, by) in [
        ("next", By::Next),
        ("approved", By::Approved),
        ("rejected", By::Rejected),
        ("on-failure", By::OnFailure),
    ] {
        if let Some(value) = tree.get(key) {
            targets(value, by, &mut edges);
        }
    }
    if let Some(route) = tree.get("route") {
        for entry in route.get("to").map(Node::entries).unwrap_or_default() {
            targets(&entry.value, By::Route, &mut edges);
        }
        for key in ["below", "default"] {
            if let Some(value) = route.get(key) {
                targets(value, By::Route, &mut edges);
            }
        }
    }
    if let Some(to) = kind.and_then(|kind| kind.value.get("on-timeout")).and_then(|value| value.get("to")) {
        targets(to, By::OnTimeout, &mut edges);
    }
    for to in tree.get("goto").map(Node::items).unwrap_or_default() {
        targets(to, By::Goto, &mut edges);
    }
    edges
}

fn targets<'t>(value: &'t Node, by: By, edges: &mut Vec<Edge<'t>>) {
    match &value.value {
        Yaml::Scalar(_) if value.text().is_some() => edges.push(Edge { by, to: value, target: None }),
        Yaml::List(items) => {
            let to = items.iter().filter_map(|item| item.get("to")).filter(|to| to.text().is_some());
            edges.extend(to.map(|to| Edge { by, to, target: None }));
        }
        _ => {}
    }
}
