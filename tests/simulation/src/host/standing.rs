//! How parents stand: what is shown of them must be what is durable of all runs below them.

use std::collections::BTreeSet;

use bandstand_driver::{RunId, Standing};

use super::{Case, Host};
use crate::check::{Problem, problem};

impl Host<'_> {
    /// Whether the present process has given up a run below that one.
    pub(super) fn is_stuck_below(&self, run_id: &RunId) -> bool {
        self.children_of(run_id).any(|(child, case)| case.stuck || self.is_stuck_below(child))
    }

    /// The child runs that a run owes and that have begun to be looked for.
    fn children_of(&self, run_id: &RunId) -> impl Iterator<Item = (&RunId, &Case)> {
        let parent = self.cases.get(run_id).map(|case| &case.checker);
        let owed = parent
            .into_iter()
            .flat_map(|checker| checker.owed().iter().filter_map(|id| checker.children.get(id)));
        owed.filter_map(|child| self.cases.get_key_value(child.as_str()))
    }

    /// To be called when nothing is on its way to the disk: memory is what is durable.
    pub(super) fn check_standings(&self) -> Result<(), Problem> {
        for run in self.core.runs() {
            let Some((run_id, case)) = self.cases.get_key_value(run.id()) else { continue };
            let Some(Standing::People { reviews }) = &case.standing else { continue };
            if case.checker.children.is_empty() || case.checker.ended().is_some() || case.checker.is_paused()
            {
                continue;
            }
            let mut open = BTreeSet::new();
            if let Some(at_work) = self.reviews_below(run_id, &mut open) {
                return problem(format!("{run_id} waits for people, by what is shown, but {at_work}"));
            }
            let shown: BTreeSet<String> = reviews.iter().cloned().collect();
            if shown != open {
                return problem(format!("{run_id} shows the reviews {shown:?}, open are {open:?}"));
            }
        }
        Ok(())
    }

    /// The open reviews of a run and of those below it; or, in words, what is at work there.
    fn reviews_below(&self, run_id: &RunId, open: &mut BTreeSet<String>) -> Option<String> {
        let case = self.cases.get(run_id)?;
        if case.stuck {
            return None;
        }
        if !case.is_there() {
            return Some(format!("{run_id} is about to begin"));
        }
        if case.checker.ended().is_some() {
            return Some(format!("{run_id} has ended, and its parent does not know"));
        }
        if case.checker.is_paused() {
            return None;
        }
        if case.checker.owed().iter().any(|id| !case.checker.children.contains_key(id)) {
            return Some(format!("calls of {run_id} are owed"));
        }
        let run = case.checker.run()?;
        open.extend(run.open_reviews().into_iter().map(|review| review.review_id));
        self.children_of(run_id).find_map(|(child, _)| self.reviews_below(child, open))
    }
}
