//! `bandstand plugin new` and `plugin build`: projects of agents in every language, what is told when something is missing, and
//! real builds: of Rust always, of the languages that `BANDSTAND_GUEST_LANGUAGES` names (`python javascript typescript c go`) too.
//! R8.5

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;
mod wasm_rust;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bandstand::{Ended, Folder};
use bandstand_test_guests as guests;
use serde_json::json;

const LANGUAGES: [&str; 6] = ["rust", "python", "javascript", "typescript", "c", "go"];

/// A call on a machine that has nothing but the tools in the folder `bin`.
fn bare(folder: &Folder, args: &[&str]) -> Ended {
    with_path(folder, args, folder.path().join("bin").display().to_string())
}

/// The same on one that has what scripts need, too.
fn call(folder: &Folder, args: &[&str]) -> Ended {
    with_path(folder, args, format!("{}:/usr/bin:/bin", folder.path().join("bin").display()))
}

fn with_path(folder: &Folder, args: &[&str], path: String) -> Ended {
    let mut command = folder.command(args);
    command.env("PATH", path);
    for name in ["RUSTC", "WASI_SDK_PATH", "WASI_SYSROOT"] {
        command.env_remove(name);
    }
    Ended::of(command.output().unwrap())
}

fn tool(folder: &Folder, name: &str, script: &str) {
    let path = folder.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn files_below(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

#[test]
fn a_new_project_holds_the_files_that_are_told() {
    let folder = Folder::new();
    for language in LANGUAGES {
        let dir = format!("my-{language}");
        let ended = bare(&folder, &["plugin", "new", &dir, "--lang", language]);
        let ended = ended.expect(0, &["not yet:", "To install it:", "now try: cd", "plugin build"]);
        let told: BTreeSet<PathBuf> = ended.stdout.lines().map(|line| folder.path().join(line)).collect();
        assert_eq!(told, files_below(&folder.path().join(&dir)), "{language}");
        let ignored = std::fs::read_to_string(folder.path().join(&dir).join(".gitignore")).unwrap();
        assert!(ignored.contains(".bandstand/\n"), "the key of compiled code lies there: {ignored}");
        for file in ["plugin.toml", "README.md", ".gitignore", "wit/agent.wit", "cases/reading.yaml"] {
            assert!(told.contains(&folder.path().join(&dir).join(file)), "{language}: {file}");
        }
    }
    let args = ["plugin", "new", "told", "--lang", "c", "--dir", "deep/er", "--json"];
    let told = bare(&folder, &args).expect(0, &[]).json();
    assert_eq!(
        (&told["dir"], &told["name"], &told["language"]),
        (&json!("deep/er"), &json!("told"), &json!("c"))
    );
    assert!(told["files"].as_array().unwrap().contains(&json!("agent.c")), "{told}");
    let zig = told["missing"].as_array().unwrap().iter().find(|lack| lack["tool"] == "zig").unwrap().clone();
    assert!(zig["install"].as_str().unwrap().contains("pip install ziglang=="), "{zig}");
    assert!(folder.path().join("deep/er/agent.c").is_file());
}

#[test]
fn nothing_is_overwritten_and_names_are_checked() {
    let folder = Folder::new();
    let kept = folder.write("mine/notes.txt", "mine");
    let ended = bare(&folder, &["plugin", "new", "mine", "--lang", "python"]);
    ended.expect(3, &["mine is there and not empty; nothing was written", "--dir DIR"]);
    assert_eq!(files_below(&folder.path().join("mine")), BTreeSet::from([kept]));
    let ended = bare(&folder, &["plugin", "new", "My Agent", "--lang", "python"]);
    ended.expect(2, &["no plugin can be called \"My Agent\"", "\"my-agent\""]);
    let ended = bare(&folder, &["plugin", "new", "bandstand-sdk", "--lang", "rust"]);
    ended.expect(2, &["the project's own"]);
    let ended = bare(&folder, &["plugin", "new", "serde", "--lang", "rust"]);
    ended.expect(2, &["a crate that the agent is made of is called that", "\"serde-agent\""]);
    assert!(!folder.path().join("serde").exists());
    bare(&folder, &["plugin", "new", "serde", "--lang", "c"]).expect(0, &[]);
    let ended = bare(&folder, &["plugin", "new", "mine", "--lang", "cobol"]);
    ended.expect(2, &["rust, python, javascript, typescript, c, go"]);
    folder.write("file", "mine");
    let ended = bare(&folder, &["plugin", "new", "file", "--lang", "c"]);
    ended.expect(3, &["file is there and is no folder; nothing was written"]);
    // A folder that is there, but empty, is taken.
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    bare(&folder, &["plugin", "new", "empty", "--lang", "c"]).expect(0, &[]);
    // A server has no part in it.
    let ended = bare(&folder, &["plugin", "new", "far", "--lang", "c", "--server", "http://127.0.0.1:1"]);
    ended.expect(2, &["plugin new cannot be asked of a server"]);
}

// R8.5: names that YAML or expressions read as something else, too.
#[test]
fn the_workflow_of_a_readme_is_one() {
    let folder = Folder::new();
    for name in ["read-it", "true", "null", "in", "or", "end", "self", "yes", "no", "on", "y", "input", "e1"]
    {
        bare(&folder, &["plugin", "new", name, "--lang", "c"]).expect(0, &[]);
        let readme = std::fs::read_to_string(folder.path().join(name).join("README.md")).unwrap();
        let workflow = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        folder.write("workflow.yaml", workflow);
        folder.write(&format!("plugins/{name}.wasm"), guests::echo());
        let ended = bare(&folder, &["check", "workflow.yaml"]);
        assert_eq!(ended.code, 0, "{name}: {ended:#?}");
        let ended = bare(&folder, &["run", "workflow.yaml", "--input", r#"{"text":"a"}"#]);
        assert_eq!(ended.code, 0, "{name}: {ended:#?}");
    }
}

#[test]
fn what_cannot_be_built_is_told_before_anything_runs() {
    let folder = Folder::new();
    call(&folder, &["plugin", "build"]).expect(3, &["has no plugin.toml", "bandstand plugin new NAME"]);
    call(&folder, &["plugin", "build", "nowhere"]).expect(3, &["nowhere is not there"]);
    folder.write("odd/plugin.toml", "name = \"odd\"\nversion = \"1\"\nlanguage = \"c\"\nuse = []\n");
    let ended = call(&folder, &["plugin", "build", "odd"]);
    ended.expect(2, &["odd/plugin.toml", "line 4, column 1", "unknown field `use`"]);
    for (language, tool) in LANGUAGES.iter().zip(["cargo", "componentize-py", "node", "node", "zig"]) {
        let dir = format!("my-{language}");
        bare(&folder, &["plugin", "new", &dir, "--lang", language]).expect(0, &[]);
        let ended = bare(&folder, &["plugin", "build", &dir]);
        let ended = ended.expect(3, &[&format!("{tool}, which"), "To install it:", "nothing was run yet"]);
        assert!(!ended.stderr.contains("$ "), "{ended:#?}");
        assert!(!folder.path().join(&dir).join("target").exists(), "{language}");
    }
}

#[test]
fn a_build_says_what_it_runs_and_what_came_of_it() {
    let folder = Folder::new();
    bare(&folder, &["plugin", "new", "read", "--lang", "python"]).expect(0, &[]);
    folder.write("agent.wasm", guests::logs("hello", ""));
    let of_version = "case \"$1\" in --version) echo componentize-py 0.25.1; exit;; esac\n";
    let last = "for out in \"$@\"; do :; done\n";
    let no_secret = "[ -z \"$BANDSTAND_TOKEN\" ] || exit 9\n";
    tool(
        &folder,
        "componentize-py",
        &format!("{of_version}{no_secret}{last}echo working; cp ../agent.wasm $out"),
    );
    let mut build = folder.command(&["plugin", "build", "read"]);
    build.env("PATH", format!("{}:/usr/bin:/bin", folder.path().join("bin").display()));
    let ended = Ended::of(build.env("BANDSTAND_TOKEN", "secret").output().unwrap());
    let command = "$ componentize-py -d target/wit -w plugin componentize bandstand.entry -p . -o target/component.wasm";
    let ended = ended.expect(0, &[command, "working", "now try: bandstand plugin test read\n"]);
    for line in [
        "file      read/read.wasm\n",
        "digest    sha256:",
        "imports   bandstand:agent/",
        "grants    none needed",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {ended:#?}");
    }
    assert!(!ended.stdout.contains("working"), "{ended:#?}");
    let world = std::fs::read_to_string(folder.path().join("read/target/wit/world.wit")).unwrap();
    assert!(world.contains("include bandstand:agent/minimal@0.1.0;"), "{world}");
    // Built again it is the same file; with --json the commands are data.
    let shown = call(&folder, &["plugin", "inspect", "read/read.wasm", "--json"]).expect(0, &[]).json();
    let manifest = &shown["manifest"];
    assert_eq!((&manifest["name"], &manifest["sdk"]), (&json!("read"), &json!("python 0.1.0")), "{shown}");
    let told = call(&folder, &["plugin", "build", "read", "--json"]).expect(0, &[]).json();
    assert_eq!((&told["changed"], &told["file"]), (&json!(false), &json!("read/read.wasm")), "{told}");
    assert!(told["commands"][0].as_str().unwrap().starts_with("componentize-py -d"), "{told}");
    // What it is as old as is what it was made of now.
    let sources = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let made = std::fs::File::open(folder.path().join("read/read.wasm")).unwrap();
    made.set_modified(sources).unwrap();
    call(&folder, &["plugin", "build", "read", "--quiet"]).expect(0, &[]);
    assert!(made.metadata().unwrap().modified().unwrap() > sources);
    let ended = call(&folder, &["plugin", "build", "read", "--out", "read"]);
    let ended = ended.expect(2, &["read is a folder", "--out read/NAME.wasm"]);
    assert!(!ended.stderr.contains("$ "), "{ended:#?}");
    let ended = call(&folder, &["plugin", "build", "read", "--out", "none/x.wasm"]);
    let ended = ended.expect(3, &["there is no folder none"]);
    assert!(!ended.stderr.contains("$ "), "{ended:#?}");
    call(&folder, &["plugin", "build", "read", "--out", "x.wasm", "--quiet"]).expect(0, &[]);
    assert!(folder.path().join("x.wasm").is_file());
    // What is used is in the world, and nothing else.
    let settings = std::fs::read_to_string(folder.path().join("read/plugin.toml")).unwrap();
    folder.write("read/plugin.toml", settings.replace("uses = []", "uses = [\"model\"]"));
    // An import that would fail in the component, where there are no files, is told.
    folder.write("read/late.py", "def late():\n    import json\n    return json\n");
    let late = "warning: late.py:2: an import inside a function fails at run time";
    let doubt = "warning: `uses` of its manifest names model, which it does not import";
    // So is a call of what is not in its world.
    folder.write(
        "read/calls.py",
        "from bandstand import model, tools\n\n\ndef ask():\n    return tools.call(model.chat('x').text)\n",
    );
    let lacks = "warning: calls.py calls `tools`, which `uses` in plugin.toml does not name";
    let ended = call(&folder, &["plugin", "build", "read"]).expect(0, &[doubt, late, lacks]);
    assert!(!ended.stderr.contains("calls `model`"), "{ended:#?}");
    let world = std::fs::read_to_string(folder.path().join("read/target/wit/world.wit")).unwrap();
    assert!(world.contains("import bandstand:agent/model@0.1.0;") && !world.contains("tools"), "{world}");
    // HTTP is WASI's, as far as a request needs it.
    folder.write("read/plugin.toml", settings.replace("uses = []", "uses = [\"http\"]"));
    call(&folder, &["plugin", "build", "read"]).expect(0, &["calls.py calls `model`"]);
    let wit = folder.path().join("read/target/wit");
    let world = std::fs::read_to_string(wit.join("world.wit")).unwrap();
    assert!(world.contains("import host:http/outgoing-handler@0.2.0;"), "{world}");
    let http = std::fs::read_to_string(wit.join("deps/host-http/package.wit")).unwrap();
    assert!(
        http.starts_with("package host:http@0.2.0;") && http.contains("use host:io/streams@0.2.0"),
        "{http}"
    );
}

#[test]
fn a_tool_that_fails_is_told_whole() {
    let folder = Folder::new();
    bare(&folder, &["plugin", "new", "read", "--lang", "python"]).expect(0, &[]);
    tool(&folder, "componentize-py", "[ \"$1\" = --version ] || { echo one; echo two >&2; exit 7; }");
    let failed = "`componentize-py -d target/wit -w plugin componentize bandstand.entry -p . -o target/component.wasm` failed";
    let ended = call(&folder, &["plugin", "build", "read"]);
    ended.expect(1, &["one\n", "two\n", failed, "(exit status: 7)", "what it said is above"]);
    // What is not shown as it comes is told with the failure.
    let ended = call(&folder, &["plugin", "build", "read", "--quiet"]);
    ended.expect(1, &[failed, "it said:\none\ntwo"]);
    // What comes out is looked at as a host would.
    tool(&folder, "componentize-py", "for out in \"$@\"; do :; done\necho text > $out");
    call(&folder, &["plugin", "build", "read"]).expect(2, &["what was built does not load"]);
    assert!(!folder.path().join("read/read.wasm").exists());
    folder.write("other.wasm", wat::parse_str("(component)").unwrap());
    tool(&folder, "componentize-py", "for out in \"$@\"; do :; done\ncp ../other.wasm $out");
    call(&folder, &["plugin", "build", "read"]).expect(2, &["not what this host can run"]);
}

/// From nothing to cases that are as expected, with the tools of this machine.
fn from_nothing(language: &str, prepare: impl Fn(&mut Command)) -> Folder {
    let folder = Folder::new();
    let run = |args: &[&str]| {
        let mut command = folder.command(args);
        prepare(&mut command);
        Ended::of(command.output().unwrap())
    };
    // Python takes as long to compile on a busy machine as a host allows when nobody says.
    folder.write("bandstand.toml", "[compile]\ntime = \"10m\"\n");
    run(&["plugin", "new", "read", "--lang", language]).expect(0, &[]);
    let ended = run(&["plugin", "build", "read"]).expect(0, &["$ ", "built in"]);
    assert!(ended.stdout.contains("grants    none needed"), "{ended:#?}");
    let ended = run(&["plugin", "test", "read"]).expect(0, &["3 of 3 cases as expected"]);
    assert!(!ended.stderr.contains("is older than"), "what the build itself wrote is no source: {ended:#?}");
    folder
}

/// What fails in a component when it is called is told when it is built.
fn a_bundle_is_whole_and_asks_for_what_it_calls(folder: &Folder) {
    let agent = |imports: &str, key: &str| {
        format!(
            "import {{ agent, memory }} from 'bandstand';\n{imports}export default agent(() => ({{ a: memory.slots.get({key}) }}));\n"
        )
    };
    let missing = "import pad from 'left-pad/lib';\nimport { sep } from 'node:path';\n";
    folder.write("read/agent.js", agent(missing, "pad(sep)"));
    call(folder, &["plugin", "build", "read"]).expect(
        2,
        &[
            "agent.js:2 imports `left-pad/lib`, which is not there",
            "agent.js:3 imports `node:path`",
            "npm install left-pad\n",
        ],
    );
    folder.write("read/agent.js", agent("import { sep } from 'path';\n", "sep"));
    call(folder, &["plugin", "build", "read"]).expect(2, &["a component has none of node's own modules"]);
    folder.write("read/agent.js", agent("", "'a'"));
    let told = "warning: the agent calls `memory-slots`, which `uses` in plugin.toml does not name";
    let ended = call(folder, &["plugin", "build", "read"]).expect(0, &[told]);
    assert!(!ended.stderr.contains("memory-facts"), "{ended:#?}");
    let settings = std::fs::read_to_string(folder.path().join("read/plugin.toml")).unwrap();
    folder.write("read/plugin.toml", settings.replace("uses = []", "uses = [\"memory-slots\"]"));
    let ended = call(folder, &["plugin", "build", "read"]).expect(0, &["built in"]);
    assert!(!ended.stderr.contains("warning"), "{ended:#?}");
}

/// As its README says.
fn types_of_tests_are_checked(folder: &Folder) {
    let test = || {
        let mut npm = Command::new("npm");
        Ended::of(npm.arg("test").current_dir(folder.path().join("read")).output().unwrap())
    };
    test().expect(0, &[]);
    let path = folder.path().join("read/agent.test.ts");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\nexport const wrong: number = 'text';\n")).unwrap();
    let ended = test();
    assert!(ended.code != 0 && ended.stdout.contains("error TS2322"), "{ended:#?}");
}

#[test]
fn rust_is_built_from_nothing() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    from_nothing("rust", |command| wasm_rust::prepare(command, &repository));
}

#[test]
fn the_other_languages_are_built_from_nothing() {
    let Some(named) = std::env::var("BANDSTAND_GUEST_LANGUAGES").ok().filter(|named| !named.is_empty())
    else {
        eprintln!("not built: BANDSTAND_GUEST_LANGUAGES names none of python javascript typescript c go");
        return;
    };
    for language in named.split_whitespace() {
        let folder = from_nothing(language, |_| {});
        match language {
            "javascript" => a_bundle_is_whole_and_asks_for_what_it_calls(&folder),
            "typescript" => types_of_tests_are_checked(&folder),
            _ => {}
        }
    }
}
