//! Whether a node has surely run, and succeeded, where its output is read (`BW312`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bandstand_engine::expression::{Guard, Reference};

use crate::outline::{By, Outline, Scope};
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

/// Where a path ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Node(usize),
    End,
}

/// Looks at a read of `nodes.X...` at a place; `None` if it is safe or X does not exist.
pub(crate) fn possibly_unset(outline: &Outline<'_>, place: Place, reference: &Reference) -> Option<Unset> {
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
            guard.defined && guard.path.len() >= path.len() && guard.path.iter().zip(path).all(|(step, wanted)| step == wanted)
        })
    };
    let avoided = guards.iter().filter(|guard| !guard.defined && guard.path.len() == 1);
    let avoided: BTreeSet<usize> = avoided.filter_map(|guard| scope.find(&guard.path[0])).collect();
    let goal = goal(outline, place, owner)?;
    let own = owner == place.scope && place.node == Some(read);
    let start = scope.first()?;
    if !(own && matches!(place.at, At::After | At::OnFailure)) && !holds(&[id]) {
        let blocked: BTreeSet<usize> = avoided.iter().copied().chain([read]).collect();
        if let Some(path) = way(scope, start, goal, &blocked) {
            return Some(Unset { test: format!("nodes.{id} is defined"), path, failed: false });
        }
    }
    if !needs_output || holds(&[id, "output"]) || (own && place.at == At::After) {
        return None;
    }
    let failed = |path| Some(Unset { test: format!("nodes.{id} is defined and nodes.{id}.output is defined"), path, failed: true });
    if own && place.at == At::OnFailure {
        return failed(id.clone());
    }
    // The node is there, but its last visit failed and was caught.
    way(scope, start, Goal::Node(read), &avoided)?;
    let blocked: BTreeSet<usize> = avoided.into_iter().chain([read]).collect();
    for edge in scope.nodes[read].edges.iter().filter(|edge| edge.by == By::OnFailure) {
        let to = edge.to.text()?;
        let path = match scope.find(to) {
            Some(to) => way(scope, to, goal, &blocked),
            None => (to == "end" && goal == Goal::End).then(|| "end".to_owned()),
        };
        if let Some(path) = path {
            return failed(format!("{id} -> {path}"));
        }
    }
    None
}

/// The point in scope `owner` at which a place reads it.
fn goal(outline: &Outline<'_>, place: Place, owner: usize) -> Option<Goal> {
    if owner == place.scope {
        return Some(place.node.map_or(Goal::End, Goal::Node));
    }
    let inside = outline.chain(place.scope).take_while(|scope| *scope != owner).last()?;
    Some(Goal::Node(outline.scopes[inside].owner?.node))
}

/// A shortest way from a node to the goal that enters no blocked node, as text.
fn way(scope: &Scope<'_>, start: usize, goal: Goal, blocked: &BTreeSet<usize>) -> Option<String> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut seen = BTreeSet::from([start]);
    let mut open = VecDeque::from([start]);
    let text = |came_from: &BTreeMap<usize, usize>, last: usize, end: bool| {
        let mut ids = vec![scope.nodes[last].id];
        let mut at = last;
        while let Some(before) = came_from.get(&at) {
            at = *before;
            ids.push(scope.nodes[at].id);
        }
        ids.reverse();
        if end {
            ids.push("end");
        }
        ids.join(" -> ")
    };
    while let Some(point) = open.pop_front() {
        if goal == Goal::Node(point) {
            return Some(text(&came_from, point, false));
        }
        if blocked.contains(&point) {
            continue;
        }
        for edge in &scope.nodes[point].edges {
            let Some(to) = edge.to.text() else { continue };
            if to == "end" && edge.by != By::Goto && goal == Goal::End {
                return Some(text(&came_from, point, true));
            }
            if let Some(next) = scope.find(to)
                && seen.insert(next)
            {
                came_from.insert(next, point);
                open.push_back(next);
            }
        }
    }
    None
}
