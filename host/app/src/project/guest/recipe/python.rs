//! Python: componentize-py puts the interpreter, the SDK and the author's modules into one component.

use super::super::run::{BuildError, Runner};
use super::super::tool::Tools;
use super::{Project, WORLD, made_of_world, must_have, must_have_sdk, uses, write_world};

pub(super) fn build(project: &Project, tools: &Tools, runner: &Runner<'_>) -> Result<Vec<u8>, BuildError> {
    let componentize = tools.python().map_err(BuildError::Lacking)?;
    must_have(project, "agent.py")?;
    // The folder in which the package `bandstand` lies.
    let sdk = project.sdk(".");
    must_have_sdk(project, &sdk, "bandstand/entry.py")?;
    look_over(project, runner);
    write_world(project)?;
    let mut args = vec!["-d", "target/wit", "-w", WORLD, "componentize", "bandstand.entry", "-p", "."];
    if sdk != "." {
        args.extend(["-p", &sdk]);
    }
    args.extend(["-o", "target/component.wasm"]);
    runner.run_with(&componentize, &args, |command| {
        // Without these the tool adds the packages of an environment that happens to be active.
        match project.dir.join(".venv").is_dir() {
            true => command.env("VIRTUAL_ENV", project.dir.join(".venv")),
            false => command.env_remove("VIRTUAL_ENV"),
        };
        command.env("PYTHONDONTWRITEBYTECODE", "1");
    })?;
    made_of_world(project)
}

/// Warns of what the author's files have that fails at run time alone: imports inside of functions, since once built there are no
/// files to import from, and calls of what was not asked for.
fn look_over(project: &Project, runner: &Runner<'_>) {
    let Ok(entries) = std::fs::read_dir(&project.dir) else { return };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names.iter().filter(|name| name.ends_with(".py") && !name.starts_with("test_")) {
        // What cannot be read the tool will tell better.
        let text = std::fs::read_to_string(project.dir.join(name)).unwrap_or_default();
        for line in imports_in_functions(&text) {
            (runner.warn)(&format!(
                "{name}:{line}: an import inside a function fails at run time, unless a module imports the same at its top: once built there are no files"
            ));
        }
        uses::of_python(project, name, &text, runner);
    }
}

/// Their lines, from 1.
fn imports_in_functions(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    // How deep the outermost function stands that the line is in.
    let mut function: Option<usize> = None;
    for (index, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.is_empty() || code.starts_with('#') {
            continue;
        }
        let depth = line.len() - code.len();
        function = function.filter(|outer| depth > *outer);
        let imports = code.starts_with("import ") || (code.starts_with("from ") && code.contains(" import "));
        if function.is_some() && imports {
            found.push(index + 1);
        }
        if function.is_none() && (code.starts_with("def ") || code.starts_with("async def ")) {
            function = Some(depth);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_imports_are_found() {
        let text = "import re\ntry:\n    import a\nexcept ImportError:\n    a = None\n\n\ndef f():\n    # import b\n    import c\n\n\
                    class C:\n    def g(self):\n        def h():\n            pass\n        from d import e\n\n    import k\n";
        assert_eq!(imports_in_functions(text), [10, 16]);
    }
}
