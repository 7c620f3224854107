//! R8.4: the log of the real binary: text for people, or JSON lines that say whose they are, those of plugins among them.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use bandstand::{Ended, Folder};
use serde_json::Value;

const WORKFLOW: &str = "
format: 1
name: talks
version: 1
plugins: { talker: { path: talker.wasm } }
nodes:
  ask: { agent: talker, retry: { max-retries: 0 }, next: end }
";

fn project(lines: u32) -> Folder {
    let folder = Folder::new();
    folder.write("workflow.yaml", WORKFLOW);
    folder.write("talker.wasm", bandstand_test_guests::logs_much(lines));
    folder
}

/// The lines of the log among what stands on stderr.
fn log(ended: &Ended) -> Vec<Value> {
    ended.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn json_lines_of_an_attempt_say_which_it_is() {
    let folder = project(2);
    let ended = folder.call(&["--json", "--log-format", "json", "run", "workflow.yaml"]);
    let run_id = ended.last()["run_id"].as_str().unwrap().to_owned();
    let lines = log(&ended);
    let of_plugin: Vec<&Value> = lines.iter().filter(|line| line["target"] == "bandstand_plugin").collect();
    assert!(!of_plugin.is_empty(), "{ended:#?}");
    for line in of_plugin {
        assert_eq!(line["run_id"], run_id.as_str(), "{line}");
        assert_eq!((line["node"].as_str(), line["attempt"].as_u64()), (Some("ask@1"), Some(1)), "{line}");
        assert_eq!(line["plugin"], "talker", "{line}");
        assert!(
            line["message"].is_string() && line["level"].is_string() && line["time"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn the_format_comes_from_the_option_the_environment_and_the_settings() {
    let folder = project(1);
    let run = ["run", "workflow.yaml"];
    assert!(log(&folder.call(&run)).is_empty(), "text, and without lines of plugins");
    folder.write("bandstand.toml", "[telemetry]\nlog = \"json\"\n");
    assert!(!log(&folder.call(&run)).is_empty());
    let mut command = folder.command(&run);
    let ended = Ended::of(command.env("BANDSTAND_LOG", "text").output().unwrap());
    assert!(log(&ended).is_empty(), "{ended:#?}");
    let mut command = folder.command(&["--log-format", "json", "run", "workflow.yaml"]);
    let ended = Ended::of(command.env("BANDSTAND_LOG", "text").output().unwrap());
    assert!(!log(&ended).is_empty(), "{ended:#?}");
    folder.call(&["--log-format", "xml", "run", "workflow.yaml"]).expect(2, &["text, json"]);
}

#[test]
fn many_lines_of_plugins_are_bounded() {
    let folder = project(1_000);
    let ended = folder.call(&["--log-format", "json", "run", "workflow.yaml"]);
    // Within two seconds at the most, since the attempt is short.
    let lines = log(&ended).iter().filter(|line| line["plugin"] == "talker").count();
    assert!((1..=300).contains(&lines), "{lines}");
}

#[test]
fn settings_that_are_none_are_refused_by_name() {
    let folder = project(1);
    for (settings, said) in [
        ("otlp = \"127.0.0.1:4318\"", "`otlp` is no address"),
        ("headers-env = \"KEYS\"", "is of no use without `otlp`"),
        ("log = \"xml\"", "xml"),
        ("oltp = \"http://a\"", "oltp"),
    ] {
        folder.write("bandstand.toml", format!("[telemetry]\n{settings}\n"));
        folder.call(&["run", "workflow.yaml"]).expect(2, &[said]);
    }
    folder.write("bandstand.toml", "[telemetry]\notlp = \"http://127.0.0.1:9\"\nheaders-env = \"KEYS\"\n");
    let mut command = folder.command(&["run", "workflow.yaml"]);
    Ended::of(command.env("KEYS", "nonsense").output().unwrap()).expect(2, &["KEYS holds no headers"]);
}
