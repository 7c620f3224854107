//! `check` over the corpus, on the real binary; and what else reads workflow files without running them. R8.1

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use std::path::{Path, PathBuf};

use bandstand::Folder;

fn corpus(folder: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/workflows").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{files:?}");
    files
}

#[test]
fn the_good_files_give_nothing_but_what_this_build_lacks() {
    let folder = Folder::new();
    let files = corpus(".");
    let mut args = vec!["check", "--no-resolve", "--json"];
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    for found in folder.call(&args).expect(0, &[]).lines() {
        assert_eq!(found["code"], "BW109", "{found}");
    }
}

#[test]
fn the_bad_files_give_their_code_and_exit_code_2() {
    let folder = Folder::new();
    for file in corpus("bad") {
        let text = std::fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap();
        let ended = folder.call(&["check", "--no-resolve", "--json", file.to_str().unwrap()]);
        let found = ended.lines();
        let code = found.iter().find(|found| found["severity"] == "error").map(|found| found["code"].clone());
        let code = code.unwrap_or_else(|| panic!("{}: no error", file.display()));
        assert!(first.contains(code.as_str().unwrap()), "{}: {first}: {found:?}", file.display());
        assert_eq!(ended.code, 2, "{}", file.display());
        for name in
            ["code", "severity", "message", "help", "file", "line", "column", "end_line", "end_column"]
        {
            assert!(found[0].get(name).is_some(), "{name}: {}", found[0]);
        }
    }
}

#[test]
fn people_see_the_line_and_a_mark_under_it() {
    let folder = Folder::new();
    folder.write(
        "flow.yaml",
        "format: 1\nname: typo\nversion: 1\nnodes:\n  go: { value: 1, next: gone }\n  \u{1b}[31mred: 1\n",
    );
    folder
        .write("ok/fine.yaml", "format: 1\nname: fine\nversion: 1\nnodes:\n  go: { value: 1, next: end }\n");
    let ended = folder.call(&["check"]).expect(2, &["ok/fine.yaml: ok, fine version 1, 1 node; no agents"]);
    assert!(ended.stdout.contains("flow.yaml:"), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1b}') && !ended.stderr.contains('\u{1b}'), "{ended:#?}");
    let quiet = folder.call(&["check", "--quiet"]).expect(2, &[]);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn workflows_are_listed_and_drawn() {
    let folder = Folder::new();
    folder.call(&["init"]).expect(0, &[]);
    folder.write("broken.yaml", "format: 1\nname: broken\n");
    folder.write("other.yaml", "no: workflow\n");
    let listed = folder.call(&["workflow", "list", "--json"]).expect(0, &[]).lines();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(listed[0]["file"], "broken.yaml");
    assert!(listed[0]["problems"].as_u64().unwrap() > 0);
    assert_eq!(listed[1]["name"], "hello");
    let mermaid = folder.call(&["workflow", "graph", "workflow.yaml"]).expect(0, &[]).stdout;
    assert!(mermaid.contains("greet") && mermaid.contains("-->"), "{mermaid}");
    let dot = folder.call(&["workflow", "graph", "workflow.yaml", "--format", "dot"]).expect(0, &[]).stdout;
    assert!(dot.contains("digraph"), "{dot}");
    folder.call(&["workflow", "graph", "broken.yaml"]).expect(2, &["bandstand check broken.yaml"]);
}
