//! JavaScript and TypeScript: the author's file, the SDK and a generated entry become one module, and QuickJS with it a component.
//! The tools are those of the project's `package.json`.

use std::fmt;

use serde::Deserialize;

use super::super::run::{BuildError, Runner};
use super::super::tool::{JAVASCRIPT_TOOLS, Program, TYPESCRIPT_TOOLS, Tools};
use super::{
    Language, Project, WORLD, made_of_world, must_have, must_have_sdk, read, uses, write, write_world,
};

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
    must_be_whole(project, runner)?;
    let bundle = read(&project.dir.join("target/bundle.js"))?;
    uses::of_bundle(project, &String::from_utf8_lossy(&bundle), runner);
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

/// What the bundler's configuration leaves of the bundle.
#[derive(Deserialize)]
struct Bundled {
    /// What it did not find.
    unresolved: Vec<Unresolved>,
    /// What is imported before anything runs, and stays outside.
    imports: Vec<String>,
}

/// An import of a module that is not there.
#[derive(Deserialize)]
struct Unresolved {
    name: String,
    /// From the project's folder.
    file: String,
    line: Option<u32>,
}

/// A module that is not there is none in the component either: there it would fail when it is called. What a package can do without,
/// since it only asks for it on the way, is a warning.
fn must_be_whole(project: &Project, runner: &Runner<'_>) -> Result<(), BuildError> {
    let bundled = read(&project.dir.join("target/bundle.json"))?;
    let bundled: Bundled = serde_json::from_slice(&bundled).map_err(|error| BuildError::Source {
        what: format!("target/bundle.json is not what the bundler was told to write: {error}"),
        help: "does rolldown have the version that `bandstand plugin new` names?".to_owned(),
    })?;
    let is_needed = |missing: &&Unresolved| {
        !missing.file.starts_with("node_modules/") || bundled.imports.contains(&missing.name)
    };
    let (needed, optional): (Vec<&Unresolved>, Vec<&Unresolved>) =
        bundled.unresolved.iter().partition(is_needed);
    for missing in optional {
        (runner.warn)(&format!("{missing}; a call that needs it will fail"));
    }
    let Some(first) = needed.first() else { return Ok(()) };
    let lines: Vec<String> = needed.iter().map(ToString::to_string).collect();
    Err(BuildError::Source { what: lines.join("\n"), help: first.help() })
}

/// The modules of node itself that are imported most.
const OF_NODE: [&str; 20] = [
    "assert",
    "buffer",
    "child_process",
    "crypto",
    "dns",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "net",
    "os",
    "path",
    "process",
    "stream",
    "tls",
    "url",
    "util",
    "worker_threads",
    "zlib",
];

impl Unresolved {
    fn help(&self) -> String {
        let base = self.name.split('/').next().unwrap_or_default();
        if self.name.starts_with("node:") || OF_NODE.contains(&base) {
            return "a component has none of node's own modules: take a package that does without, or what the SDK has (log, memory, model, \
                    tools, http)"
                .to_owned();
        }
        let is_scoped = self.name.starts_with('@');
        let package: Vec<&str> = self.name.split('/').take(if is_scoped { 2 } else { 1 }).collect();
        format!("install it: npm install {}", package.join("/"))
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        write!(formatter, "{}{line} imports `{}`, which is not there", self.file, self.name)
    }
}

/// What the bundler is told. The interfaces stay outside, and there is one SDK, wherever the author's file finds it.
fn config(sdk: &str) -> String {
    format!(
        "// Written by `bandstand plugin build`.
import {{ writeFileSync }} from 'node:fs';
import {{ relative }} from 'node:path';
import {{ fileURLToPath }} from 'node:url';

const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const sdk = (file) => here({:?} + file);
const told = {{ unresolved: [], imports: [] }};
// At each word, since the bundler warns after it has written.
const tell = () => writeFileSync(here('bundle.json'), JSON.stringify(told));

export default {{
  input: here('entry.js'),
  external: /^(bandstand|host|wasi):/,
  resolve: {{ alias: {{ 'bandstand/wasm': sdk('wasm.js'), bandstand: sdk('bandstand.js') }} }},
  output: {{ file: here('bundle.js'), format: 'esm', sourcemap: true }},
  onLog(level, log, handler) {{
    if (log.code !== 'UNRESOLVED_IMPORT') return handler(level, log);
    told.unresolved.push({{ name: log.exporter, file: relative(here('..'), log.id), line: log.loc?.line }});
    tell();
  }},
  plugins: [{{
    name: 'bandstand',
    writeBundle(_, chunks) {{
      told.imports = Object.values(chunks).flatMap((chunk) => chunk.imports ?? []);
      tell();
    }},
  }}],
}};
",
        format!("../{sdk}/")
    )
}
