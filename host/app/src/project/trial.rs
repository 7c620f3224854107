//! What a plugin is granted when it is called by hand, without a workflow: what somebody asks for in the words of a
//! workflow file, where `bandstand.toml` permits it.

use bandstand_engine::graph::{Grants, PluginSource};
use bandstand_sandbox::Inspection;
use bandstand_workflow::{
    Diagnostic, FileProblem, Options, Permitted, PluginFacts, PluginProblem, Resolver, Severity,
};

use super::directory::Directory;
use super::{config, load, permits, tools};

/// The name under which the plugin stands in the file that is made up here.
const PLUGIN: &str = "plugin";

/// Reads `{ memory: write }` and the like as `check` does, so that it means what it means in a workflow file. `name` is
/// what `[grants]` may call the plugin; `tools` are those that are given to it by hand.
///
/// # Errors
/// What is wrong with it: a key, a value, an import that it does not cover, or what is not permitted.
pub fn grants(
    asked: &str,
    name: &str,
    inspection: &Inspection,
    directory: &Directory,
    tools: &[&str],
) -> Result<Grants, Vec<Diagnostic>> {
    let asked = asked.replace(['\n', '\r'], " ");
    let text = format!(
        "format: 1\nname: trial\nversion: 1\nplugins:\n  {PLUGIN}:\n    path: plugin.wasm\n    grants: {asked}\nnodes:\n  \
         call: {{ agent: {PLUGIN}, next: end }}\n"
    );
    // The node of the file gives the plugin nothing; what it is called with is not this file's question.
    let facts = PluginFacts { input: None, ..load::facts(inspection, None) };
    let alone = Alone { name, directory, facts, tools };
    let options = Options { file: "--grants".to_owned(), resolver: Some(&alone), features: load::features() };
    let checked = bandstand_workflow::check(text.as_bytes(), &options);
    let wrong = |found: &Diagnostic| found.severity == Severity::Error || found.code == load::LACKING;
    let mut problems: Vec<Diagnostic> = checked.diagnostics.into_iter().filter(wrong).collect();
    // There is no file in which a plugin of that name could stand.
    let is_unknown =
        |found: &&mut Diagnostic| found.code == "BW610" && found.message.starts_with("there is no tool");
    for problem in problems.iter_mut().filter(is_unknown) {
        problem.help = "--tool NAME=FILE gives a tool, and so does [tools.NAME] in bandstand.toml".to_owned();
    }
    let plugin = checked.graph.and_then(|graph| {
        graph.plugins.into_iter().find_map(|(id, plugin)| (id.as_str() == PLUGIN).then_some(plugin.grants))
    });
    match plugin {
        Some(mut grants) if problems.is_empty() => {
            // It was found a moment ago; one that is gone since is refused when it is opened.
            let _ = load::pin_directories(&mut grants, directory, str::to_owned);
            Ok(grants)
        }
        _ => Err(problems),
    }
}

/// Answers the questions of `check` about one plugin that is known already.
struct Alone<'a> {
    name: &'a str,
    directory: &'a Directory,
    facts: PluginFacts,
    tools: &'a [&'a str],
}

impl Resolver for Alone<'_> {
    fn read(&self, path: &str, size_bytes_max: usize) -> Result<Vec<u8>, FileProblem> {
        self.directory.read(path, size_bytes_max as u64).map_err(load::file_problem)
    }

    fn plugin(&self, _: &PluginSource, _: Option<&str>) -> Result<PluginFacts, PluginProblem> {
        Ok(self.facts.clone())
    }

    fn builtins(&self) -> Vec<String> {
        Vec::new()
    }

    fn permitted(&self, _: &PluginSource, digest: &str) -> Option<Permitted> {
        let config = self.directory.config.as_ref().filter(|config| config.rules_grants())?;
        let file = self.directory.root.join(config::FILE_NAME);
        let place = format!("in {}, [grants]: {:?}", file.display(), self.name);
        Some(permits::permitted(config, &[self.name, digest], place))
    }

    fn tool(&self, id: &str) -> Option<Result<Vec<String>, String>> {
        if self.tools.contains(&id) {
            return Some(Ok(Vec::new()));
        }
        let found = tools::find(self.directory.config.as_ref()?, id)?;
        Some(found.map(|tool| tool.plugin.grants.tools.iter().map(ToString::to_string).collect()))
    }

    fn tools(&self) -> Vec<String> {
        let of_host = self.directory.config.iter().flat_map(|config| config.tools.keys().cloned());
        self.tools.iter().map(ToString::to_string).chain(of_host).collect()
    }

    fn in_project(&self, path: &str) -> String {
        self.directory.name_in_project(path)
    }

    fn directory(&self, path: &str) -> Result<(), FileProblem> {
        load::can_be_granted(self.directory, path)
    }

    fn kept_env(&self, name: &str) -> Option<String> {
        permits::kept_env(self.directory.config.as_ref(), name)
    }
}
