//! One example from its files to its end: checked, run case by case, reviews answered, commands and README compared.

use std::fs;

use serde_json::{Value, json};

use crate::expected::{Answer, Case, Expected};
use crate::pattern::differences;
use crate::program::{Ended, Program};
use crate::{readme, root};

/// Runs everything that `examples/NAME/expected.json` names and gives back the result or error of each case.
///
/// # Panics
/// With the place, when something is not as the files promise.
pub fn run(name: &str) -> Vec<Value> {
    let folder = root().join("examples").join(name);
    let text = fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: Expected =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}/expected.json: {error}"));
    let program = Program::find();
    let workflow = format!("examples/{name}/workflow.yaml");

    let checked = program.call(&["check", &workflow]);
    assert_eq!(checked.code, 0, "{checked}");
    assert!(!checked.stderr.contains("warning") && !checked.stdout.contains("warning"), "{checked}");

    let came_to: Vec<Value> = expected.cases.iter().map(|case| run_case(&program, name, case)).collect();
    for command in &expected.commands {
        let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
        let ended = program.json(&args);
        assert_eq!(ended.code, 0, "{ended}");
        let found = differences(&json!(command.lines), &json!(ended.lines()));
        assert!(found.is_empty(), "{name}: {found:#?}\n{ended}");
    }
    readme::compare(name, &came_to);
    came_to
}

/// One run; gives back its result or error.
fn run_case(program: &Program, example: &str, case: &Case) -> Value {
    let workflow = format!("examples/{example}/workflow.yaml");
    let input = match &case.input {
        Value::String(file) => format!("@examples/{example}/{file}"),
        inline => inline.to_string(),
    };
    let mut args = vec!["run", &workflow, "--input", &input];
    args.extend(case.thread.iter().flat_map(|thread| ["--thread", thread.as_str()]));
    let replies = case.replies.iter().map(|file| format!("examples/{example}/{file}")).next();
    args.extend(replies.iter().flat_map(|file| ["--replies", file.as_str()]));
    let mut ended = program.json(&args);
    for answer in &case.answers {
        ended = answered(program, &ended, answer);
    }
    let outcome = ended.outcome();
    assert_eq!(ended.code, case.exit_code, "{example}, {}: {ended}", case.name);
    assert_eq!(outcome["status"], *case.status, "{example}, {}: {ended}", case.name);
    for (member, pattern) in [("result", &case.result), ("error", &case.error)] {
        let Some(pattern) = pattern else {
            assert_eq!(outcome.get(member), None, "{example}, {}: {ended}", case.name);
            continue;
        };
        let found = differences(pattern, &outcome[member]);
        assert!(found.is_empty(), "{example}, {}: {found:#?}\n{:#}", case.name, outcome[member]);
    }
    if outcome["result"].is_null() { outcome["error"].clone() } else { outcome["result"].clone() }
}

/// Answers the one review that the command left open; the run goes on to its end or its next review.
fn answered(program: &Program, before: &Ended, answer: &Answer) -> Ended {
    assert_eq!(before.code, 4, "a review was expected ({}): {before}", answer.title);
    let outcome = before.outcome();
    let reviews = outcome["reviews"].as_array().unwrap();
    assert_eq!(reviews.len(), 1, "{before}");
    let id = reviews[0].as_str().unwrap();
    let shown = program.json(&["review", "show", id]);
    let review = shown.lines().pop().unwrap_or_else(|| panic!("{shown}"));
    assert_eq!(review["title"], *answer.title, "{shown}");
    assert_eq!(review["run_id"], outcome["run_id"], "{shown}");
    if let Some(proposed) = &answer.proposed {
        let found = differences(proposed, &review["proposed"]);
        assert!(found.is_empty(), "{found:#?}\n{shown}");
    }
    let listed = program.json(&["review", "list"]);
    assert!(listed.lines().iter().any(|line| line["review_id"] == *id), "{listed}");

    let mut args = vec!["review", answer.verb.as_str(), id, "--by", "ann"];
    args.extend(answer.comments.iter().flat_map(|comments| ["--comments", comments.as_str()]));
    let changes = answer.changes.as_ref().map(Value::to_string);
    args.extend(changes.iter().flat_map(|changes| ["--changes", changes.as_str()]));
    program.json(&args)
}
