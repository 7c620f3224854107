//! Go: the toolchain makes a module that has exports and no `main` to run, and the adapter of WASI makes an agent of that.

use super::super::component;
use super::super::run::{BuildError, Runner};
use super::super::tool::Tools;
use super::{Project, must_have, read};

/// No paths of this machine, and nothing of its version control. Names stay in: stacks are told by them.
const ARGS: [&str; 6] =
    ["build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", "target/core.wasm"];

pub(super) fn build(project: &Project, tools: &Tools, runner: &Runner<'_>) -> Result<Vec<u8>, BuildError> {
    let go = tools.go().map_err(BuildError::Lacking)?;
    must_have(project, "go.mod")?;
    project.target()?;
    let args: Vec<&str> = ARGS.into_iter().chain(["."]).collect();
    runner.run_with(&go, &args, |command| {
        // A project stands alone, whatever workspace it lies in.
        command.env("GOOS", "wasip1").env("GOARCH", "wasm").env("GOWORK", "off");
    })?;
    let module = read(&project.dir.join("target/core.wasm"))?;
    component::encode_as_agent_with_wasi(module, &project.wit()?).map_err(|problem| BuildError::Source {
        what: format!("target/core.wasm is no agent: {problem}"),
        help: "an agent is a package `main` that imports `bandstand` and calls `bandstand.Agent` from `init`"
            .to_owned(),
    })
}
