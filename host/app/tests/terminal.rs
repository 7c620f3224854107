//! The real binary on a real pseudo-terminal: it asks, draws, and hears Ctrl-C.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod agent;
mod bandstand;
mod pty;

use std::time::{Duration, Instant};

use agent::workflow;
use bandstand::Folder;
use pty::{CTRL_C, Terminal};
use serde_json::json;

/// Waits for a second and asks a person then.
const ASKING: &str = "\
format: 1
name: asking
version: 1
nodes:
  pause: { wait: { for: 1s }, next: ask }
  ask:
    stage: review
    review:
      title: Take it?
      propose: { amount: 5 }
      form: { type: object, properties: { amount: { type: integer } } }
    approved: end
    rejected: end
result: { amount: \"${{ review.value.amount }}\", by: \"${{ review.decided_by }}\" }
";
/// Moves the cursor up and clears what is below.
const CLEARS: &str = "A\u{1b}[J";

/// Not a test: the process that becomes the binary.
#[test]
fn child_on_a_terminal() {
    pty::become_the_binary();
}

fn asking() -> Folder {
    let folder = Folder::new();
    folder.write("flow.yaml", ASKING);
    folder
}

fn the_run(folder: &Folder) -> serde_json::Value {
    let runs = folder.call(&["runs", "list", "--json"]).expect(0, &[]).lines();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

// R2.1, R2.3
#[test]
fn a_review_is_asked_on_the_terminal_and_what_is_typed_there_goes_on_to_the_end() {
    let folder = asking();
    let mut terminal = Terminal::start(&folder, &["run", "flow.yaml"], &[]);
    for part in ["Review:", "Take it?", "\"amount\": 5", "As tester: [a]pprove, [e]dit, [r]eject, [l]ater? "]
    {
        terminal.until(part);
    }
    // What is no answer is asked again.
    terminal.type_in("what\n");
    terminal.until("As tester: ");
    terminal.type_in("e\n");
    terminal.until("JSON merge patch");
    // An edit that the form refuses is said, and asked again.
    terminal.type_in("{\"amount\": \"many\"}\n");
    terminal.until("Comments");
    terminal.type_in("\n");
    terminal.until("amount");
    terminal.until("[l]ater? ");
    terminal.type_in("e\n");
    terminal.until("JSON merge patch");
    terminal.type_in("{\"amount\": 4}\n");
    terminal.until("Comments");
    terminal.type_in("less will do\n");
    terminal.wait().expect(0, &["\"amount\": 4", "\"by\": \"tester\""]);
    let run = the_run(&folder);
    let shown = folder.call(&["runs", "show", run["run_id"].as_str().unwrap(), "--json"]).json();
    assert_eq!(shown["result"], json!({"amount": 4, "by": "tester"}));
    assert_eq!(shown["reviews"][0]["answers"][0]["comments"], "less will do");
}

// R2.1
#[test]
fn whoever_answers_later_gets_the_commands_for_it_and_exit_code_4() {
    let folder = asking();
    let mut terminal = Terminal::start(&folder, &["run", "flow.yaml"], &[]);
    terminal.until("[l]ater? ");
    terminal.type_in("l\n");
    terminal.wait().expect(4, &["waits for 1 review", "bandstand review approve"]);
    // Nobody is asked who does not want to be.
    let id = the_run(&folder)["run_id"].as_str().unwrap().to_owned();
    let left = Terminal::start(&folder, &["runs", "drive", &id, "--no-ask"], &[]).wait();
    let left = left.expect(4, &["waits for 1 review"]);
    assert!(!left.shown.contains("[l]ater?"), "{left:#?}");
    // The end of the input is no answer, either.
    let mut terminal = Terminal::start(&folder, &["runs", "drive", &id], &[]);
    terminal.until("[l]ater? ");
    terminal.type_in("\u{4}");
    terminal.wait().expect(4, &["waits for 1 review"]);
}

// R5.1
#[test]
fn a_terminal_shows_a_live_tree_and_everything_else_plain_lines() {
    let folder = asking();
    let left = Terminal::start(&folder, &["run", "flow.yaml", "--no-ask"], &[]).wait();
    let left = left.expect(4, &["asking ", "pause", "ask", "waiting", CLEARS]);
    assert!(left.shown.matches(CLEARS).count() > 3, "it is drawn again and again: {left:#?}");
    // A terminal that cannot move its cursor.
    let left = Terminal::start(&folder, &["run", "flow.yaml", "--no-ask"], &[("TERM", "dumb")]).wait();
    let left = left.expect(4, &["pause@1", "ask@1"]);
    assert!(!left.shown.contains('\u{1b}'), "{left:#?}");
    // A file, though stdin and stdout are a terminal.
    let left = Terminal::start_with_stderr_in(&folder, "told", &["run", "flow.yaml"]).wait();
    let left = left.expect(4, &[]);
    assert_eq!(left.shown, "", "nobody is asked who would not see the question");
    let told = std::fs::read_to_string(folder.path().join("told")).unwrap();
    assert!(told.contains("pause@1") && told.contains("ask@1"), "{told}");
    assert!(!told.contains('\u{1b}'), "{told}");
    // And no terminal at all.
    let ended = folder.call(&["run", "flow.yaml"]).expect(4, &["pause@1", "ask@1"]);
    assert!(!ended.stderr.contains('\u{1b}'), "{ended:#?}");
}

// R1.6, R5.4
#[test]
fn ctrl_c_ends_in_order_and_the_run_goes_on_later() {
    let folder = asking();
    let mut terminal = Terminal::start(&folder, &["run", "flow.yaml"], &[]);
    terminal.until("pause");
    terminal.type_in(CTRL_C);
    let left = terminal.wait().expect(130, &["interrupted; run", "stays as it is"]);
    let id = the_run(&folder)["run_id"].as_str().unwrap().to_owned();
    assert!(left.shown.contains(&format!("bandstand runs drive {id}")), "{left:#?}");
    // At the question, too, though a thread waits for what is typed.
    let mut terminal = Terminal::start(&folder, &["runs", "drive", &id], &[]);
    terminal.until("[l]ater? ");
    terminal.type_in(CTRL_C);
    terminal.wait().expect(130, &["interrupted; run"]);
    let mut terminal = Terminal::start(&folder, &["runs", "drive", &id], &[]);
    terminal.until("[l]ater? ");
    terminal.type_in("a\n");
    terminal.until("Comments");
    terminal.type_in("\n");
    terminal.wait().expect(0, &["\"amount\": 5"]);
    assert_eq!(the_run(&folder)["status"], "succeeded");
}

// R1.6, R5.4
#[test]
fn a_second_ctrl_c_does_not_wait_for_the_calls() {
    let folder = Folder::new();
    folder.write("agent.wasm", bandstand_test_guests::endless_loop());
    folder.write("flow.yaml", workflow("{ path: agent.wasm }"));
    let marks = || std::fs::read(folder.path().join(".bandstand/inflight")).unwrap();
    let is_marked = || marks().windows(5).any(|window| window == b"ask@1");
    let until_it_works = || {
        let begun = Instant::now();
        while !is_marked() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the call begins");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    // Once: the call gets a moment, and nothing was interrupted.
    let mut terminal = Terminal::start(&folder, &["run", "flow.yaml"], &[]);
    terminal.until("ask");
    until_it_works();
    terminal.type_in(CTRL_C);
    terminal.wait().expect(130, &["interrupted; run"]);
    assert!(!is_marked(), "an end in order leaves no mark");
    let id = the_run(&folder)["run_id"].as_str().unwrap().to_owned();
    // Again and again: it ends before it could say anything, as if it was killed.
    let mut terminal = Terminal::start(&folder, &["runs", "drive", &id], &[]);
    terminal.until("ask");
    until_it_works();
    while !terminal.has_ended() {
        terminal.type_in(CTRL_C);
        std::thread::sleep(Duration::from_millis(30));
    }
    let left = terminal.wait().expect(130, &[]);
    assert!(!left.shown.contains("interrupted; run"), "{left:#?}");
    assert!(is_marked(), "the next process finds what was interrupted");
    assert_eq!(the_run(&folder)["status"], "running");
    folder.call(&["runs", "cancel", &id, "--yes", "--by", "ada"]).expect(0, &[]);
}
