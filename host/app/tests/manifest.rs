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
        .expect(3, &["cannot read no.toml"]);
    folder.write("plugin.toml", "name = \"count\"\n");
    folder.write("core.wasm", guests::not_a_component());
    folder.call(&["plugin", "pack", "core.wasm"]).expect(2, &["core.wasm:"]);
    folder.call(&["plugin", "pack", "builtin:echo"]).expect(2, &["a part of the host", "--out FILE"]);
    folder.call(&["plugin", "pack", "none.wasm"]).expect(3, &["cannot read none.wasm"]);
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
    folder.call(&["plugin", "test", "dies"]).expect(
        2,
        &["dies/cases/c.yml: case 1: expect.error.last_words.$matches: \"(\" is no regular expression: unclosed group"],
    );
    folder.write("dies/cases/c.yml", "expect: {}\nexpect: {}\n");
    folder.call(&["plugin", "test", "dies"]).expect(2, &["c.yml` is not the YAML it must be: 2:1:"]);
}

#[test]
fn a_folder_without_its_component_says_so() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    folder.call(&["plugin", "test", "a"]).expect(3, &["there is no component in a", "name a component"]);
    folder.write("a/b.wasm", guests::echo());
    folder.call(&["plugin", "test", "a", "--input", r#"{"n":1}"#]).expect(0, &[]);
    folder.write("a/c.wasm", guests::echo());
    folder.call(&["plugin", "test", "a"]).expect(2, &["several components in a", "a/b.wasm, a/c.wasm"]);
    folder.write("a/plugin.toml", "nam = \"a\"\n");
    folder.call(&["plugin", "test", "a"]).expect(2, &["a/plugin.toml:", "did you mean `name`?"]);
    // Another component is not what plugin.toml names.
    folder.write("a/plugin.toml", "name = \"a\"\nlanguage = \"c\"\n");
    std::fs::remove_file(folder.path().join("a/c.wasm")).unwrap();
    for verb in ["test", "inspect", "pack", "verify"] {
        let ended = folder.call(&["plugin", verb, "a"]);
        let told = format!("{}{}", ended.stdout, ended.stderr);
        ended.expect(3, &["build it: bandstand plugin build a"]);
        assert!(
            told.contains("there is no a/a.wasm, the component of `a` in a/plugin.toml"),
            "{verb}: {told}"
        );
    }
}

// R8.5: after a build that failed nobody takes the old component for the new one.
#[test]
fn a_component_that_is_older_than_its_sources_is_told() {
    let folder = agent();
    folder.write("plugin.toml", "name = \"count\"\nlanguage = \"c\"\n");
    folder.write("count.wasm", guests::echo());
    let made = std::time::SystemTime::now() - std::time::Duration::from_secs(600);
    let after = |name: &str, seconds: u64| {
        let file = std::fs::File::options().append(true).open(folder.path().join(name)).unwrap();
        file.set_modified(made + std::time::Duration::from_secs(seconds)).unwrap();
    };
    let test =
        |more: &[&str]| folder.call(&[&["plugin", "test", "--input", "{}"], more].concat()).expect(0, &[]);
    for name in [
        "target/a.c",
        "node_modules/a/b.js",
        "__pycache__/a.pyc",
        ".venv/lib/a.py",
        "cases/a.yaml",
        "README.md",
        "LICENSE",
        "workflow.yaml",
        "main_test.go",
        "agent.test.js",
        "test_agent.py",
        "tests/a.rs",
    ] {
        folder.write(name, "no source");
        after(name, 60);
    }
    folder.write("bandstand.toml", "");
    // A clock that was wrong: no build would ever be newer.
    folder.write("agent.c", "int b;");
    after("agent.c", 1_000_000);
    ["count.wasm", "plugin.toml", "input.schema.json"].iter().for_each(|name| after(name, 0));
    let ended = test(&[]);
    assert!(!ended.stderr.contains("older"), "{ended:#?}");
    folder.write("parts/a.c", "int a;");
    after("parts/a.c", 60);
    after("plugin.toml", 30);
    let told = "warning: count.wasm is older than parts/a.c; to make it anew: bandstand plugin build\n";
    let ended = test(&[]);
    assert!(ended.stderr.contains(told), "{ended:#?}");
    let lines = test(&["--json"]).lines();
    assert_eq!(
        (&lines[0]["type"], &lines[0]["newer"]),
        (&json!("warning"), &json!("parts/a.c")),
        "{lines:?}"
    );
    assert_eq!(lines[1]["type"], "outcome");
    let shown = folder.call(&["plugin", "inspect", "--json"]).expect(0, &[]).json();
    assert!(shown["warnings"][0].as_str().unwrap().contains("count.wasm is older than parts/a.c"), "{shown}");
    // What is deployed may be just this; and whoever packs it makes it no newer.
    folder.call(&["plugin", "verify", "."]).expect(0, &["count.wasm is older than parts/a.c"]);
    folder.call(&["plugin", "pack"]).expect(0, &["count.wasm is older than parts/a.c"]);
    folder.call(&["plugin", "pack"]).expect(0, &["count.wasm is older than parts/a.c"]);
    // A file that is named is what was meant, whatever lies beside it.
    assert!(!folder.call(&["plugin", "inspect", "count.wasm"]).expect(0, &[]).stdout.contains("older"));
    after("count.wasm", 60);
    assert!(!test(&[]).stderr.contains("older"));
}

#[test]
fn a_folder_stands_for_its_component() {
    let folder = agent();
    let packed = folder.call(&["plugin", "pack", "."]).expect(0, &["count.wasm is count 1.2.0"]);
    let shown = folder.call(&["plugin", "inspect"]).expect(0, &[]).stdout;
    assert!(
        shown.starts_with("file      count.wasm\n") && shown.contains(packed.stdout.trim_end()),
        "{shown}"
    );
    let mut outside =
        folder.command(&["plugin", "pack", &folder.path().to_string_lossy(), "--out", "out.wasm"]);
    let elsewhere = Folder::new();
    let outside = bandstand::Ended::of(outside.current_dir(elsewhere.path()).output().unwrap());
    assert_eq!(outside.expect(0, &[]).stdout, packed.stdout, "by the plugin.toml of that folder");
    folder.call(&["plugin", "verify", "."]).expect(0, &[]);
    folder.call(&["plugin", "pack", ".", "--out", "."]).expect(2, &["is a folder", "--out ./NAME.wasm"]);
    folder.call(&["plugin", "pack", ".", "--out", "a/b.wasm"]).expect(3, &["there is no folder a"]);
}

// R7.2
#[test]
fn code_that_is_not_valid_is_found_before_anything_is_compiled() {
    let folder = agent();
    for (name, body) in [
        ("broken", "(i32.add (i32.const 1))"),
        (
            "wide",
            "(drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))) (unreachable)",
        ),
    ] {
        folder.write("count.wasm", guests::agent("", "", body));
        let before = std::fs::read(folder.path().join("count.wasm")).unwrap();
        let told =
            ["count.wasm: the component is damaged or uses a WebAssembly feature", "bandstand plugin build"];
        let shown = folder.call(&["plugin", "inspect", "count.wasm"]).expect(2, &told);
        assert!(shown.stdout.contains("digest    sha256:"), "{name}: it is shown all the same: {shown:#?}");
        assert!(!shown.stderr.contains("plugin new"), "{shown:#?}");
        let shown = folder.call(&["plugin", "inspect", "count.wasm", "--json"]).expect(2, &[]).json();
        assert_eq!(shown["usable"], false, "{name}: {shown}");
        folder.call(&["plugin", "pack", "count.wasm"]).expect(2, &told);
        assert_eq!(std::fs::read(folder.path().join("count.wasm")).unwrap(), before, "{name}");
        for verb in ["test", "precompile", "verify"] {
            folder.call(&["plugin", verb, "count.wasm"]).expect(2, &["bandstand plugin build"]);
        }
    }
}

// R8.1: as the README promises, 3 is for what is not there.
#[test]
fn what_is_not_there_ends_alike_with_every_verb() {
    let folder = agent();
    for args in [
        &["inspect", "no.wasm"][..],
        &["inspect", "no/no.wasm"],
        &["pack", "no.wasm"],
        &["precompile", "no.wasm"],
        &["precompile", "count.wasm", "no.wasm", "input.schema.json"],
        &["verify", "no.wasm"],
        &["verify", "no.wasm", "input.schema.json"],
        &["test", "no.wasm"],
        &["test", "builtin:no"],
        &["test", "count.wasm", "--cases", "no"],
        &["release", "no.wasm"],
        &["build", "no"],
        &["pack", "count.wasm", "--manifest", "no.toml"],
        &["put", "no.wasm", "--server", "http://127.0.0.1:1"],
    ] {
        let ended = folder.call(&[&["plugin"], args].concat());
        assert_eq!(ended.code, 3, "{args:?}: {ended:#?}");
    }
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    folder.call(&["plugin", "precompile", "empty"]).expect(3, &["no `.wasm` file in empty"]);
}
