//! R7.3, R7.4: plugins are compiled in a child process of the real binary, within bounds of memory and time; what a hostile
//! one does there ends its own load only.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ::bandstand::project::builtin;
use bandstand::Folder;
use bandstand_sandbox::{CallRequest, Class, Compiler, Grants, LoadError, Sandbox, Settings};
use bandstand_test_guests as guests;
use serde_json::json;

fn compiler() -> Compiler {
    let mut compiler = Compiler::of_this_program([::bandstand::cli::COMPILE_CHILD]);
    // This program is the test.
    compiler.program = PathBuf::from(env!("CARGO_BIN_EXE_bandstand"));
    compiler
}

fn sandbox(compiler: Compiler) -> Sandbox {
    Sandbox::new(Settings { instances_max: 4, compiler: Some(compiler), ..Settings::default() }).unwrap()
}

fn load(sandbox: &Sandbox, bytes: &[u8]) -> Result<bandstand_sandbox::Plugin, LoadError> {
    sandbox.load(bytes, &Grants::default())
}

/// Made once: making it takes seconds, too.
fn slow() -> &'static [u8] {
    static SLOW: LazyLock<Vec<u8>> = LazyLock::new(|| guests::slow_to_compile(40));
    &SLOW
}

/// How the binary compiles, told to do so by hand.
fn child(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bandstand"));
    command.arg(::bandstand::cli::COMPILE_CHILD).args(arguments).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn what_the_child_compiles_runs_in_the_host() {
    let sandbox = sandbox(compiler());
    let plugin = load(&sandbox, &guests::echo()).unwrap();
    let request = CallRequest { input: "{\"a\":1}".into(), ..CallRequest::default() };
    let outcome = sandbox.call(&plugin, request).await;
    assert_eq!(outcome.result.unwrap().output, "{\"a\":1}");
}

/// The figure in `tests/bench/README.md`; see it with `--nocapture`.
#[test]
fn what_a_child_costs() {
    let echo = builtin::named("echo").unwrap();
    let took = |compiler: Option<Compiler>| {
        let sandbox = Sandbox::new(Settings { instances_max: 4, compiler, ..Settings::default() }).unwrap();
        let mut rounds: Vec<_> = (0..7)
            .map(|_| {
                // Nobody holds it, so each round compiles anew.
                let begun = Instant::now();
                load(&sandbox, echo.bytes).unwrap();
                begun.elapsed()
            })
            .collect();
        rounds.sort();
        (rounds[0], rounds[3])
    };
    let (here, child) = (took(None), took(Some(compiler())));
    eprintln!("compiling echo, best and median of 7: here {here:?}, in a child {child:?}");
}

// R7.3, R7.4
#[test]
fn a_component_that_compiles_for_too_long_is_ended_and_others_load_meanwhile() {
    let sandbox = sandbox(Compiler { wall_ms_max: 3_000, ..compiler() });
    let slow = slow();
    std::thread::scope(|scope| {
        let hostile = scope.spawn(|| {
            let begun = Instant::now();
            (load(&sandbox, slow).unwrap_err(), begun.elapsed())
        });
        std::thread::sleep(Duration::from_millis(300));
        // In a child of its own, while the other is at work.
        load(&sandbox, &guests::echo()).unwrap();
        assert!(!hostile.is_finished(), "the slow one was quick");
        let (error, took) = hostile.join().unwrap();
        assert_eq!(error, LoadError::CompileTime { limit_ms: 3_000 });
        assert!(error.to_string().contains("3000 ms (setting compile.time)"), "{error}");
        assert_eq!((error.failure().class, error.failure().code.as_str()), (Class::Timeout, "compile-time"));
        assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(20), "{took:?}");
    });
}

// R7.3, R7.4
#[test]
fn a_component_that_needs_too_much_memory_is_ended() {
    let sandbox = sandbox(Compiler { memory_bytes_max: 200 << 20, ..compiler() });
    let error = load(&sandbox, slow()).unwrap_err();
    assert_eq!(error, LoadError::CompileMemory { limit_bytes: 200 << 20 });
    assert!(error.to_string().contains("compile.memory"), "{error}");
    assert_eq!(error.failure().class, Class::Limit);
    load(&sandbox, &guests::echo()).unwrap();
}

/// Code that is valid so far and makes its validator remember more and more.
fn ever_more_values() -> Vec<u8> {
    let items = format!(
        "(func $many (result {}) unreachable) (func {} unreachable)",
        "i32 ".repeat(1_000),
        "(call $many) ".repeat(60_000)
    );
    guests::agent("", &items, "unreachable")
}

#[test]
fn whether_code_is_valid_is_looked_at_within_the_same_bounds() {
    let folder = Folder::new();
    folder.write("bandstand.toml", "[compile]\nmemory = \"200MiB\"\n");
    folder.write("more.wasm", ever_more_values());
    folder.call(&["plugin", "inspect", "more.wasm"]).expect(2, &["(setting compile.memory)"]);
    let compiler = Compiler { memory_bytes_max: 200 << 20, ..compiler() };
    let refused = compiler.validate(&ever_more_values()).unwrap_err();
    assert!(matches!(refused, LoadError::CompileMemory { .. }), "{refused}");
    compiler.validate(&guests::echo()).unwrap();
    let broken = guests::agent("", "(func (result i32) (i64.const 1))", "unreachable");
    let refused = compiler.validate(&broken).unwrap_err();
    assert!(
        matches!(&refused, LoadError::Malformed { message } if message.contains("type mismatch")),
        "{refused}"
    );
}

#[test]
fn what_the_compiler_does_not_take_is_said_in_its_own_words() {
    let mut broken = guests::echo();
    // Inside a function's body, which only the compiler reads.
    let needle = [0x20, 0x00];
    let place = broken.windows(2).position(|two| two == needle).unwrap();
    broken[place] = 0xff;
    match load(&sandbox(compiler()), &broken) {
        Err(LoadError::Compile { message }) => assert!(!message.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_child_without_its_host_reads_nothing() {
    // Process 1 is not who started it.
    let mut child = child(&["4294967296", "10", "1"]).spawn().unwrap();
    let component = guests::echo();
    let mut input = child.stdin.take().unwrap();
    // It may be gone before it is written to.
    let _ =
        input.write_all(&(component.len() as u64).to_le_bytes()).and_then(|()| input.write_all(&component));
    drop(input);
    let ended = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stdout).contains("the host that asked is gone"), "{ended:?}");
}

#[test]
fn a_person_who_calls_it_is_told_what_to_do() {
    let ended = child(&["--help"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("bandstand plugin precompile"), "{ended:?}");
    let help = Folder::new().call(&["--help"]).expect(0, &[]);
    assert!(!help.stdout.contains("__compile"), "{}", help.stdout);
}

/// How the system sees a child that waits for its component.
#[test]
fn the_child_has_no_environment_no_descriptors_and_no_way_to_more() {
    let me = std::process::id().to_string();
    let mut command = child(&["4294967296", "10", &me]);
    let mut child = command.spawn().unwrap();
    let proc = format!("/proc/{}", child.id());
    let limits = || std::fs::read_to_string(format!("{proc}/limits")).unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    let confined = |limits: &str| {
        limits
            .lines()
            .any(|line| line.starts_with("Max open files") && line.split_whitespace().nth(3) == Some("0"))
    };
    while !confined(&limits()) {
        assert!(Instant::now() < patience, "{}", limits());
        std::thread::sleep(Duration::from_millis(5));
    }
    let limit = |name: &str| {
        let limits = limits();
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line[name.len()..].split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max address space"), ["4294967296", "4294967296"]);
    assert_eq!(limit("Max cpu time"), ["10", "10"]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max file size"), ["0", "0"]);
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let mut open: Vec<_> = std::fs::read_dir(format!("{proc}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    assert_eq!(std::fs::read_to_string(format!("{proc}/environ")).unwrap(), "");
    assert_eq!(std::fs::read_link(format!("{proc}/cwd")).unwrap(), PathBuf::from("/"));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A thread that starts a child and is gone takes it along, as the death of the whole host does.
#[test]
fn a_child_dies_with_its_host() {
    let folder = Folder::new();
    folder.write("slow.wasm", slow());
    let mut host = folder.command(&["plugin", "precompile", "slow.wasm"]).spawn().unwrap();
    let children =
        || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", host.id())).unwrap_or_default();
    let patience = Instant::now() + Duration::from_secs(20);
    while children().trim().is_empty() {
        assert!(Instant::now() < patience, "no child was started");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Long enough to have read its component.
    std::thread::sleep(Duration::from_millis(500));
    let child = children().trim().to_owned();
    host.kill().unwrap();
    host.wait().unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    // Whoever inherits it may not have waited for it yet.
    while !state().is_empty() && !state().contains(") Z ") {
        assert!(Instant::now() < patience, "it lives on: {}", state());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn precompiled_plugins_are_found_compiled_and_verified() {
    let folder = Folder::new();
    folder.write("plugins/echo.wasm", guests::echo());
    folder.write("plugins/other.wasm", guests::traps());
    folder.write("plugins/notes.txt", "no plugin");
    let told = folder.call(&["--json", "plugin", "verify", "plugins/echo.wasm"]).expect(0, &[]).json();
    assert_eq!((&told["loads"], &told["code"]), (&json!(true), &json!("none")));
    assert!(!folder.path().join(".bandstand/compiled").exists(), "verify changes nothing");

    let lines = folder.call(&["--json", "plugin", "precompile", "plugins"]).expect(0, &[]).lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line["was_kept"] == json!(false)), "{lines:?}");
    let again = folder.call(&["--json", "plugin", "precompile", "plugins"]).expect(0, &[]).lines();
    assert!(again.iter().all(|line| line["was_kept"] == json!(true)), "{again:?}");

    let told = folder.call(&["--json", "plugin", "verify", "plugins/echo.wasm"]).expect(0, &[]).json();
    assert_eq!((&told["loads"], &told["code"]), (&json!(true), &json!("authentic")));

    // Somebody changes what is kept: told, never used, compiled anew.
    let digest = told["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let kept = std::fs::read_dir(folder.path().join(".bandstand/compiled"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&digest))
        .unwrap();
    let mut bytes = std::fs::read(&kept).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&kept, &bytes).unwrap();
    let told = folder.call(&["plugin", "verify", "plugins/echo.wasm"]).expect(1, &["not authentic"]);
    assert!(told.stdout.contains("refused") && told.stdout.contains("loads     yes"), "{}", told.stdout);
    assert_eq!(std::fs::read(&kept).unwrap(), bytes, "verify mends nothing");
    folder.call(&["plugin", "precompile", "plugins/echo.wasm"]).expect(0, &["not used"]);
    folder.call(&["plugin", "verify", "plugins/echo.wasm"]).expect(0, &[]);
}

// R7.2
#[test]
fn verify_asks_what_the_operator_permits() {
    let folder = Folder::new();
    folder.write("wants.wasm", guests::wants_memory());
    folder.call(&["plugin", "verify", "wants.wasm"]).expect(0, &[]);
    folder.write("bandstand.toml", "");
    let told = folder.call(&["plugin", "verify", "wants.wasm"]).expect(2, &["1 of 1 plugin would not load"]);
    assert!(told.stdout.contains("not granted"), "{}", told.stdout);
    folder.write("bandstand.toml", "[grants]\n\"wants.wasm\" = { memory = \"write\" }\n");
    let told = folder.call(&["plugin", "verify", "wants.wasm"]).expect(0, &[]);
    assert!(told.stdout.contains("permitted by bandstand.toml"), "{}", told.stdout);
}

#[test]
fn compiled_code_given_as_a_plugin_is_refused() {
    let folder = Folder::new();
    folder.write("echo.wasm", guests::echo());
    folder.call(&["plugin", "precompile", "echo.wasm"]).expect(0, &[]);
    let kept = std::fs::read_dir(folder.path().join(".bandstand/compiled")).unwrap().next().unwrap().unwrap();
    let kept = std::fs::read(kept.path()).unwrap();
    // As the host keeps it, and as wasmtime's own tools write it.
    folder.write("kept.cwasm", &kept);
    folder.write("plain.cwasm", &kept[40..]);
    for file in ["kept.cwasm", "plain.cwasm"] {
        for verb in ["inspect", "precompile", "verify"] {
            let told = folder.call(&["plugin", verb, file]).expect(2, &[]);
            let said = format!("{}{}", told.stdout, told.stderr);
            assert!(said.contains("compiled code (`.cwasm`)") && said.contains("never loaded"), "{said}");
        }
        folder.write(
            "flow.yaml",
            format!(
                "format: 1\nname: flow\nversion: 1\nplugins: {{ one: {{ path: {file} }} }}\nnodes:\n  \
                 a: {{ agent: one, next: end }}\n"
            ),
        );
        let told = folder.call(&["run", "flow.yaml"]).expect(2, &[]);
        assert!(format!("{}{}", told.stdout, told.stderr).contains("never loaded"), "{told:?}");
    }
}

// R7.3
#[test]
fn one_that_cannot_be_compiled_does_not_keep_the_others_from_it() {
    let folder = Folder::new();
    folder.write("bandstand.toml", "[compile]\nmemory = \"200MiB\"\n");
    folder.write("plugins/a.wasm", slow());
    folder.write("plugins/b.wasm", guests::echo());
    let told = folder.call(&["plugin", "precompile", "plugins"]);
    let told = told.expect(2, &["(setting compile.memory)", "1 of 2 plugins not compiled"]);
    assert!(told.stdout.contains("b.wasm") && !told.stdout.contains("a.wasm"), "{}", told.stdout);
    // The file is fine: nobody needs to hear how one is built.
    assert!(told.stderr.contains("[compile]") && !told.stderr.contains("an agent is"), "{}", told.stderr);
}

// R7.3: the class and message that a run's starter is told.
#[test]
fn a_run_with_a_plugin_that_cannot_be_compiled_does_not_start_and_says_why() {
    let folder = Folder::new();
    folder.write("bandstand.toml", "[compile]\nmemory = \"200MiB\"\n");
    folder.write("hog.wasm", slow());
    folder.write(
        "flow.yaml",
        "format: 1\nname: flow\nversion: 1\nplugins: { hog: { path: hog.wasm } }\nnodes:\n  a: { agent: hog, next: end }\n",
    );
    let told = folder.call(&["run", "flow.yaml"]);
    assert!(told.code != 0 && told.stderr.contains("(setting compile.memory)"), "{told:?}");
}

#[test]
fn a_folder_without_room_costs_the_code_and_nothing_else() {
    let folder = Folder::new();
    folder.write("echo.wasm", guests::echo());
    // A limit on file sizes is the nearest to a full disk that needs no rights; the shell's ignoring of the signal makes
    // it an error as the disk's.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 1; exec {} plugin precompile echo.wasm",
        env!("CARGO_BIN_EXE_bandstand")
    );
    let ended = Command::new("bash").args(["-c", &limited]).current_dir(folder.path()).output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(74), "{stderr}");
    assert!(stderr.contains("was not kept") && stderr.contains("could not be kept"), "{stderr}");
    let left: Vec<_> = std::fs::read_dir(folder.path().join(".bandstand/compiled")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_folder_that_others_may_write_to_stops_the_host() {
    let folder = Folder::new();
    folder.write("echo.wasm", guests::echo());
    let compiled = folder.path().join(".bandstand/compiled");
    std::fs::create_dir_all(&compiled).unwrap();
    std::fs::set_permissions(&compiled, std::fs::Permissions::from_mode(0o770)).unwrap();
    folder.call(&["plugin", "precompile", "echo.wasm"]).expect(1, &["chmod 700"]);
}
