//! R7.3: whatever a compiling child does, loading ends with a typed error and within its time. The children here are shell
//! scripts that misbehave; the real one is tested with the binary, in `host/app/tests/compile.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{Class, Compiler, Grants, LoadError, Sandbox, Settings};
use bandstand_test_guests as guests;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::settings;

/// Its bounds follow as `$1`, `$2` and `$3`.
fn script(script: &str) -> Compiler {
    Compiler {
        program: PathBuf::from("/bin/sh"),
        arguments: ["-c", script, "child"].map(Into::into).to_vec(),
        memory_bytes_max: 1 << 30,
        wall_ms_max: 20_000,
        at_once_max: 2,
    }
}

fn error(compiler: Compiler) -> LoadError {
    let sandbox = Sandbox::new(Settings { compiler: Some(compiler), ..settings() }).unwrap();
    sandbox.load(&guests::echo(), &Grants::default()).unwrap_err()
}

#[test]
fn a_child_that_answers_with_garbage_is_told() {
    for (garbage, expected) in [
        ("echo hello", "does not begin as an answer does"),
        ("cat >/dev/null", "there is none"),
        ("exit 0", "there is none"),
        ("head -c 100000000 /dev/zero", "does not begin as an answer does"),
        ("printf 'bandcmp\\001\\000\\377\\377\\377\\377\\377\\377\\377\\377%32s' x", "claims to be larger"),
        ("printf 'bandcmp\\001\\000\\003\\000\\000\\000\\000\\000\\000\\000%32sabc' x", "checksum"),
        ("printf 'bandcmp\\001\\000\\003\\000\\000\\000\\000\\000\\000\\000%32sabcd' x", "something follows"),
        ("printf 'bandcmp\\001\\000\\003'", "there is none"),
    ] {
        match error(script(garbage)) {
            LoadError::CompilerAnswer { problem } => {
                assert!(problem.contains(expected), "{garbage}: {problem}")
            }
            other => panic!("{garbage}: {other:?}"),
        }
    }
}

#[test]
fn a_child_that_crashes_is_told_with_its_last_words() {
    for (crash, expected) in [
        ("echo at cranelift.rs:7 >&2; exit 101", "exit code 101: at cranelift.rs:7"),
        ("kill -SEGV $$", "signal 11"),
        ("kill -ABRT $$", "signal 6"),
        ("kill -KILL $$", "it was killed"),
        ("head -c 1000000 /dev/zero | tr '\\0' y >&2; exit 3", "exit code 3: yyy"),
    ] {
        match error(script(crash)) {
            LoadError::CompilerCrash { how } => assert!(how.contains(expected) && how.len() < 2_000, "{how}"),
            other => panic!("{crash}: {other:?}"),
        }
    }
}

// R7.4
#[test]
fn a_child_that_runs_out_of_memory_or_processor_time_is_told_with_limit_and_setting() {
    for memory in [
        "echo 'memory allocation of 4096 bytes failed' >&2; kill -ABRT $$",
        "echo 'mmap: Cannot allocate memory' >&2; exit 1",
    ] {
        let error = error(script(memory));
        assert_eq!(error, LoadError::CompileMemory { limit_bytes: 1 << 30 });
        assert!(error.to_string().contains("1073741824 bytes (setting compile.memory)"), "{error}");
        assert_eq!(error.failure().class, Class::Limit);
    }
    let error = error(script("kill -XCPU $$"));
    assert_eq!(error, LoadError::CompileTime { limit_ms: 20_000 });
}

// R7.4
#[test]
fn a_child_that_does_not_end_is_ended_with_all_that_it_started() {
    let temp = tempfile::tempdir().unwrap();
    let alive = temp.path().join("alive");
    for hang in [
        "exec sleep 100",
        // Says nothing more, but holds the pipes open.
        "exec sleep 100 <&-",
        "while :; do echo still here >&2; done",
        // A child of the child that holds the pipes open after it.
        &format!("(while :; do touch {0}; sleep 0.01; done) & exec sleep 100", alive.display()),
    ] {
        let begun = Instant::now();
        let error = error(Compiler { wall_ms_max: 700, ..script(hang) });
        assert_eq!(error, LoadError::CompileTime { limit_ms: 700 }, "{hang}");
        assert!(error.to_string().contains("700 ms (setting compile.time)"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{hang}: {:?}", begun.elapsed());
    }
    assert!(alive.exists());
    let _ = std::fs::remove_file(&alive);
    std::thread::sleep(Duration::from_millis(200));
    assert!(!alive.exists(), "a child of the child lives on");
}

#[test]
fn a_child_that_left_another_behind_does_not_keep_anybody() {
    let begun = Instant::now();
    // The other one holds standard error open.
    match error(script("sleep 100 >/dev/null & exit 7")) {
        LoadError::CompilerCrash { how } => assert!(how.contains("exit code 7"), "{how}"),
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_child_that_cannot_be_started_is_the_hosts_fault_and_may_pass() {
    let error = error(Compiler { program: PathBuf::from("/nonexistent/bandstand"), ..script("") });
    assert!(matches!(error, LoadError::CompilerStart { .. }), "{error:?}");
    assert_eq!((error.failure().class, error.failure().recoverable), (Class::Host, true));
}

#[test]
fn loads_of_one_component_share_the_work_and_the_end() {
    let temp = tempfile::tempdir().unwrap();
    let count = temp.path().join("count");
    let compiler = script(&format!("echo once >> {}; sleep 1; exit 9", count.display()));
    let sandbox = Sandbox::new(Settings { compiler: Some(compiler), ..settings() }).unwrap();
    let echo = guests::echo();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| sandbox.load(&echo, &Grants::default()).unwrap_err());
        }
    });
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "once\n");
    // It was that load's end, not the component's for ever.
    sandbox.load(&echo, &Grants::default()).unwrap_err();
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "once\nonce\n");
}

#[test]
fn no_more_children_than_allowed_are_at_work() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().display();
    // Each notes how many it sees, itself among them.
    let compiler = script(&format!(
        "touch {dir}/at-work-$$; ls {dir} | grep -c at-work >> {dir}/seen; sleep 0.3; rm {dir}/at-work-$$; exit 9"
    ));
    let sandbox = Sandbox::new(Settings { compiler: Some(compiler), ..settings() }).unwrap();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                sandbox.load(&guests::large_reply(100 + number), &Grants::default()).unwrap_err()
            });
        }
    });
    let seen = std::fs::read_to_string(temp.path().join("seen")).unwrap();
    assert_eq!(seen.lines().count(), 6);
    assert!(seen.lines().all(|line| ["1", "2"].contains(&line)), "{seen}");
}

#[test]
fn what_is_kept_needs_no_compiler() {
    let temp = tempfile::tempdir().unwrap();
    let cache_dir = Some(temp.path().join("compiled"));
    let here = Sandbox::new(Settings { cache_dir: cache_dir.clone(), ..settings() }).unwrap();
    here.load(&guests::echo(), &Grants::default()).unwrap();
    // Both places are taken, for a long time.
    let compiler = Some(script("exec sleep 100"));
    let there = Sandbox::new(Settings {
        cache_dir,
        compiler: compiler.map(|compiler| Compiler { wall_ms_max: 3_000, ..compiler }),
        ..settings()
    })
    .unwrap();
    std::thread::scope(|scope| {
        for number in 0..2 {
            let there = &there;
            scope.spawn(move || {
                there.load(&guests::large_reply(200 + number), &Grants::default()).unwrap_err()
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        there.load(&guests::echo(), &Grants::default()).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    });
}
