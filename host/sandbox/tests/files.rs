//! R7.2: files are granted by directory, to be read and nothing else, and no path leads out of one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{CallLimits, CallRequest, Class, FilesDirectory, FilesGrant, Grants};
use bandstand_test_guests::powers::{CREATE, DIRECTORY, READ, Step, TRUNCATE, WRITE, create, files, open};
use std::path::Path;
use std::sync::Arc;
use support::{end, failure, limits, request, run, sandbox, still_works, told};

const NOT_PERMITTED: &str = "e31";

struct Project {
    _root: tempfile::TempDir,
    data: std::path::PathBuf,
}

/// A directory `data` with a file, a directory and links of every kind; a secret beside it.
fn project() -> Project {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().canonicalize().unwrap();
    let data = path.join("data");
    std::fs::create_dir_all(data.join("sub")).unwrap();
    std::fs::write(path.join("secret.txt"), "secret").unwrap();
    std::fs::write(data.join("a.txt"), "hello").unwrap();
    std::fs::write(data.join("sub/b.txt"), "below").unwrap();
    let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, data.join(name)).unwrap();
    link(Path::new("a.txt"), "inside");
    link(Path::new("../secret.txt"), "out");
    link(&path.join("secret.txt"), "absolute");
    link(Path::new(".."), "parent");
    link(Path::new("sub/../../secret.txt"), "round");
    link(Path::new("/"), "root");
    Project { _root: root, data }
}

fn reads(directory: &Path) -> CallRequest {
    let directory = FilesDirectory::Read(directory.to_owned());
    let files = vec![FilesGrant { name: "data".to_owned(), directory }];
    CallRequest { grants: Arc::new(Grants { files, ..Grants::default() }), ..request("{}") }
}

async fn does(call: CallRequest, steps: &[Step]) -> Vec<String> {
    told(run(&sandbox(), &files(steps), call).await)
}

#[tokio::test]
async fn a_granted_directory_is_read() {
    let project = project();
    let steps = [
        Step::Directories,
        Step::Name(0),
        open(0, "a.txt", 1),
        Step::Read { from: 1, offset: 0 },
        Step::ReadStream { from: 1, offset: 1 },
        open(0, "sub/b.txt", 2),
        Step::Read { from: 2, offset: 0 },
        open(0, "sub", 3),
        open(3, "b.txt", 4),
        Step::Read { from: 4, offset: 2 },
        open(0, "inside", 5),
        Step::Read { from: 5, offset: 0 },
        Step::Readlink { at: 0, path: "inside".to_owned() },
        Step::List(0),
        open(0, "none", 6),
    ];
    let told = does(reads(&project.data), &steps).await;
    assert_eq!(
        told,
        [
            "1", "/data", "ok", "hello", "ello", "ok", "below", "ok", "ok", "low", "ok", "hello", "a.txt",
            "ok", "e20"
        ]
    );
}

#[tokio::test]
async fn without_the_grant_there_is_nothing() {
    assert_eq!(does(request("{}"), &[Step::Directories]).await, ["0"]);
}

// Every way to change something, tried.
#[tokio::test]
async fn nothing_is_changed_in_what_may_be_read() {
    let project = project();
    let text = |path: &str| path.to_owned();
    let with = |path: &str, how: u32, flags: u32| Step::Open {
        at: 0,
        path: path.to_owned(),
        follow: true,
        how,
        flags,
        to: 9,
    };
    let steps = [
        open(0, "a.txt", 1),
        with("a.txt", 0, READ | WRITE),
        with("a.txt", 0, WRITE),
        with("a.txt", TRUNCATE, READ),
        with("new.txt", CREATE, READ | WRITE),
        with("new.txt", CREATE, 0),
        with("sub/", CREATE | DIRECTORY, READ),
        Step::WriteText { to: 1, text: text("changed"), offset: 0 },
        Step::Stream { to: 1, bytes: 4, offset: Some(0) },
        Step::Stream { to: 1, bytes: 4, offset: None },
        Step::SetSize { of: 1, size: 0 },
        Step::Mkdir { at: 0, path: text("new") },
        Step::Rmdir { at: 0, path: text("sub") },
        Step::Unlink { at: 0, path: text("a.txt") },
        Step::Rename { at: 0, path: text("a.txt"), to: 0, new: text("b.txt") },
        Step::Link { at: 0, path: text("a.txt"), to: 0, new: text("b.txt") },
        Step::Symlink { at: 0, target: text("a.txt"), path: text("b.txt") },
        Step::Touch { at: 0, path: text("a.txt") },
    ];
    let before = std::fs::metadata(project.data.join("a.txt")).unwrap().modified().unwrap();
    let told = does(reads(&project.data), &steps).await;
    assert_eq!(told[0], "ok");
    for (step, told) in steps.iter().zip(&told).skip(1) {
        assert!(told.starts_with('e'), "{step:?}: {told}");
    }
    assert_eq!(std::fs::read(project.data.join("a.txt")).unwrap(), b"hello");
    assert_eq!(std::fs::metadata(project.data.join("a.txt")).unwrap().modified().unwrap(), before);
    assert_eq!(std::fs::read_dir(&project.data).unwrap().count(), 8);
}

// Section 4 of the guide: `..`, absolute paths, links of every kind.
#[tokio::test]
async fn no_path_leads_out() {
    let project = project();
    let absolute = project.data.parent().unwrap().join("secret.txt");
    for path in [
        "../secret.txt",
        "sub/../../secret.txt",
        "./.././secret.txt",
        "/secret.txt",
        absolute.to_str().unwrap(),
        "/etc/passwd",
        "/data/a.txt",
        "out",
        "absolute",
        "round",
        "parent/secret.txt",
        "parent",
        "root/etc/passwd",
        "root",
        "..",
        "../data/a.txt",
        "out/",
        "a.txt/../../secret.txt",
        "",
    ] {
        let steps = [
            open(0, path, 1),
            Step::Open { at: 0, path: path.to_owned(), follow: false, how: 0, flags: READ, to: 1 },
            Step::Stat { at: 0, path: path.to_owned() },
            // From below, too.
            open(0, "sub", 2),
            open(2, &format!("../{path}"), 3),
        ];
        let told = does(reads(&project.data), &steps).await;
        // What stays inside is no escape.
        let inside = path == "../data/a.txt";
        assert!(
            told[0].starts_with('e') && told[1].starts_with('e') && told[2].starts_with('e'),
            "{path}: {told:?}"
        );
        assert!(told[4].starts_with('e') || inside || path.is_empty(), "{path}: {told:?}");
    }
}

// Whoever permitted a path looked at it; what a link put there since leads to was never permitted.
#[tokio::test]
async fn a_directory_that_became_a_link_is_refused() {
    let project = project();
    let call = reads(&project.data.join("sub"));
    std::fs::remove_dir_all(project.data.join("sub")).unwrap();
    let outcome = run(&sandbox(), &files(&[Step::Directories]), call.clone()).await;
    assert_eq!(end(&outcome), (Class::Denied, "files"));
    std::os::unix::fs::symlink(project.data.parent().unwrap(), project.data.join("sub")).unwrap();
    let outcome = run(&sandbox(), &files(&[Step::Directories]), call).await;
    assert_eq!(end(&outcome), (Class::Denied, "files"));
    let told = failure(outcome);
    assert!(told.message.contains("a link leads elsewhere now") && !told.recoverable, "{}", told.message);
    let outcome = run(&sandbox(), &files(&[Step::Directories]), reads(&project.data.join("a.txt"))).await;
    assert_eq!(end(&outcome), (Class::Denied, "files"));
}

// Opening a pipe would hold a thread of the host until somebody writes to it.
#[tokio::test]
async fn a_pipe_is_not_opened() {
    let project = project();
    let made = std::process::Command::new("mkfifo").arg(project.data.join("pipe")).status().unwrap();
    assert!(made.success());
    assert_eq!(does(reads(&project.data), &[open(0, "pipe", 1)]).await, [NOT_PERMITTED]);
}

// When files were changed may be read; what would be a clock may not.
#[tokio::test]
async fn only_the_time_of_the_last_change_is_told() {
    let project = project();
    let stat = || [Step::Stat { at: 0, path: "a.txt".to_owned() }];
    assert_eq!(does(reads(&project.data), &stat()).await, ["5 010"]);
    let mut call = reads(&project.data);
    call.grants = Arc::new(Grants { clock: true, ..(*call.grants).clone() });
    let told = does(call, &stat()).await;
    assert!(told[0].starts_with("5 11"), "{told:?}");
}

// R7.4: open files are the host's, so they are few; the error names limit, value and setting.
#[tokio::test]
async fn open_files_are_limited() {
    let project = project();
    let sandbox = sandbox();
    let call = |limits: CallLimits| CallRequest { limits, ..reads(&project.data) };
    for keep in [open(0, "a.txt", 1), open(0, "sub", 1)] {
        let outcome = run(&sandbox, &files(&[Step::Repeat(1_000, vec![keep])]), call(limits())).await;
        assert_eq!(end(&outcome), (Class::Limit, "open-files"));
        let message = failure(outcome).message;
        assert!(message.contains("more than 128 files open (setting limits.open-files)"), "{message}");
    }
    // Those that are closed do not count.
    let steps = [Step::Repeat(1_000, vec![open(0, "a.txt", 1), Step::Close(1)]), Step::Directories];
    let outcome = run(&sandbox, &files(&steps), call(limits())).await;
    assert_eq!(told(outcome), ["1"]);
    // Handles as such are limited, too: directories that were asked for again cost no open file.
    let outcome = run(&sandbox, &files(&steps), call(CallLimits { handles_max: 1, ..limits() })).await;
    assert_eq!(end(&outcome), (Class::Limit, "handles"));
    still_works(&sandbox).await;
}

// R7.4: what is read crosses in host calls, and counts as all that does.
#[tokio::test]
async fn what_is_read_counts() {
    let project = project();
    std::fs::write(project.data.join("large"), vec![b'x'; 4_096]).unwrap();
    let sandbox = sandbox();
    for read in [
        Step::Read { from: 1, offset: 0 },
        Step::ReadStream { from: 1, offset: 0 },
        Step::List(0),
        Step::Stat { at: 0, path: "a.txt".to_owned() },
    ] {
        let mut call = reads(&project.data);
        call.limits.host_call_bytes_max = 100_000;
        let steps = [open(0, "large", 1), Step::Repeat(u32::MAX, vec![read.clone()])];
        let outcome = run(&sandbox, &files(&steps), call).await;
        assert_eq!(end(&outcome), (Class::Limit, "host-calls"), "{read:?}");
    }
    still_works(&sandbox).await;
}

// A path of any length is the guest's to make; the host looks at 4 kB of it.
#[tokio::test]
async fn a_path_without_end_is_refused() {
    let project = project();
    let told = does(reads(&project.data), &[create(0, &"a/".repeat(2_050), 1)]).await;
    assert_eq!(told, ["e18"]);
}
