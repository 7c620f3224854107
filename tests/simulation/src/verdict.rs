//! Holds a run that has ended against the oracle.

use std::collections::BTreeMap;

use bandstand_engine::{Run, Status};

use crate::check::{Checker, Problem, problem};
use crate::children::Children;
use crate::generate::World;
use crate::oracle;
use crate::script::normal;
use crate::verbs::Sent;

/// Whether the run came to what the language says, given how its child runs ended.
pub fn judge(
    world: &World,
    checker: &Checker,
    run: &Run,
    sent: Sent,
    children: &dyn Children,
) -> Result<(), Problem> {
    if run.status() == Status::Cancelled {
        return if sent.cancel { Ok(()) } else { problem("the run is cancelled, but nobody asked for it") };
    }
    if run.status() == Status::Killed {
        return if sent.kill { Ok(()) } else { problem("the run is killed, but nobody asked for it") };
    }
    if checker.timed_out() {
        return Ok(());
    }
    let expected =
        oracle::expect(world, &checker.facts, children).map_err(|oracle::Impossible(what)| Problem(what))?;
    let end = match (run.output(), run.error()) {
        (Some(output), _) => Ok(normal(output)),
        (None, Some(error)) => {
            let failure = &error.failure;
            Err((failure.class.name().to_owned(), failure.code.clone(), error.path.to_string()))
        }
        (None, None) => return problem("the run has neither output nor error"),
    };
    visits(&expected.visits, checker)?;
    if end != expected.end {
        return problem(format!("the run came to\n  {end:?}, by the language to\n  {:?}", expected.end));
    }
    let state: BTreeMap<String, _> =
        run.channels().iter().map(|(id, value)| (id.to_string(), normal(value))).collect();
    if state != expected.state {
        return problem(format!("the state is\n  {state:?}, by the language\n  {:?}", expected.state));
    }
    for (path, attempts) in &expected.attempts {
        let last = checker.attempts(path);
        if last != *attempts {
            return problem(format!("{path} had {last} attempts, by the language {attempts}"));
        }
    }
    Ok(())
}

fn visits(expected: &BTreeMap<String, Vec<String>>, checker: &Checker) -> Result<(), Problem> {
    for (path, steps) in expected {
        let Some(found) = checker.visits.get(path) else {
            return problem(format!("{path} was not visited; by the language: {steps:?}"));
        };
        let same = found.len() == steps.len() && found.iter().zip(steps).all(|(a, b)| is_same(a, b));
        if !same {
            return problem(format!("{path} did\n  {found:?}, by the language\n  {steps:?}"));
        }
    }
    for path in checker.visits.keys() {
        if !expected.contains_key(path) && !checker.is_in_cancelled(path) {
            return problem(format!(
                "{path} was visited, by the language it is not: {:?}",
                checker.visits[path]
            ));
        }
    }
    Ok(())
}

/// `*` stands for an output that the journal only refers to.
fn is_same(found: &str, expected: &str) -> bool {
    found == expected
        || (found.starts_with("succeeded * ")
            && expected.starts_with("succeeded ")
            && found.rsplit(' ').next() == expected.rsplit(' ').next())
}
