//! C: one compiler call over the author's files, the SDK and the bindings that come with it.

use super::super::component;
use super::super::run::{BuildError, Runner};
use super::super::tool::Tools;
use super::{Project, must_have_sdk, read};

/// What files of tests are called; they are left out.
const TEST_PREFIX: &str = "test_";
/// The SDK's own, for wasm.
const SDK_SOURCES: [&str; 4] = ["bandstand.c", "bandstand_json.c", "bandstand_wasm.c", "generated/agent.c"];

pub(super) fn build(project: &Project, tools: &Tools, runner: &Runner<'_>) -> Result<Vec<u8>, BuildError> {
    let compiler = tools.c().map_err(BuildError::Lacking)?;
    let sdk = project.sdk("bandstand");
    must_have_sdk(project, &sdk, SDK_SOURCES[3])?;
    let own = sources(project)?;
    project.target()?;
    let includes = [format!("-I{sdk}"), format!("-I{sdk}/generated")];
    let sdk_sources = SDK_SOURCES.map(|file| format!("{sdk}/{file}"));
    // Relative paths only: places in the code, as crashes tell them, are then the same on every machine.
    let mut args = vec!["-mexec-model=reactor", "-Wl,-z,stack-size=1048576", "-std=c11", "-Wall", "-Wextra"];
    args.extend(["-Os", "-s"]);
    args.extend(includes.iter().map(String::as_str));
    args.extend(["-o", "target/core.wasm"]);
    args.extend(own.iter().chain(&sdk_sources).map(String::as_str));
    runner.run(&compiler, &args)?;
    let module = read(&project.dir.join("target/core.wasm"))?;
    component::encode_as_agent(module, &project.wit()?).map_err(|problem| refused(&problem))
}

/// The author's files: all `.c` of the folder that are no tests.
fn sources(project: &Project) -> Result<Vec<String>, BuildError> {
    let cannot = |source| BuildError::Read { path: project.dir.clone(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&project.dir).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_source = name.ends_with(".c") && !name.starts_with(TEST_PREFIX);
        // Editors leave files that begin with a dot, and what begins with a hyphen would be an option.
        if is_source && !name.starts_with(['.', '-', '@']) && entry.path().is_file() {
            found.push(name);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(BuildError::Source {
            what: format!("{} has no `.c` file but tests ({TEST_PREFIX}*.c)", project.dir.display()),
            help: "an agent has one function, `bandstand_run`; how it looks: bandstand plugin new hello --lang c".to_owned(),
        });
    }
    Ok(found)
}

fn refused(problem: &str) -> BuildError {
    let help = if problem.contains("wasi_snapshot_preview1") {
        "something of the C library that reaches outside was called (files, printf, clocks, the environment), which an agent in C \
         does not have: bandstand_log writes a line, bandstand_crash ends with one"
    } else {
        "an agent has one function, `bandstand_run`; see bandstand.h"
    };
    BuildError::Source { what: format!("target/core.wasm is no agent: {problem}"), help: help.to_owned() }
}
