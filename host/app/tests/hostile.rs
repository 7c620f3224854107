//! R7.1, R7.3, R7.4 on the real host: attackers beside ordinary agents in one run. The run succeeds, each failure is told with all
//! that is known of it, and nothing that a guest said reaches the terminal as it was said.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use bandstand::Folder;
use bandstand_hostile::{attack, unsafe_text};
use serde_json::{Value, json};

/// Every attacker in a branch of its own, with ordinary branches between them.
const FLOW: &str = "\
format: 1
name: besieged
version: 1
plugins:
  echo: { builtin: echo }
  spin: { path: loop.wasm, limits: { cpu: 80ms } }
  bomb: { path: memory-bomb.wasm, limits: { memory: 8MiB } }
  escapes: { path: escapes.wasm }
  crash: { path: escapes-and-trap.wasm }
defaults:
  retry: { max-retries: 1, strategy: immediate }
nodes:
  siege:
    parallel:
      join: all
      branches:
        looping: { agent: spin, on-failure: { value: { caught: \"${{ error.class }}/${{ error.code }}\" } } }
        bombing: { agent: bomb, on-failure: { value: { caught: \"${{ error.class }}/${{ error.code }}\" } } }
        crashing: { agent: crash, on-failure: { value: { caught: \"${{ error.class }}/${{ error.code }}\" } } }
        shouting: { agent: escapes, on-failure: { value: { caught: \"${{ error.message }}\" } } }
        one: { agent: echo, input: { n: 1 } }
        two: { agent: echo, input: { n: 2 } }
        three: { agent: echo, input: { n: 3 } }
    next: after
  after:
    agent: echo
    input: { n: 4 }
    next: end
result: { siege: \"${{ nodes.siege.output.results }}\", after: \"${{ nodes.after.output }}\" }
";

#[test]
fn a_run_with_attackers_in_it_succeeds_and_tells_what_they_did() {
    let folder = Folder::new();
    for name in ["loop", "memory-bomb", "escapes", "escapes-and-trap"] {
        folder.write(&format!("{name}.wasm"), &attack(name).component);
    }
    folder.write("flow.yaml", FLOW);
    let ended = folder.call(&["run", "flow.yaml"]).expect(0, &["run succeeded"]);
    for text in [&ended.stdout, &ended.stderr] {
        assert_eq!(unsafe_text(text), None, "{text:?}");
    }
    assert_eq!(
        ended.json(),
        json!({
            "siege": {
                "looping": { "caught": "limit/cpu" },
                "bombing": { "caught": "limit/memory" },
                "crashing": { "caught": "trap/division-by-zero" },
                "shouting": { "caught": "31mredover" },
                "one": { "n": 1 }, "two": { "n": 2 }, "three": { "n": 3 },
            },
            "after": { "n": 4 },
        })
    );

    let runs = folder.call(&["runs", "list", "--json"]).lines();
    let id = runs[0]["run_id"].as_str().unwrap();
    let shown = folder.call(&["runs", "show", id, "--json"]).expect(0, &[]).json();
    let failed = |node: &str, attempt: u64| -> Value {
        let errors = shown["errors"].as_array().unwrap();
        let found = errors
            .iter()
            .find(|error| error["node"] == node && error["attempt"] == attempt && error["of"] == "attempt");
        found.unwrap_or_else(|| panic!("no attempt {attempt} of {node}: {errors:#?}")).clone()
    };
    // A crash is tried again, and each attempt is told.
    for attempt in [1, 2] {
        let error = failed("crashing", attempt);
        assert_eq!(
            json!([error["class"], error["code"], error["plugin"], error["backtrace"], error["last_words"]]),
            json!(["trap", "division-by-zero", "crash", "fall\nrun", "[stderr]\nall is lost"])
        );
    }
    // A limit is tried again only if the file says so: the same would come of it.
    let message = |node| failed(node, 1)["message"].as_str().unwrap().to_owned();
    assert!(message("looping").contains("80 ms of processor time (setting limits.cpu)"));
    assert!(message("bombing").contains("8388608 bytes of memory (setting limits.memory)"));
    let error = failed("shouting", 1);
    assert_eq!(json!([error["class"], error["message"]]), json!(["agent", "31mredover"]));
    assert!(error["last_words"].as_str().unwrap().contains("[stdout]\n31mredover"), "{error}");

    let shown = folder.call(&["runs", "show", id]).expect(0, &[]);
    let watched = folder.call(&["runs", "show", id, "--events"]).expect(0, &[]);
    for text in [&shown.stdout, &shown.stderr, &watched.stdout, &watched.stderr] {
        assert_eq!(unsafe_text(text), None, "{text:?}");
    }
    for part in ["all is lost", "fall", "division-by-zero", "setting limits.cpu"] {
        assert!(shown.stdout.contains(part), "no {part:?} in {}", shown.stdout);
    }
}

// R7.4: what is quoted by a failure can be looked up before.
#[test]
fn every_limit_is_told_with_its_value_and_setting() {
    let folder = Folder::new();
    let told = folder.call(&["plugin", "inspect", "builtin:echo", "--json"]).expect(0, &[]).json();
    let limit = |of: &str, name: &str| {
        let limits = told["limits"][of].as_array().unwrap();
        let found = limits.iter().find(|limit| limit["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {limits:#?}")).clone()
    };
    for (name, value, unit, setting) in [
        ("memory", 64 << 20, "bytes", Some("limits.memory")),
        ("attempt-timeout", 60_000, "ms", Some("timeout")),
        ("cpu", 10_000, "ms", Some("limits.cpu")),
        ("too-large", 1 << 20, "bytes", Some("limits.output")),
        ("log", 64 << 10, "bytes", Some("limits.log")),
        ("progress", 1 << 20, "bytes", Some("limits.progress")),
        ("host-calls", 64 << 20, "bytes", Some("limits.host-calls")),
        ("table-elements", 100_000, "pieces", Some("limits.table-elements")),
        ("handles", 4_096, "pieces", Some("limits.handles")),
    ] {
        let expected = json!({ "name": name, "value": value, "unit": unit, "setting": setting });
        assert_eq!(limit("attempt", name), expected);
    }
    for name in ["instances", "queue", "queue-wait", "host-memory", "host-scratch"] {
        assert!(limit("host", name)["setting"].is_string());
    }
    let told = folder.call(&["plugin", "inspect", "builtin:echo"]).expect(0, &[]).stdout;
    for part in ["cpu             10000 ms  (setting limits.cpu)", "4096 pieces  (setting limits.handles)"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}
