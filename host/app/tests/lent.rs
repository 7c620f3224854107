//! R7.2 on the real host: directories, variables, clocks and random numbers of the machine are lent as the file asks and
//! `bandstand.toml` permits, and looked at again when an attempt begins.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use bandstand::{Ended, Folder};
use bandstand_test_guests::powers::{Step, create, files, open, tells_environment};
use serde_json::{Value, json};

fn flow(grants: &str) -> String {
    format!(
        "format: 1\nname: lent\nversion: 1\nplugins:\n  agent: {{ path: agent.wasm, grants: {grants} }}\n\
         nodes:\n  work:\n    agent: agent\n    next: end\nresult: {{ told: \"${{{{ nodes.work.output.told }}}}\" }}\n"
    )
}

fn told(ended: &Ended) -> Value {
    ended.json()["told"].clone()
}

/// A project whose agent reads `/data/a.txt` and writes to `/tmp`.
fn project(permits: Option<&str>) -> Folder {
    let folder = Folder::new();
    let steps = [
        open(0, "a.txt", 2),
        Step::Read { from: 2, offset: 0 },
        create(0, "b.txt", 3),
        create(1, "b.txt", 3),
        Step::Write { to: 3, bytes: 5, offset: 0 },
    ];
    folder.write("agent.wasm", files(&steps));
    folder.write("data/sub/a.txt", "lent");
    folder.write(
        "flow.yaml",
        flow("{ files: { data: { path: data/sub, access: read }, tmp: { path: tmp, access: scratch } } }"),
    );
    if let Some(permits) = permits {
        folder.write("bandstand.toml", format!("[grants]\n\"agent.wasm\" = {permits}\n"));
    }
    folder
}

#[test]
fn directories_are_lent_as_they_are_permitted() {
    for permits in [None, Some("{ files = [\"data\"], scratch = true }")] {
        let folder = project(permits);
        let ended = folder.call(&["run", "flow.yaml"]).expect(0, &[]);
        assert_eq!(told(&ended), json!(["ok", "lent", "e31", "ok", "ok"]));
        assert_eq!(std::fs::read_dir(folder.path().join(".bandstand/scratch")).unwrap().count(), 0);
    }
    project(Some("{ scratch = true }"))
        .call(&["run", "flow.yaml"])
        .expect(2, &["BW604", "files = [\"data/sub\"]"]);
    project(Some("{ files = [\"data\"] }"))
        .call(&["run", "flow.yaml"])
        .expect(2, &["BW604", "scratch = true"]);
    project(Some("{ files = [\"dat\"], scratch = true }")).call(&["run", "flow.yaml"]).expect(2, &["BW604"]);
}

#[test]
fn a_directory_that_is_none_or_outside_is_told_by_check() {
    let folder = project(None);
    for (path, code) in [("none", "BW601"), ("data/sub/a.txt", "BW601"), ("../", "BW607"), ("/etc", "BW")] {
        folder.write(
            "flow.yaml",
            flow(&format!("{{ files: {{ data: {{ path: {path:?}, access: read }} }} }}")),
        );
        folder.call(&["run", "flow.yaml"]).expect(2, &[code]);
    }
    std::os::unix::fs::symlink("/etc", folder.path().join("link")).unwrap();
    folder.write("flow.yaml", flow("{ files: { data: { path: link, access: read } } }"));
    folder.call(&["run", "flow.yaml"]).expect(2, &["BW607"]);
}

#[test]
fn only_permitted_variables_are_seen_and_keys_never() {
    let folder = Folder::new();
    folder.write("agent.wasm", tells_environment());
    folder.write("flow.yaml", flow("{ env: [STYLE, ABSENT] }"));
    let run = |args: &[&str]| {
        let mut command = folder.command(args);
        command.env("STYLE", "plain").env("OPENAI_API_KEY", "sk-secret").env("OTHER", "no");
        Ended::of(command.output().unwrap())
    };
    let ended = run(&["run", "flow.yaml"]).expect(0, &["variable ABSENT, which the host does not have"]);
    assert_eq!(told(&ended), json!(["1", "STYLE", "plain"]));
    for (name, why) in [("OPENAI_API_KEY", "key of a model"), ("BANDSTAND_DATA", "the host's own")] {
        folder.write("flow.yaml", flow(&format!("{{ env: [{name}] }}")));
        let refused = run(&["run", "flow.yaml"]).expect(2, &["BW604", why]);
        assert!(!refused.stderr.contains("sk-secret"));
    }
    folder.write("flow.yaml", flow("{ env: [STYLE] }"));
    folder.write("bandstand.toml", "[grants]\n\"agent.wasm\" = { env = [\"LANG\"] }\n");
    run(&["run", "flow.yaml"]).expect(2, &["BW604", "env = [\"STYLE\"]"]);
    folder.write("bandstand.toml", "[grants]\n\"agent.wasm\" = { env = [\"ANTHROPIC_API_KEY\"] }\n");
    run(&["run", "flow.yaml"]).expect(2, &["cannot be permitted"]);
}

// R7.4: limits are the operator's to set, and `plugin inspect` shows those that hold.
#[test]
fn limits_of_the_operator_hold_and_are_shown() {
    let folder = project(None);
    folder.write(
        "bandstand.toml",
        "[grants]\n\"agent.wasm\" = { files = [\"data\"], scratch = true }\n[limits]\nscratch = \"4KiB\"\ncpu = \"2s\"\n\
         [host]\ninstances = 3\n[http]\nrequests = 5\n",
    );
    folder.call(&["run", "flow.yaml"]).expect(1, &["more than 4096 bytes", "setting limits.scratch"]);
    let shown = folder.call(&["plugin", "inspect", "agent.wasm"]).expect(0, &[]).stdout;
    for line in [
        "scratch         4096 bytes  (setting limits.scratch)",
        "cpu             2000 ms  (setting limits.cpu)",
        "instances       3 pieces  (setting host.instances)",
        "http-requests   5 pieces  (setting http.requests)",
        "open-files      128 pieces  (setting limits.open-files)",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
}
