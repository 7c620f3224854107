//! Python: componentize-py puts the interpreter, the SDK and the author's modules into one component.

use super::super::run::{BuildError, Runner};
use super::super::tool::Tools;
use super::{Project, WORLD, must_have, must_have_sdk, read, write_world};

pub(super) fn build(project: &Project, tools: &Tools, runner: &Runner<'_>) -> Result<Vec<u8>, BuildError> {
    let componentize = tools.python().map_err(BuildError::Lacking)?;
    must_have(project, "agent.py")?;
    // The folder in which the package `bandstand` lies.
    let sdk = project.sdk(".");
    must_have_sdk(project, &sdk, "bandstand/entry.py")?;
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
    read(&project.dir.join("target/component.wasm"))
}
