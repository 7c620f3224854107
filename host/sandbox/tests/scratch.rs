//! R7.1, R7.4: a scratch directory is empty, private, bounded, and gone after the attempt, whatever happens.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{
    CallRequest, CancelToken, Class, FilesDirectory, FilesGrant, Grants, Outcome, Sandbox, Settings,
};
use bandstand_test_guests::powers::{Step, create, files, open};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use support::{end, failure, request, run, settings, still_works, told};

struct Here {
    _root: tempfile::TempDir,
    dir: PathBuf,
    sandbox: Sandbox,
}

fn here(change: impl FnOnce(&mut Settings)) -> Here {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("scratch");
    let mut settings = Settings { scratch_dir: Some(dir.clone()), ..settings() };
    change(&mut settings);
    let sandbox = Sandbox::new(settings).unwrap();
    Here { _root: root, dir, sandbox }
}

impl Here {
    async fn runs(&self, steps: &[Step], call: CallRequest) -> Outcome {
        run(&self.sandbox, &files(steps), call).await
    }

    /// What lies in the folder of scratch directories.
    fn left(&self) -> usize {
        std::fs::read_dir(&self.dir).unwrap().count()
    }

    /// Bytes that files there take on the disk.
    fn on_disk(&self) -> u64 {
        fn below(dir: &std::path::Path) -> u64 {
            let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
            let size = |entry: std::fs::DirEntry| match entry.metadata() {
                Ok(found) if found.is_dir() => below(&entry.path()),
                Ok(found) => std::os::unix::fs::MetadataExt::blocks(&found) * 512,
                Err(_) => 0,
            };
            entries.flatten().map(size).sum()
        }
        below(&self.dir)
    }
}

fn grants(names: &[&str]) -> Arc<Grants> {
    let scratch = |name: &&str| FilesGrant { name: (*name).to_owned(), directory: FilesDirectory::Scratch };
    Arc::new(Grants { files: names.iter().map(scratch).collect(), ..Grants::default() })
}

fn call() -> CallRequest {
    CallRequest { grants: grants(&["tmp"]), ..request("{}") }
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[tokio::test]
async fn what_is_written_is_read_again() {
    let here = here(|_| ());
    let steps = [
        Step::Name(0),
        create(0, "f", 1),
        Step::WriteText { to: 1, text: text("abc"), offset: 0 },
        Step::Read { from: 1, offset: 0 },
        Step::Mkdir { at: 0, path: text("d") },
        Step::Rename { at: 0, path: text("f"), to: 0, new: text("d/g") },
        open(0, "d/g", 2),
        Step::ReadStream { from: 2, offset: 1 },
        Step::Stream { to: 1, bytes: 4, offset: None },
        Step::Stream { to: 1, bytes: 9, offset: Some(0) },
        // No times: they would be a clock.
        Step::Stat { at: 0, path: text("d/g") },
        Step::SetSize { of: 1, size: 2 },
        Step::Stat { at: 0, path: text("d/g") },
        Step::Link { at: 0, path: text("d/g"), to: 0, new: text("h") },
        Step::Symlink { at: 0, target: text("h"), path: text("s") },
        Step::Unlink { at: 0, path: text("d/g") },
        Step::Rmdir { at: 0, path: text("d") },
        open(0, "d/g", 3),
    ];
    let told = told(here.runs(&steps, call()).await);
    assert_eq!(
        told,
        [
            "/tmp", "ok", "ok", "abc", "ok", "ok", "ok", "bc", "ok", "ok", "9 000", "ok", "2 000", "ok",
            "ok", "ok", "ok", "e20"
        ]
    );
    assert_eq!(here.left(), 0);
}

#[tokio::test]
async fn nothing_of_one_attempt_is_there_for_another() {
    let here = Arc::new(here(|_| ()));
    let writes = [create(0, "left", 1), Step::Write { to: 1, bytes: 10, offset: 0 }, Step::Sleep(300)];
    let looks = [Step::Sleep(100), open(0, "left", 1), open(0, "../left", 2), open(0, "../0/tmp/left", 3)];
    let writer = tokio::spawn({
        let here = here.clone();
        async move { here.runs(&writes, call()).await }
    });
    // Beside it, and after it.
    let beside = told(here.runs(&looks, call()).await);
    assert!(beside.iter().all(|told| told.starts_with('e')), "{beside:?}");
    told(writer.await.unwrap());
    let after = told(here.runs(&looks, call()).await);
    assert!(after.iter().all(|told| told.starts_with('e')), "{after:?}");
    assert_eq!(here.left(), 0);
}

#[tokio::test]
async fn several_directories_of_one_attempt_are_apart() {
    let here = here(|_| ());
    let two = CallRequest { grants: grants(&["a", "b"]), ..request("{}") };
    let steps = [Step::Name(1), create(0, "f", 2), open(1, "f", 3), open(1, "../a/f", 3)];
    let told = told(here.runs(&steps, two).await);
    assert_eq!(told[..2], ["/b", "ok"]);
    assert!(told[2].starts_with('e') && told[3].starts_with('e'), "{told:?}");
}

#[tokio::test]
async fn it_goes_however_the_attempt_ends() {
    let here = here(|_| ());
    let deep = Step::Repeat(200, vec![Step::Mkdir { at: 0, path: text("d") }, open(0, "d", 0)]);
    let with = |last: Step| {
        [create(0, "f", 1), Step::Symlink { at: 0, target: text("f"), path: text("s") }, deep.clone(), last]
    };
    let mut limited = call();
    limited.limits.open_files_max = 1_000;
    let outcome = here.runs(&with(Step::Trap), limited.clone()).await;
    assert_eq!(end(&outcome), (Class::Trap, "unreachable"));
    assert_eq!(here.left(), 0);

    limited.limits.wall_ms = 300;
    let outcome = here.runs(&with(Step::Sleep(60_000)), limited.clone()).await;
    assert_eq!(end(&outcome), (Class::Timeout, "attempt-timeout"));
    assert_eq!(here.left(), 0);

    limited.limits.wall_ms = 60_000;
    limited.cancel = CancelToken::default();
    let cancel = limited.cancel.clone();
    let steps = with(Step::Sleep(60_000));
    let (outcome, ()) = tokio::join!(here.runs(&steps, limited.clone()), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(here.left(), 1);
        let mode = std::fs::metadata(&here.dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        cancel.cancel();
    });
    assert_eq!(end(&outcome), (Class::Cancelled, "cancelled"));
    assert_eq!(here.left(), 0);

    // Dropped in the middle.
    limited.cancel = CancelToken::default();
    let dropped = tokio::time::timeout(Duration::from_millis(200), here.runs(&steps, limited)).await;
    assert!(dropped.is_err());
    for _ in 0..200 {
        if here.left() == 0 && here.sandbox.instances_in_use() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(here.left(), 0);
    still_works(&here.sandbox).await;
}

#[test]
fn what_a_host_left_that_died_is_swept_by_the_next() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("scratch");
    std::fs::create_dir_all(dir.join("12/tmp/d")).unwrap();
    std::fs::write(dir.join("12/tmp/d/f"), "left").unwrap();
    let _sandbox = Sandbox::new(Settings { scratch_dir: Some(dir.clone()), ..settings() }).unwrap();
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}

#[tokio::test]
async fn without_a_folder_nobody_gets_one() {
    let outcome = run(&support::sandbox(), &files(&[Step::Directories]), call()).await;
    assert_eq!(end(&outcome), (Class::Host, "scratch"));
}

// R7.4: the disk is never fuller than the limit allows, whichever way it is filled.
#[tokio::test]
async fn the_disk_cannot_be_filled() {
    const MAX: u64 = 1 << 20;
    let here = here(|_| ());
    let for_ever = |steps: Vec<Step>| Step::Repeat(u32::MAX, steps);
    let (f, to) = (create(0, "f", 1), 1);
    let ways = [
        ("appends", vec![f.clone(), for_ever(vec![Step::Stream { to, bytes: 4_096, offset: None }])]),
        ("a far end", vec![f.clone(), Step::Write { to, bytes: 1, offset: 1 << 40 }]),
        ("a far end of a stream", vec![f.clone(), Step::Stream { to, bytes: 1, offset: Some(1 << 40) }]),
        ("a size", vec![f.clone(), Step::SetSize { of: to, size: 1 << 40 }]),
        ("a size at its end", vec![f.clone(), Step::SetSize { of: to, size: u64::MAX }]),
        (
            "files that are unlinked and held",
            vec![for_ever(vec![
                create(0, "g", 1),
                Step::Write { to, bytes: 65_536, offset: 0 },
                Step::Unlink { at: 0, path: text("g") },
            ])],
        ),
        (
            "files under other names",
            vec![for_ever(vec![
                Step::Symlink { at: 0, target: text("t"), path: text("s") },
                create(0, "s", 1),
                Step::Write { to, bytes: 65_536, offset: 0 },
                Step::Close(1),
                Step::Mkdir { at: 0, path: text("d") },
                Step::Rename { at: 0, path: text("t"), to: 0, new: text("d/t") },
                Step::Rename { at: 0, path: text("d"), to: 0, new: text("e") },
            ])],
        ),
        (
            "cut and appended to",
            vec![
                f.clone(),
                for_ever(vec![
                    Step::Stream { to, bytes: 4_096, offset: None },
                    Step::SetSize { of: to, size: 0 },
                ]),
            ],
        ),
    ];
    for (way, steps) in ways {
        let mut limited = call();
        limited.limits.scratch_bytes_max = MAX;
        limited.limits.wall_ms = 20_000;
        let seen = async {
            let mut most = 0;
            loop {
                most = most.max(here.on_disk());
                assert!(most <= MAX + (64 << 10), "{way}: {most}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let steps = steps.clone();
        let outcome = tokio::select! {
            outcome = here.runs(&steps, limited) => outcome,
            () = seen => panic!("it watches for ever"),
        };
        let (class, code) = end(&outcome);
        assert_eq!(class, Class::Limit, "{way}: {code}");
        // Which limit is first is the way's own: files that are held open are few, and files that take each other's
        // places stay as few as they are, for as long as the guest may go on.
        assert!(["scratch", "open-files", "scratch-entries", "host-calls"].contains(&code), "{way}: {code}");
        if code == "scratch" {
            let message = failure(outcome).message;
            assert!(
                message.contains("1048576 bytes") && message.contains("setting limits.scratch"),
                "{message}"
            );
        }
        assert_eq!(here.left(), 0, "{way}");
    }
    still_works(&here.sandbox).await;
}

// R7.4: files cost more than their bytes.
#[tokio::test]
async fn files_are_counted() {
    let here = here(|_| ());
    // Directories in each other, each with a name in its parent.
    let make = vec![
        Step::Mkdir { at: 0, path: text("d") },
        open(0, "d", 1),
        Step::Close(0),
        Step::Open { at: 1, path: text("."), follow: true, how: 0, flags: 1, to: 0 },
        Step::Close(1),
    ];
    let outcome = here.runs(&[Step::Repeat(5_000, make)], call()).await;
    assert_eq!(end(&outcome), (Class::Limit, "scratch-entries"));
    let message = failure(outcome).message;
    assert!(
        message.contains("more than 1024 files") && message.contains("setting limits.scratch-entries"),
        "{message}"
    );
    assert_eq!(here.left(), 0);
}

// A file that comes and goes takes no more than it does at once.
#[tokio::test]
async fn what_is_deleted_makes_room() {
    let here = here(|_| ());
    let mut limited = call();
    limited.limits.scratch_bytes_max = 100_000;
    let round = vec![
        create(0, "f", 1),
        Step::Write { to: 1, bytes: 60_000, offset: 0 },
        Step::Close(1),
        Step::Unlink { at: 0, path: text("f") },
    ];
    told(here.runs(&[Step::Repeat(50, round), Step::Directories], limited.clone()).await);
    // The same with the name gone first, as temporary files have it.
    let nameless = vec![
        create(0, "f", 1),
        Step::Unlink { at: 0, path: text("f") },
        Step::Write { to: 1, bytes: 60_000, offset: 0 },
        Step::Close(1),
    ];
    told(here.runs(&[Step::Repeat(50, nameless), Step::Directories], limited.clone()).await);
    // And with a file that takes the place of another, as whoever wants the old or the new one writes.
    let beside = vec![
        create(0, "new", 1),
        Step::Write { to: 1, bytes: 30_000, offset: 0 },
        Step::Close(1),
        Step::Rename { at: 0, path: text("new"), to: 0, new: text("f") },
    ];
    told(here.runs(&[Step::Repeat(50, beside), Step::Directories], limited.clone()).await);
    // Writing over what is there takes nothing.
    let over = [create(0, "f", 1), Step::Repeat(50, vec![Step::Write { to: 1, bytes: 60_000, offset: 0 }])];
    told(here.runs(&over, limited).await);
}

// R7.4: all attempts together.
#[tokio::test]
async fn the_host_has_a_bound_of_its_own() {
    let here = here(|settings| settings.scratch_bytes_total_max = 200_000);
    let steps = [create(0, "f", 1), Step::Write { to: 1, bytes: 120_000, offset: 0 }, Step::Sleep(300)];
    let (one, other) = tokio::join!(here.runs(&steps, call()), here.runs(&steps, call()));
    let (good, bad) = if one.result.is_ok() { (one, other) } else { (other, one) };
    told(good);
    assert_eq!(end(&bad), (Class::Limit, "host-scratch"));
    let message = failure(bad).message;
    assert!(message.contains("200000 bytes (setting host.scratch)"), "{message}");
    // What is gone is given back.
    for _ in 0..3 {
        told(here.runs(&steps[..2], call()).await);
    }
}

// What may be read stays as it is, also beside a directory that may be written.
#[tokio::test]
async fn nothing_passes_from_scratch_to_what_may_only_be_read() {
    let here = here(|_| ());
    let data = tempfile::tempdir().unwrap();
    let path = data.path().canonicalize().unwrap();
    std::fs::write(path.join("a"), "hello").unwrap();
    let mut both = (*grants(&["tmp"])).clone();
    both.files.insert(0, FilesGrant { name: text("data"), directory: FilesDirectory::Read(path.clone()) });
    let steps = [
        create(1, "f", 2),
        Step::Rename { at: 1, path: text("f"), to: 0, new: text("f") },
        Step::Link { at: 1, path: text("f"), to: 0, new: text("f") },
        Step::Link { at: 0, path: text("a"), to: 1, new: text("a") },
        Step::Rename { at: 0, path: text("a"), to: 1, new: text("a") },
        Step::Symlink { at: 1, target: text("../../../a"), path: text("s") },
        open(1, "s", 3),
    ];
    let told = told(here.runs(&steps, CallRequest { grants: Arc::new(both), ..request("{}") }).await);
    assert_eq!(told[0], "ok");
    for (step, told) in
        steps.iter().zip(&told).skip(1).filter(|(step, _)| !matches!(step, Step::Symlink { .. }))
    {
        assert!(told.starts_with('e'), "{step:?}: {told}");
    }
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
}
