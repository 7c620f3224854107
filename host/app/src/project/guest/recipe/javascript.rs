//! JavaScript and TypeScript: the author's file, the SDK and a generated entry become one module, and QuickJS with it a component.
//! The tools are those of the project's `package.json`.

use super::super::run::{BuildError, Runner};
use super::super::tool::{JAVASCRIPT_TOOLS, Program, TYPESCRIPT_TOOLS, Tools};
use super::{Language, Project, WORLD, made_of_world, must_have, must_have_sdk, write, write_world};

pub(super) fn build(project: &Project, tools: &Tools, runner: &Runner<'_>) -> Result<Vec<u8>, BuildError> {
    let is_typed = project.language == Language::Typescript;
    let (file, needed) =
        if is_typed { ("agent.ts", &TYPESCRIPT_TOOLS[..]) } else { ("agent.js", &JAVASCRIPT_TOOLS[..]) };
    let found = tools.javascript(needed).map_err(BuildError::Lacking)?;
    must_have(project, file)?;
    let sdk = project.sdk("bandstand");
    must_have_sdk(project, &sdk, "entry.mjs")?;
    if let Some(npm) = &found.npm {
        must_have(project, "package.json")?;
        let verb = if project.dir.join("package-lock.json").is_file() { "ci" } else { "install" };
        runner.run(npm, &[verb, "--no-audit", "--no-fund"])?;
    }
    if is_typed {
        runner.run(&installed(tools, "tsc")?, &[])?;
    }
    write_world(project)?;
    let entry = format!("{sdk}/entry.mjs");
    let agent = format!("../{file}");
    let mut args = vec![entry.as_str(), agent.as_str()];
    args.extend(project.uses().iter().map(String::as_str));
    let entry = runner.stdout(&found.node, &args)?;
    write(&project.dir.join("target/entry.js"), &entry)?;
    write(&project.dir.join("target/rolldown.config.mjs"), config(&sdk).as_bytes())?;
    runner.run(&installed(tools, "rolldown")?, &["-c", "target/rolldown.config.mjs"])?;
    let mut args = vec!["--wit", "target/wit", "--world", WORLD, "--js", "target/bundle.js", "--sync"];
    args.extend(["--output", "target/component.wasm"]);
    runner.run(&installed(tools, "componentize-qjs")?, &args)?;
    made_of_world(project)
}

/// A tool that `package.json` names.
fn installed(tools: &Tools, tool: &str) -> Result<Program, BuildError> {
    tools.in_modules(tool).ok_or_else(|| BuildError::Source {
        what: format!("package.json did not bring `{tool}`: there is no node_modules/.bin/{tool}"),
        help: format!("npm install --save-dev {}", if tool == "tsc" { "typescript" } else { tool }),
    })
}

/// What the bundler is told. The interfaces stay outside, and there is one SDK, wherever the author's file finds it.
fn config(sdk: &str) -> String {
    format!(
        "// Written by `bandstand plugin build`.
import {{ fileURLToPath }} from 'node:url';

const sdk = (file) => fileURLToPath(new URL({:?} + file, import.meta.url));

export default {{
  input: fileURLToPath(new URL('entry.js', import.meta.url)),
  external: /^(bandstand|host|wasi):/,
  resolve: {{ alias: {{ 'bandstand/wasm': sdk('wasm.js'), bandstand: sdk('bandstand.js') }} }},
  output: {{ file: fileURLToPath(new URL('bundle.js', import.meta.url)), format: 'esm', sourcemap: true }},
}};
",
        format!("../{sdk}/")
    )
}
