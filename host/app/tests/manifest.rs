//! Manifests, through the real binary: written by `plugin pack`, shown by `plugin inspect`, held against calls, used by
//! `check`; and agents' cases in their own folders. R7.2, R8.5

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use bandstand::Folder;
use bandstand_test_guests as guests;
use serde_json::json;

const TOML: &str = "name = \"count\"\nversion = \"1.2.0\"\ndescription = \"Counts words.\"\nlanguage = \"rust\"\nuses = []\n\
                    input = \"input.schema.json\"\n[output]\nrequired = [\"text\"]\n";
const INPUT: &str = r#"{ "type": "object", "required": ["text"], "additionalProperties": false,
                         "properties": { "text": { "type": "string" } } }"#;

/// An agent that gives back what it is given, with `TOML` beside it.
fn agent() -> Folder {
    let folder = Folder::new();
    folder.write("plugin.toml", TOML);
    folder.write("input.schema.json", INPUT);
    folder.write("count.wasm", guests::echo());
    folder
}

/// A section that no tool of ours writes.
fn with_section(component: Vec<u8>, content: &[u8]) -> Vec<u8> {
    let name = b"bandstand:manifest";
    let size = u32::try_from(1 + name.len() + content.len()).unwrap();
    let leb =
        [0, 7, 14, 21, 28].map(|shift| (size >> shift) as u8 & 0x7f | if shift < 28 { 0x80 } else { 0 });
    [component, vec![0], leb.to_vec(), vec![18], name.to_vec(), content.to_vec()].concat()
}

#[test]
fn pack_writes_what_inspect_shows() {
    let folder = agent();
    folder
        .call(&["plugin", "pack", "count.wasm", "--out", "out.wasm"])
        .expect(0, &["out.wasm is count 1.2.0"]);
    let before = folder.call(&["plugin", "inspect", "count.wasm", "--json"]).expect(0, &[]).json();
    assert_eq!((&before["manifest"], &before["warnings"]), (&json!(null), &json!([])));
    let shown = folder.call(&["plugin", "inspect", "out.wasm"]).expect(0, &[]).stdout;
    for line in ["name      count 1.2.0", "for       Counts words.", "uses      nothing", "input     {"] {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }
    let after = folder.call(&["plugin", "inspect", "out.wasm", "--json"]).expect(0, &[]).json();
    assert_eq!(after["manifest"]["output"], json!({ "required": ["text"] }));
    assert_eq!((&after["usable"], &after["grants_needed"]), (&json!(true), &json!([])));
    // In place, and once however often.
    let packed = folder.call(&["plugin", "pack", "count.wasm", "--json"]).expect(0, &[]).json();
    assert_eq!(packed["digest"], after["digest"]);
    let again = folder.call(&["plugin", "pack", "count.wasm", "--json"]).expect(0, &[]).json();
    assert_eq!((&again["digest"], &again["manifest"]["name"]), (&after["digest"], &json!("count")));
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn pack_refuses_what_nobody_could_read() {
    let folder = agent();
    let pack = || folder.call(&["plugin", "pack", "count.wasm"]);
    folder.write("input.schema.json", r#"{ "type": "strin" }"#);
    pack().expect(2, &["plugin.toml: `input` of the manifest is not a valid JSON Schema at `/type`"]);
    folder.write("input.schema.json", format!("{{ \"title\": \"{}\" }}", "a".repeat(256 << 10)));
    pack().expect(2, &["input.schema.json has more than 262144 bytes"]);
    folder.write("input.schema.json", format!("{{ \"title\": \"{}\" }}", "a".repeat((256 << 10) - 20)));
    pack().expect(
        2,
        &["count.wasm: the section `bandstand:manifest` cannot be read: it has", "262144 are the most"],
    );
    folder.write("plugin.toml", "name = \"count\"\nsecret = [\"a\"]\n");
    pack().expect(2, &["plugin.toml:", "did you mean `secrets`?"]);
    folder
        .call(&["plugin", "pack", "count.wasm", "--manifest", "no.toml"])
        .expect(2, &["cannot read no.toml"]);
    folder.write("plugin.toml", "name = \"count\"\n");
    folder.write("core.wasm", guests::not_a_component());
    folder.call(&["plugin", "pack", "core.wasm"]).expect(2, &["core.wasm:"]);
    folder.call(&["plugin", "pack", "none.wasm"]).expect(2, &["cannot read none.wasm"]);
}

// R7.2: powers are what is imported, whatever is said.
#[test]
fn uses_are_compared_with_imports_and_grant_nothing() {
    let folder = Folder::new();
    folder.write("plugin.toml", "name = \"facts\"\nuses = [\"model\", \"http\"]\n");
    folder.write("facts.wasm", guests::puts_and_finds_fact(0.5));
    folder
        .call(&["plugin", "pack", "facts.wasm"])
        .expect(0, &["warning: it imports memory-facts", "names model, http"]);
    let shown = folder.call(&["plugin", "inspect", "facts.wasm", "--json"]).expect(0, &[]).json();
    assert_eq!(shown["grants_needed"], json!(["memory"]));
    assert_eq!(shown["warnings"].as_array().unwrap().len(), 2, "{shown}");
    let shown = folder.call(&["plugin", "inspect", "facts.wasm"]).expect(0, &[]).stdout;
    assert!(shown.contains("warning   it imports memory-facts, which `uses`"), "{shown}");
    folder.write("plugin.toml", "name = \"facts\"\nuses = [\"memory-facts\"]\n");
    let packed = folder.call(&["plugin", "pack", "facts.wasm", "--json"]).expect(0, &[]).json();
    assert_eq!(packed["warnings"], json!([]));
    folder.call(&["plugin", "test", "facts.wasm"]).expect(2, &["not granted", "memory"]);
    // Grants are asked for without an input, whatever input it takes.
    folder.write("plugin.toml", "name = \"facts\"\ninput = { required = [\"a\"] }\n");
    folder.call(&["plugin", "pack", "facts.wasm"]).expect(0, &[]);
    let granted = ["plugin", "test", "facts.wasm", "--grants", "{ memory: write }", "--input"];
    folder.call(&[&granted[..], &[r#"{"a":1}"#]].concat()).expect(0, &[]);
    folder
        .call(&[&granted[..], &[r#"{}"#]].concat())
        .expect(1, &["agent/input-invalid", "\"a\" is a required property"]);
}

#[test]
fn a_damaged_manifest_is_a_warning_and_the_plugin_works() {
    let folder = agent();
    for (content, told) in [
        (&b"{"[..], "not the JSON of a manifest"),
        (b"\xff", "not UTF-8"),
        (br#"{"input":{"type":1}}"#, "`input` of the manifest"),
        (&[b' '; (256 << 10) + 1][..], "262144 are the most"),
    ] {
        folder.write("count.wasm", with_section(guests::echo(), content));
        let shown = folder.call(&["plugin", "inspect", "count.wasm"]).expect(0, &[]).stdout;
        assert!(shown.contains("warning   ") && shown.contains(told), "{shown}");
        let shown = folder.call(&["plugin", "inspect", "count.wasm", "--json"]).expect(0, &[]).json();
        assert_eq!((&shown["manifest"], &shown["usable"]), (&json!(null), &json!(true)));
        folder.call(&["plugin", "test", "count.wasm", "--input", r#"{"a":1}"#]).expect(0, &[]);
    }
    folder.call(&["plugin", "pack", "count.wasm"]).expect(0, &[]);
    let mended = folder.call(&["plugin", "inspect", "count.wasm", "--json"]).expect(0, &[]).json();
    assert_eq!((&mended["manifest"]["name"], &mended["warnings"]), (&json!("count"), &json!([])));
}

#[test]
fn inputs_and_outputs_are_held_against_the_manifest() {
    let folder = agent();
    folder.call(&["plugin", "pack", "count.wasm"]).expect(0, &[]);
    let test = |file: &str, input: &str| folder.call(&["plugin", "test", file, "--input", input, "--json"]);
    test("count.wasm", r#"{"text":"a"}"#).expect(0, &[]);
    let wrong = test("count.wasm", r#"{"text":3}"#).expect(1, &[]).last();
    let error = &wrong["error"];
    assert_eq!(
        (&error["class"], &error["code"], &error["recoverable"], &error["data"]["pointer"]),
        (&json!("agent"), &json!("input-invalid"), &json!(false), &json!("/text")),
        "{wrong}"
    );
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("at `/text`: 3 is not of type \"string\""), "{message}");
    assert_eq!(wrong["usage"]["wall_us"], 0, "it never began");
    folder.write("plugin.toml", "name = \"count\"\n[output]\nrequired = [\"words\"]\n");
    folder.call(&["plugin", "pack", "count.wasm", "--out", "gives.wasm"]).expect(0, &[]);
    let wrong = test("gives.wasm", r#"{"text":"a"}"#).expect(1, &[]).last();
    let error = &wrong["error"];
    assert_eq!(
        (&error["class"], &error["code"], &error["recoverable"]),
        (&json!("invalid-output"), &json!("output-invalid"), &json!(false)),
        "{wrong}"
    );
    assert!(error["message"].as_str().unwrap().contains("\"words\" is a required property"), "{wrong}");
    assert!(wrong["usage"]["wall_us"].as_u64().unwrap() > 0);
}

/// A workflow of these nodes over `count.wasm`, and `gives.wasm`, whose output never fits.
fn workflow(folder: &Folder, nodes: &str) {
    folder.call(&["plugin", "pack", "count.wasm"]).expect(0, &[]);
    folder.write("gives.toml", "name = \"gives\"\n[output]\nrequired = [\"words\"]\n");
    folder.write("gives.wasm", guests::echo());
    folder.call(&["plugin", "pack", "gives.wasm", "--manifest", "gives.toml"]).expect(0, &[]);
    let plugins = "  count: { path: count.wasm }\n  gives: { path: gives.wasm }\n";
    folder.write(
        "workflow.yaml",
        format!("format: 1\nname: count\nversion: 1\nplugins:\n{plugins}nodes:\n{nodes}"),
    );
}

#[test]
fn a_run_fails_permanently_where_a_value_does_not_fit_and_replays_without_looking() {
    let folder = agent();
    workflow(
        &folder,
        "  a: { agent: count, input: { text: '${{ input.n }}' }, on-failure: b, next: end }\n  \
           b: { agent: gives, input: { code: '${{ error.code }}', at: '${{ error.data.pointer }}' }, next: end }\n",
    );
    folder.call(&["check", "workflow.yaml"]).expect(0, &[]);
    let ended = folder.call(&["--json", "run", "workflow.yaml", "--input", r#"{"n":3}"#]).expect(1, &[]);
    let run = ended.last()["run_id"].as_str().unwrap().to_owned();
    let events = folder.call(&["runs", "show", &run, "--events", "--json"]).expect(0, &[]).lines();
    let text = events.iter().map(|event| format!("{event}\n")).collect::<String>();
    assert!(text.contains("input-invalid") && text.contains("output-invalid"), "{text}");
    assert!(!text.contains("a@1#2") && !text.contains("b@1#2"), "one attempt of each: {text}");
    // A replay needs neither the manifest nor the plugin.
    for plugin in std::fs::read_dir(folder.path().join(".bandstand/plugins")).unwrap() {
        std::fs::remove_file(plugin.unwrap().path()).unwrap();
    }
    folder.call(&["runs", "replay", &run]).expect(0, &[]);
}

// R1.10: whoever is handed the wrong input is not to blame.
#[test]
fn a_refused_input_takes_no_plugin_out_of_service() {
    let folder = agent();
    workflow(&folder, "  a: { agent: count, input: '${{ input }}', next: end }\n");
    for _ in 0..6 {
        folder.call(&["run", "workflow.yaml", "--input", r#"{"n":3}"#]).expect(1, &["input-invalid"]);
    }
    let listed = folder.call(&["plugin", "list", "--json"]).expect(0, &[]).lines();
    assert!(listed.iter().all(|plugin| plugin["quarantine"]["faults"] == 0), "{listed:?}");
    folder.call(&["run", "workflow.yaml", "--input", r#"{"text":"a"}"#]).expect(0, &[]);
}

#[test]
fn check_tells_inputs_that_cannot_fit() {
    let folder = agent();
    workflow(&folder, "  a: { agent: count, input: { txt: '${{ input.n }}' }, next: end }\n");
    folder.call(&["check", "workflow.yaml"]).expect(2, &[]);
    let told = folder.call(&["check", "workflow.yaml", "--json"]);
    let text = format!("{}{}", told.stdout, told.stderr);
    for part in ["BW611", "`text` is missing", "there is no `txt`"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    folder.call(&["check", "workflow.yaml", "--no-resolve"]).expect(0, &[]);
}

// R7.6
#[test]
fn a_tool_is_held_to_its_manifest_too() {
    let folder = agent();
    folder.call(&["plugin", "pack", "count.wasm"]).expect(0, &[]);
    folder.write("caller.wasm", guests::calls_tool("count"));
    folder.write(
        "workflow.yaml",
        "format: 1\nname: call\nversion: 1\nplugins:\n  caller: { path: caller.wasm, grants: { tools: [count] } }\n  \
         count: { path: count.wasm }\nnodes:\n  ask: { agent: caller, input: '${{ input }}', next: end }\n",
    );
    folder.call(&["run", "workflow.yaml", "--input", r#"{"text":"a"}"#]).expect(0, &[]);
    folder.call(&["run", "workflow.yaml", "--input", r#"{"n":1}"#]).expect(1, &["input-invalid"]);
}

#[test]
fn an_agents_folder_is_tested_with_its_own_cases() {
    let folder = Folder::new();
    folder.write("dies/plugin.toml", "name = \"dies\"\nlanguage = \"c\"\n");
    folder.write("dies/other.wasm", guests::echo());
    folder.write("dies/dies.wasm", guests::panics_with_last_words());
    folder.call(&["plugin", "test", "dies"]).expect(1, &["trap/", "last words:"]);
    folder.write(
        "dies/cases/crash.yaml",
        "name: it dies\ninput: { text: a }\nexpect:\n  status: failed\n  error:\n    class: trap\n    \
         last_words: { $contains: out of range, $matches: 'at [a-z]+[.]rs:[0-9]+$' }\n",
    );
    folder.write("dies/cases/b.json", r#"[{ "expect": { "error": { "code": { "$matches": "^." } } } }]"#);
    let ended = folder.call(&["plugin", "test", "dies"]).expect(0, &["2 of 2 cases as expected"]);
    assert!(ended.stdout.contains("ok    it dies"), "{ended:#?}");
    // From within, too; with an input there is one call.
    let mut within = folder.command(&["plugin", "test"]);
    bandstand::Ended::of(within.current_dir(folder.path().join("dies")).output().unwrap())
        .expect(0, &["2 of 2 cases as expected"]);
    folder.call(&["plugin", "test", "dies", "--input", "{}"]).expect(1, &["trap/"]);
    folder.write("dies/cases/c.yml", "expect: { error: { last_words: { $contains: 'not this' } } }\n");
    let ended = folder.call(&["plugin", "test", "dies"]).expect(1, &["2 of 3 cases as expected"]);
    assert!(
        ended.stdout.contains("error.last_words: expected {\"$contains\":\"not this\"}, found"),
        "{ended:#?}"
    );
    folder.write("dies/cases/c.yml", "expect: { error: { last_words: { $matches: '(' } } }\n");
    folder.call(&["plugin", "test", "dies"]).expect(2, &["c.yml: case 1: `$matches`"]);
    folder.write("dies/cases/c.yml", "expect: {}\nexpect: {}\n");
    folder.call(&["plugin", "test", "dies"]).expect(2, &["c.yml` is not the YAML it must be: 2:1:"]);
}

#[test]
fn a_folder_without_its_component_says_so() {
    let folder = Folder::new();
    folder.write("a/plugin.toml", "name = \"a\"\n");
    folder
        .call(&["plugin", "test", "a"])
        .expect(3, &["there is no component in a", "bandstand plugin test a/NAME.wasm"]);
    folder.write("a/b.wasm", guests::echo());
    folder.call(&["plugin", "test", "a", "--input", r#"{"n":1}"#]).expect(0, &[]);
    folder.write("a/c.wasm", guests::echo());
    folder.call(&["plugin", "test", "a"]).expect(2, &["several components in a", "a/b.wasm, a/c.wasm"]);
    folder.write("a/plugin.toml", "nam = \"a\"\n");
    folder.call(&["plugin", "test", "a"]).expect(2, &["a/plugin.toml:", "did you mean `name`?"]);
}
