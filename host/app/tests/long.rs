//! Runs with much to tell: what is shown of them is bounded, and all of it can be paged through (R5.3).

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use bandstand::Folder;

/// A route taken 150 times.
const FLOW: &str = "\
format: 1
name: long
version: 1
plugins: { echo: { builtin: echo } }
nodes:
  pick:
    agent: echo
    input: { n: \"${{ visit }}\" }
    route:
      options: \"[{'name': 'again' if visit < 150 else 'done', 'confidence': 1.0}]\"
      to: { again: pick, done: end }
";

#[test]
fn the_newest_entries_are_shown_and_the_others_are_counted() {
    let folder = Folder::new();
    folder.write("flow.yaml", FLOW);
    let run_id = folder.call(&["run", "flow.yaml", "--json"]).expect(0, &[]).last()["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let shown = folder.call(&["runs", "show", &run_id, "--json"]).expect(0, &[]).json();
    let routes = shown["routing"].as_array().unwrap();
    assert_eq!(
        (routes.len(), &routes[0]["p"], &routes[99]["p"]),
        (100, &"pick@51".into(), &"pick@150".into())
    );
    assert_eq!(shown["cut"], serde_json::json!({ "routing": 50 }));
    assert_eq!(shown["nodes"][0]["visits"], 150, "what is counted counts all");
    let text = folder.call(&["runs", "show", &run_id]).expect(0, &[]).stdout;
    assert!(text.contains("50 earlier entries of routing") && text.contains("--events"), "{text}");
    assert!(text.lines().count() < 200, "{text}");

    // All of it, page by page.
    let whole = folder.call(&["runs", "show", &run_id, "--events", "--json"]).expect(0, &[]).lines();
    let (mut paged, mut from) = (Vec::new(), 0);
    loop {
        let args =
            ["runs", "show", &run_id, "--events", "--json", "--limit", "100", "--from", &from.to_string()];
        let page = folder.call(&args).expect(0, &[]);
        paged.extend(page.lines());
        let Some((_, next)) = page.stderr.split_once("there are more events: --from ") else { break };
        from = next.trim().parse::<u64>().unwrap();
        assert_eq!(paged.len() as u64, from);
    }
    assert!(from > 0 && paged == whole, "{} of {} events", paged.len(), whole.len());
    folder.call(&["runs", "show", &run_id, "--limit", "5"]).expect(2, &["--events"]);
}
