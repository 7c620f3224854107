//! R5.4, R5.6: journals of every event version stay readable. `fixtures/events-N` holds small journals as they were written
//! when the events were new, one row a line, with the graph they pin and where they must lead. They are never written
//! again: what folds otherwise than it did is a mistake in the engine.
//!
//! An event type, or an optional field of one, without a fixture fails a test here. To add some: write a scenario in
//! `journal/scenarios.rs` or `journal/asked.rs`, then `BANDSTAND_NEW_FIXTURES=1 cargo test -p bandstand-rules --test journal`; files that are
//! there are left alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "journal/asked.rs"]
mod asked;
#[path = "journal/children.rs"]
mod children;
#[path = "journal/coverage.rs"]
mod coverage;
#[path = "journal/scenarios.rs"]
mod scenarios;
#[path = "journal/tape.rs"]
mod tape;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bandstand_engine::{Event, Graph, Run, Timestamp};
use serde_json::{Value, json};

use tape::view;

/// Where fixtures of the present events go.
const PRESENT: &str = "events-1";

/// A stored journal.
struct Fixture {
    name: String,
    graph: Arc<Graph>,
    rows: Vec<(Timestamp, Vec<Value>)>,
    /// What the run looks like after each row.
    views: Vec<Value>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn fixtures() -> Vec<Fixture> {
    let mut all = Vec::new();
    for version in fs::read_dir(folder()).unwrap().map(Result::unwrap) {
        for file in fs::read_dir(version.path()).unwrap().map(Result::unwrap) {
            let text = fs::read_to_string(file.path()).unwrap();
            let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let graph = lines.next().unwrap()["graph"].take();
            let (mut rows, mut views) = (Vec::new(), Vec::new());
            for mut line in lines {
                let Value::Array(events) = line["events"].take() else { panic!("events are a list") };
                rows.push((Timestamp(line["at"].as_i64().unwrap()), events));
                views.push(line["run"].take());
            }
            let name = file.file_name().into_string().unwrap();
            all.push(Fixture { name, graph: Arc::new(serde_json::from_value(graph).unwrap()), rows, views });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!all.is_empty(), "there are no fixtures");
    all
}

fn write_new() {
    if std::env::var_os("BANDSTAND_NEW_FIXTURES").is_none() {
        return;
    }
    let folder = folder().join(PRESENT);
    fs::create_dir_all(&folder).unwrap();
    for (name, tape) in scenarios::all() {
        let path = folder.join(format!("{name}.jsonl"));
        if path.exists() {
            continue;
        }
        let mut text = json!({ "graph": &**tape.run.graph() }).to_string();
        for ((at, events), view) in tape.rows.iter().zip(&tape.views) {
            text += &format!("\n{}", json!({ "at": at.0, "events": events, "run": view }));
        }
        fs::write(&path, text + "\n").unwrap();
    }
}

/// The events of the rows so far.
fn events(rows: &[(Timestamp, Vec<Value>)]) -> Vec<(Timestamp, Event)> {
    let event = |at: &Timestamp, event: &Value| (*at, serde_json::from_value(event.clone()).unwrap());
    rows.iter().flat_map(|(at, events)| events.iter().map(|e| event(at, e)).collect::<Vec<_>>()).collect()
}

#[test]
fn stored_journals_fold_as_they_did() {
    write_new();
    for fixture in fixtures() {
        for (index, expected) in fixture.views.iter().enumerate() {
            let events = events(&fixture.rows[..=index]);
            let run = Run::fold(fixture.graph.clone(), None, events)
                .unwrap_or_else(|corrupt| panic!("{} row {index}: {corrupt}", fixture.name));
            assert_eq!(&view(&run), expected, "{} after row {index}", fixture.name);
        }
    }
}

/// What is written again says what was read: an event's field that is read and lost would show here.
#[test]
fn stored_events_are_written_as_they_were() {
    for fixture in fixtures() {
        for (_, events) in &fixture.rows {
            for stored in events {
                let event: Event = serde_json::from_value(stored.clone()).unwrap();
                assert_eq!(&serde_json::to_value(&event).unwrap(), stored, "{}", fixture.name);
            }
        }
    }
}

#[test]
fn every_event_type_has_a_fixture() {
    let stored: BTreeSet<String> = fixtures()
        .iter()
        .flat_map(|fixture| fixture.rows.iter().flat_map(|(_, events)| events))
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    let names = coverage::event_names();
    assert!(names.len() > 20, "the names were not found in the engine's source: {names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !stored.contains(*name)).collect();
    assert!(
        missing.is_empty(),
        "no fixture has these events: {missing:?}; the head of this file says how to add one"
    );
}

#[test]
fn every_optional_field_is_there_and_absent_in_some_fixture() {
    let mut seen: BTreeMap<(String, String), (bool, bool)> = BTreeMap::new();
    let structs = coverage::optional_fields();
    assert!(structs.len() > 10, "the fields were not found in the engine's source: {structs:?}");
    for fixture in fixtures() {
        for event in fixture.rows.iter().flat_map(|(_, events)| events) {
            for (owner, object) in coverage::objects(event) {
                for field in structs.get(&owner).into_iter().flatten() {
                    let (there, absent) = seen.entry((owner.clone(), field.clone())).or_default();
                    *there |= object.get(field).is_some();
                    *absent |= object.get(field).is_none();
                }
            }
        }
    }
    let mut missing = Vec::new();
    for (owner, fields) in &structs {
        for field in fields {
            match seen.get(&(owner.clone(), field.clone())) {
                Some((true, true)) => {}
                Some((true, false)) => missing.push(format!("{owner}.{field} is never absent")),
                Some((false, _)) => missing.push(format!("{owner}.{field} is never there")),
                None => missing.push(format!("{owner} is never there")),
            }
        }
    }
    assert!(missing.is_empty(), "the head of this file says how to add them:\n  {}", missing.join("\n  "));
}

/// A scenario whose fixture is there still leads to the same run today: the engine decides as it did, or has a new number
/// of rules.
#[test]
fn every_scenario_has_its_fixture() {
    let names: BTreeSet<String> = fixtures().into_iter().map(|fixture| fixture.name).collect();
    for (name, _) in scenarios::all() {
        assert!(
            names.contains(&format!("{name}.jsonl")),
            "{name} has no fixture; the head of this file says how"
        );
    }
}
