//! Blocks: branches and items one by one, in the order in which the journal says they ended, and the join.

use std::collections::BTreeMap;

use bandstand_engine::Id;
use bandstand_engine::event::BranchKey;
use bandstand_engine::failure::Class;
use bandstand_engine::graph::{Body, Join, Map, MaxErrors, Parallel};
use bandstand_engine::path::{Path, Segment};
use serde_json::{Value, json};

use super::names::{self, Scope};
use super::{Done, Fault, Leave, Oracle, Outcome, Stop, at};

/// A branch or item that ended.
struct Ended {
    result: Result<Value, Fault>,
    writes: Vec<names::Write>,
}

impl Ended {
    fn failed(fault: Fault) -> Ended {
        Ended { result: Err(fault), writes: Vec::new() }
    }
}

impl Oracle<'_> {
    pub(super) fn parallel(
        &mut self,
        parallel: &Parallel,
        path: &Path,
        scope: &mut Scope<'_>,
    ) -> Outcome<Done> {
        let mut ended: BTreeMap<usize, Ended> = BTreeMap::new();
        let keys: Vec<BranchKey> =
            parallel.branches.iter().map(|branch| BranchKey::Name(branch.id.clone())).collect();
        let find = |id: &Id| parallel.branches.iter().position(|branch| branch.id == *id);
        let order = self.facts.order(path);
        for key in order {
            let Some(index) = keys.iter().position(|known| known == key) else {
                return Err(Stop::Impossible(format!("{path} has no branch {key:?}")));
            };
            if self.settled(path, parallel.join, parallel.max_errors, keys.len(), &ended).is_some() {
                // Branches that `after` rules out are skipped at once, before the join is looked at.
                let needs = &parallel.branches[index].after;
                let lost =
                    needs.iter().filter_map(find).any(|at| ended.get(&at).is_some_and(|e| e.result.is_err()));
                if !lost {
                    return Err(Stop::Impossible(format!(
                        "{path}: branch {key:?} ended after the join was decided"
                    )));
                }
            }
            let branch = &parallel.branches[index];
            let needs: Vec<usize> = branch.after.iter().filter_map(find).collect();
            let inner_path = path.join(Segment::Branch(branch.id.clone()));
            if needs.iter().any(|at| ended.get(at).is_some_and(|needed| needed.result.is_err())) {
                ended.insert(index, Ended::failed(Fault::new(Class::Skipped, "needs", &inner_path)));
                continue;
            }
            if needs.iter().any(|at| !ended.contains_key(at)) {
                return Err(Stop::Impossible(format!("{inner_path} ended before what it waits for")));
            }
            let mut all: Vec<usize> = Vec::new();
            let mut open = needs;
            while let Some(at) = open.pop() {
                if !all.contains(&at) {
                    all.push(at);
                    open.extend(parallel.branches[at].after.iter().filter_map(find));
                }
            }
            all.sort_unstable();
            let mut inner = scope.fork(inner_path.clone());
            for at in all {
                let needed = &ended[&at];
                let result =
                    needed.result.as_ref().map_err(|_| Stop::Impossible("a need failed".to_owned()))?;
                inner.branches.insert(parallel.branches[at].id.to_string(), json!({ "result": result }));
                for write in &needed.writes {
                    inner.inherit(self.world, write).map_err(|(_, code)| Stop::Impossible(code))?;
                }
            }
            let told = self.branch(&branch.body, branch.result.as_ref(), &mut inner)?;
            ended.insert(index, told);
        }
        let named = |pick: &dyn Fn(&Ended) -> Option<Value>| -> Value {
            let members =
                ended.iter().filter_map(|(at, e)| Some((parallel.branches[*at].id.to_string(), pick(e)?)));
            Value::Object(members.collect())
        };
        let output = json!({
            "results": named(&|e: &Ended| e.result.as_ref().ok().cloned()),
            "errors": named(&|e: &Ended| e.result.as_ref().err().map(Fault::visible)),
            "times": null,
        });
        self.joined(path, parallel.join, parallel.max_errors, keys.len(), &ended, output)
    }

    pub(super) fn map(
        &mut self,
        map: &Map,
        items: Vec<Value>,
        path: &Path,
        scope: &mut Scope<'_>,
    ) -> Outcome<Done> {
        let mut ended: BTreeMap<usize, Ended> = BTreeMap::new();
        for key in self.facts.order(path) {
            let BranchKey::Item(item) = key else {
                return Err(Stop::Impossible(format!("{path} has no branch {key:?}")));
            };
            let index = usize::try_from(*item).unwrap_or(usize::MAX);
            let Some(value) = items.get(index) else {
                return Err(Stop::Impossible(format!("{path} has no item {item}")));
            };
            if self.settled(path, map.join, map.max_errors, items.len(), &ended).is_some() {
                return Err(Stop::Impossible(format!(
                    "{path}: item {item} ended after the join was decided"
                )));
            }
            let mut inner = scope.fork(path.join(Segment::Item(*item)));
            inner.items.insert(map.item.to_string(), value.clone());
            inner.items.insert(format!("{}_index", map.item), json!(item));
            let told = self.branch(&map.body, map.result.as_ref(), &mut inner)?;
            ended.insert(index, told);
        }
        let results: Vec<Value> = ended.values().filter_map(|e| e.result.as_ref().ok().cloned()).collect();
        let errors: Vec<Value> = ended
            .iter()
            .filter_map(|(at, e)| {
                Some(json!({ "index": at, "item": items[*at], "error": e.result.as_ref().err()?.visible() }))
            })
            .collect();
        let output = json!({ "results": results, "errors": errors, "times": null });
        self.joined(path, map.join, map.max_errors, items.len(), &ended, output)
    }

    fn branch(
        &mut self,
        body: &Body,
        result: Option<&bandstand_engine::expression::Template>,
        inner: &mut Scope<'_>,
    ) -> Outcome<Ended> {
        let told = self.body(body, inner).and_then(|last| match result {
            None => Ok(last),
            Some(template) => {
                inner.template(self.world, template, &names::Extra::output(&last)).map_err(at(&inner.path))
            }
        });
        let result = match told {
            Ok(value) => Ok(value),
            Err(Stop::Fault(fault) | Stop::Limit(fault)) => Err(*fault),
            Err(impossible) => return Err(impossible),
        };
        Ok(Ended { result, writes: std::mem::take(&mut inner.writes) })
    }

    /// Whether the join is decided, by what has ended: satisfied, or the code of the failure.
    fn settled(
        &self,
        _path: &Path,
        join: Join,
        max_errors: Option<MaxErrors>,
        total: usize,
        ended: &BTreeMap<usize, Ended>,
    ) -> Option<Result<(), &'static str>> {
        let good = ended.values().filter(|e| e.result.is_ok()).count();
        let bad = ended.len() - good;
        match join {
            Join::Settle => {
                let allowed = match max_errors {
                    None => total,
                    Some(MaxErrors::Count(count)) => usize::try_from(count).unwrap_or(usize::MAX),
                    Some(MaxErrors::Percent(percent)) => total * percent as usize / 100,
                };
                match () {
                    () if bad > allowed => Some(Err("too-many-errors")),
                    () if ended.len() < total => None,
                    () if good > 0 || total == 0 => Some(Ok(())),
                    () => Some(Err("all-failed")),
                }
            }
            Join::All if bad > 0 => Some(Err("branch-failed")),
            Join::All => (good == total).then_some(Ok(())),
            Join::Any if good > 0 => Some(Ok(())),
            Join::Any => (bad == total).then_some(Err("all-failed")),
            Join::Quorum(needed) => {
                let needed = needed as usize;
                match () {
                    () if good >= needed => Some(Ok(())),
                    () if total - bad < needed => Some(Err("quorum-lost")),
                    () => None,
                }
            }
        }
    }

    fn joined(
        &mut self,
        path: &Path,
        join: Join,
        max_errors: Option<MaxErrors>,
        total: usize,
        ended: &BTreeMap<usize, Ended>,
        output: Value,
    ) -> Outcome<Done> {
        self.facts.gathered.borrow_mut().insert(path.clone(), output.clone());
        let failed = |class: Class, code: &str| {
            let mut fault = Fault::new(class, code, path);
            fault.block = Some((output["results"].clone(), output["errors"].clone()));
            Err(Stop::Fault(Box::new(fault)))
        };
        let verdict = self.settled(path, join, max_errors, total, ended);
        if self.facts.timed_out.contains(path) {
            return match verdict {
                None => failed(Class::Timeout, "block-timeout"),
                Some(_) => Err(Stop::Impossible(format!("{path} timed out after its join was decided"))),
            };
        }
        match verdict {
            // The failure is not in the journal when `on-failure` itself failed.
            None if self.facts.overdue.contains(path) => failed(Class::Timeout, "block-timeout"),
            None => Err(Stop::Impossible(format!("{path} was joined before its join was decided"))),
            Some(Err(code)) => failed(Class::Join, code),
            Some(Ok(())) => {
                let joined = ended
                    .values()
                    .filter(|e| e.result.is_ok())
                    .flat_map(|e| e.writes.iter().cloned())
                    .collect();
                Ok(Done { output, confidence: None, leave: Leave::Edges, joined, attempts: 1 })
            }
        }
    }
}
