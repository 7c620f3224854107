//! Arrows between numbered points: what is reached, and which circles there are. No recursion, so no graph is too deep.

use std::collections::{BTreeMap, BTreeSet};

use crate::outline::{Goal, Scope};

/// A directed graph over `0..count`.
pub(crate) struct Arrows {
    to: Vec<BTreeSet<usize>>,
}

impl Arrows {
    pub(crate) fn new(count: usize) -> Arrows {
        Arrows { to: vec![BTreeSet::new(); count] }
    }

    /// All edges between the nodes of a scope.
    pub(crate) fn of_scope(scope: &Scope<'_>) -> Arrows {
        let mut arrows = Arrows::new(scope.nodes.len());
        for (from, step) in scope.nodes.iter().enumerate() {
            for edge in &step.edges {
                if let Some(Goal::Node(to)) = edge.target {
                    arrows.add(from, to);
                }
            }
        }
        arrows
    }

    pub(crate) fn add(&mut self, from: usize, to: usize) {
        self.to[from].insert(to);
    }

    /// Everything that can be reached from a point, itself included.
    pub(crate) fn reached(&self, from: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(point) = open.pop() {
            for next in &self.to[point] {
                if reached.insert(*next) {
                    open.push(*next);
                }
            }
        }
        reached
    }

    /// The strongly connected parts that hold a circle, each sorted, in order of their first point.
    pub(crate) fn circles(&self) -> Vec<Vec<usize>> {
        let mut order = Vec::new();
        let mut seen = vec![false; self.to.len()];
        for root in 0..self.to.len() {
            if std::mem::replace(&mut seen[root], true) {
                continue;
            }
            let mut open = vec![(root, self.to[root].iter())];
            while let Some((point, rest)) = open.last_mut() {
                match rest.next() {
                    Some(next) if !seen[*next] => {
                        seen[*next] = true;
                        open.push((*next, self.to[*next].iter()));
                    }
                    Some(_) => {}
                    None => {
                        order.push(*point);
                        open.pop();
                    }
                }
            }
        }
        let mut back = vec![Vec::new(); self.to.len()];
        for (from, targets) in self.to.iter().enumerate() {
            targets.iter().for_each(|to| back[*to].push(from));
        }
        let mut part_of = vec![usize::MAX; self.to.len()];
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for root in order.into_iter().rev() {
            if part_of[root] != usize::MAX {
                continue;
            }
            let (number, mut part, mut open) = (parts.len(), Vec::new(), vec![root]);
            part_of[root] = number;
            while let Some(point) = open.pop() {
                part.push(point);
                for from in &back[point] {
                    if part_of[*from] == usize::MAX {
                        part_of[*from] = number;
                        open.push(*from);
                    }
                }
            }
            part.sort_unstable();
            parts.push(part);
        }
        parts.retain(|part| part.len() > 1 || self.to[part[0]].contains(&part[0]));
        parts.sort();
        parts
    }

    /// A way from `first` round to itself inside a part, with `first` at both ends.
    pub(crate) fn round(&self, part: &[usize], first: usize) -> Vec<usize> {
        let inside: BTreeSet<usize> = part.iter().copied().collect();
        let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut open = std::collections::VecDeque::from([first]);
        while let Some(point) = open.pop_front() {
            for next in self.to[point].iter().filter(|next| inside.contains(next)) {
                if *next == first {
                    let mut way = vec![first, point];
                    while let Some(before) = came_from.get(&way[way.len() - 1]) {
                        way.push(*before);
                    }
                    way.reverse();
                    return way;
                }
                if *next != first && !came_from.contains_key(next) {
                    came_from.insert(*next, point);
                    open.push_back(*next);
                }
            }
        }
        vec![first]
    }
}
