//! Whether a node has surely run, and succeeded, where its output is read (`BW312`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bandstand_engine::expression::{Guard, Reference};

use crate::grammar::NODES_MAX;
use crate::outline::{By, Goal, Outline, Scope};
use crate::places::{At, Place};

/// Why a read may fail.
pub(crate) struct Unset {
    /// The test that is missing, for example `nodes.a is defined`.
    pub(crate) test: String,
    /// A path on which it is not there.
    pub(crate) path: String,
    /// The node runs on that path, but fails.
    pub(crate) failed: bool,
}

/// How many answers are kept at once.
const KEPT_MAX: usize = 1_024;

/// Answers for all reads of a file; what was found out once is kept.
pub(crate) struct Ways<'o, 't> {
    outline: &'o Outline<'t>,
    reached: BTreeMap<(usize, usize, BTreeSet<usize>), Reached>,
}

/// Where the ways from a node lead.
struct Reached {
    /// The node before each one that is reached; the first node stands before itself.
    before: Vec<Option<usize>>,
    /// The node before the end of the scope.
    end: Option<usize>,
}

impl<'o, 't> Ways<'o, 't> {
    pub(crate) fn new(outline: &'o Outline<'t>) -> Ways<'o, 't> {
        Ways { outline, reached: BTreeMap::new() }
    }

    /// Looks at a read of `nodes.X...` at a place; `None` if it is safe or X does not exist.
    pub(crate) fn possibly_unset(&mut self, place: Place, reference: &Reference) -> Option<Unset> {
        let outline = self.outline;
        // Such a file is refused for its size; looking at every path of it would take long.
        if outline.scopes[place.scope].nodes.len() > NODES_MAX {
            return None;
        }
        let id = reference.path.first()?;
        let owner = outline.chain(place.scope).find(|scope| outline.scopes[*scope].find(id).is_some())?;
        let scope = &outline.scopes[owner];
        let read = scope.find(id)?;
        // What a test or `default` is asked about may be missing, but nothing before it.
        let needed = reference.path.len() - usize::from(reference.tested);
        let needs_output = needed >= 2 && reference.path[1] == "output";
        if needed == 0 {
            return None;
        }
        let guards: Vec<&Guard> = reference.guards.iter().filter(|guard| guard.root == "nodes").collect();
        let holds = |path: &[&str]| {
            guards.iter().any(|guard| {
                guard.defined
                    && guard.path.len() >= path.len()
                    && guard.path.iter().zip(path).all(|(step, wanted)| step == wanted)
            })
        };
        let avoided = guards.iter().filter(|guard| !guard.defined && guard.path.len() == 1);
        let avoided: BTreeSet<usize> = avoided.filter_map(|guard| scope.find(&guard.path[0])).collect();
        let goal = goal(outline, place, owner)?;
        let own = owner == place.scope && place.node == Some(read);
        let start = scope.first()?;
        let entered = own && matches!(place.at, At::After | At::OnFailure);
        if !(entered || holds(&[id])) {
            let blocked: BTreeSet<usize> = avoided.iter().copied().chain([read]).collect();
            if let Some(path) = self.way(owner, start, goal, &blocked) {
                return Some(Unset { test: format!("nodes.{id} is defined"), path, failed: false });
            }
        }
        if !needs_output || holds(&[id, "output"]) || (own && place.at == At::After) {
            return None;
        }
        let failed = |path| {
            Some(Unset {
                test: format!("nodes.{id} is defined and nodes.{id}.output is defined"),
                path,
                failed: true,
            })
        };
        if own && place.at == At::OnFailure {
            return failed(id.clone());
        }
        // The node is there, but its last visit failed and was caught.
        self.way(owner, start, Goal::Node(read), &avoided)?;
        let blocked: BTreeSet<usize> = avoided.into_iter().chain([read]).collect();
        for edge in scope.nodes[read].edges.iter().filter(|edge| edge.by == By::OnFailure) {
            let path = match edge.target {
                Some(Goal::Node(to)) => self.way(owner, to, goal, &blocked),
                Some(Goal::End) => (goal == Goal::End).then(|| "end".to_owned()),
                None => None,
            };
            if let Some(path) = path {
                return failed(format!("{id} -> {path}"));
            }
        }
        None
    }

    /// A shortest way from a node to the goal that goes on from no blocked node, as text.
    fn way(&mut self, scope: usize, start: usize, goal: Goal, blocked: &BTreeSet<usize>) -> Option<String> {
        let outline = self.outline;
        if self.reached.len() > KEPT_MAX {
            self.reached.clear();
        }
        let reached = self
            .reached
            .entry((scope, start, blocked.clone()))
            .or_insert_with(|| Reached::from(&outline.scopes[scope], start, blocked));
        let mut at = match goal {
            Goal::Node(node) => reached.before[node].map(|_| node)?,
            Goal::End => reached.end?,
        };
        let nodes = &outline.scopes[scope].nodes;
        let mut ids = if goal == Goal::End { vec!["end"] } else { Vec::new() };
        ids.push(nodes[at].id);
        while let Some(before) = reached.before[at].filter(|before| *before != at) {
            at = before;
            ids.push(nodes[at].id);
        }
        ids.reverse();
        Some(ids.join(" -> "))
    }
}

impl Reached {
    fn from(scope: &Scope<'_>, start: usize, blocked: &BTreeSet<usize>) -> Reached {
        let mut reached = Reached { before: vec![None; scope.nodes.len()], end: None };
        reached.before[start] = Some(start);
        let mut open = VecDeque::from([start]);
        while let Some(point) = open.pop_front() {
            if blocked.contains(&point) {
                continue;
            }
            for edge in &scope.nodes[point].edges {
                match edge.target {
                    Some(Goal::End) => {
                        reached.end.get_or_insert(point);
                    }
                    Some(Goal::Node(next)) if reached.before[next].is_none() => {
                        reached.before[next] = Some(point);
                        open.push_back(next);
                    }
                    _ => {}
                }
            }
        }
        reached
    }
}

/// The point in scope `owner` at which a place reads it.
fn goal(outline: &Outline<'_>, place: Place, owner: usize) -> Option<Goal> {
    if owner == place.scope {
        return Some(place.node.map_or(Goal::End, Goal::Node));
    }
    let inside = outline.chain(place.scope).take_while(|scope| *scope != owner).last()?;
    Some(Goal::Node(outline.scopes[inside].owner?.node))
}
