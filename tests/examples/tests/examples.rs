//! Every example, run with the real program. What each must come to stands in its `expected.json`; here is only what
//! a pattern cannot say.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use bandstand_examples::{names, root, run};
use serde_json::Value;

// R1.1, R1.3, R1.5, R1.7, R1.8
#[test]
fn error_recovery() {
    run("01-error-recovery");
}

// R2.2, R2.3, R2.5, R2.6
#[test]
fn human_review() {
    run("02-human-review");
}

// R3.1, R3.2, R3.3, R3.4, R3.6
#[test]
fn routing() {
    run("03-routing");
}

// R4.1, R4.2, R4.3, R4.4, R4.5
#[test]
fn parallel() {
    run("04-parallel");
}

// R6.1, R6.2, R6.4
#[test]
fn memory() {
    run("05-memory");
}

// R8.1
#[test]
fn licence_review() {
    let results = run("06-licence-review");
    let reports = results.iter().filter_map(|result| result["markdown"].as_str());
    assert!(reports.clone().count() > 1);
    reports.for_each(|report| assert!(report.starts_with("# ") && report.contains("\n## Risk\n"), "{report}"));
}

#[test]
fn every_example_has_its_files_and_a_test() {
    let own = fs::read_to_string(root().join("tests/examples/tests/examples.rs")).unwrap();
    let all = names();
    assert!(all.len() >= 6, "{all:?}");
    for name in all {
        for file in ["README.md", "workflow.yaml", "input.json", "expected.json"] {
            assert!(root().join("examples").join(&name).join(file).is_file(), "examples/{name} has no {file}");
        }
        assert!(own.contains(&format!("run(\"{name}\")")), "no test runs examples/{name}");
    }
}

/// The inputs carry the texts so that one file is enough to run; the texts are what people read.
#[test]
fn the_inputs_of_the_licence_review_hold_the_texts_unchanged() {
    let folder = root().join("examples/06-licence-review");
    let inputs = fs::read_dir(folder.join("inputs")).unwrap().map(|entry| entry.unwrap().path());
    let pairs = inputs.map(|path| (path.clone(), path.file_stem().unwrap().to_str().unwrap().to_owned()));
    let pairs: Vec<_> = pairs.chain([(folder.join("input.json"), "gpl-3.0".to_owned())]).collect();
    assert!(pairs.len() >= 5);
    for (input, name) in pairs {
        let value: Value = serde_json::from_str(&fs::read_to_string(&input).unwrap()).unwrap();
        let text = fs::read_to_string(folder.join("texts").join(format!("{name}.txt"))).unwrap();
        assert!(value["text"] == *text, "{} does not hold texts/{name}.txt", input.display());
    }
}
