//! The tests that the SDKs bring with them, each by its language's own tools, off WebAssembly. Rust's are run by `cargo xtask test`.
//! `BANDSTAND_GUEST_LANGUAGES` says which tools are here (`python javascript go`); the SDK for C is tried by the agents in C.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

fn run(language: &str, folder: &str, program: &str, args: &[&str]) {
    let here = std::env::var("BANDSTAND_GUEST_LANGUAGES").unwrap_or_default();
    if !here.split_whitespace().any(|named| named == language) {
        eprintln!("NOT RUN: BANDSTAND_GUEST_LANGUAGES does not name {language}");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(folder);
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", "../../sdk-python");
    let ended = command.output().unwrap();
    assert!(
        ended.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
}

// R7.2, R8.5
#[test]
fn python() {
    run("python", "sdk-python", "python3", &["-m", "unittest", "discover", "-s", "tests"]);
    run("python", "stats/python", "python3", &["-m", "unittest"]);
}

// R7.2, R8.5
#[test]
fn javascript() {
    run("javascript", "sdk-javascript", "node", &["--test", "tests/"]);
}

// R7.2, R8.5
#[test]
fn go() {
    for folder in ["sdk-go", "stats/go"] {
        run("go", folder, "go", &["test", "."]);
        run("go", folder, "go", &["vet", "."]);
    }
}
