//! `plugin.toml`: what an author says of an agent in its folder. `plugin build` builds by it; `plugin build` and `plugin pack`
//! make the component's manifest of it.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use bandstand_sandbox::MANIFEST_BYTES_MAX;
use serde::Deserialize;
use serde_json::Value;

use super::config::layers::with_suggestion;
use super::directory::open_file;
use super::guest::Language;
use super::manifest::{Manifest, ManifestError};

/// What the file is called.
pub const FILE_NAME: &str = "plugin.toml";
/// No larger `plugin.toml` is read. Bytes.
const FILE_BYTES_MAX: u64 = 512 << 10;
/// No larger file is read for a schema: a manifest has no room for more. Bytes.
const SCHEMA_BYTES_MAX: u64 = MANIFEST_BYTES_MAX as u64;
/// The interfaces that `uses` can name, beyond those that every agent has.
pub const USES: &[&str] = &["http", "memory-audit", "memory-facts", "memory-slots", "model", "tools"];
/// Those that every agent has.
const ALWAYS: &[&str] = &["types", "log", "progress"];
/// Longest name, as a server takes it. Bytes.
const NAME_BYTES_MAX: usize = 58;

/// What an author says of an agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginToml {
    /// What it is called; its component is `NAME.wasm`.
    pub name: String,
    /// The author's version of it.
    pub version: Option<String>,
    /// What it is for, for people and models.
    pub description: Option<String>,
    /// What it is written in; `plugin build` needs it.
    pub language: Option<Language>,
    /// Where the SDK is, from the folder of this file, if not where `plugin new` put it.
    pub sdk: Option<String>,
    /// The interfaces that it imports, out of [`USES`]. Python and JavaScript import these and no others; none: it says
    /// nothing.
    pub uses: Option<Vec<String>>,
    /// The secrets that it wants to be lent, by name.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// JSON Schema of its input: a table, or the path of a JSON file beside `plugin.toml`.
    pub input: Option<Value>,
    /// JSON Schema of its output, likewise.
    pub output: Option<Value>,
}

/// A `plugin.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginTomlError {
    /// It, or a file that it names, cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It, or a file that it names, is too large.
    #[error("{} has more than {bytes_max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// It is not valid.
    #[error("{}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what is meant perhaps.
        problem: String,
    },
    /// What it says makes no manifest.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ManifestError,
    },
}

impl PluginToml {
    /// Reads one.
    ///
    /// # Errors
    /// When it cannot be read or is not valid; a key that is not known is an error.
    pub fn read(path: &Path) -> Result<PluginToml, PluginTomlError> {
        let invalid = |problem: String| PluginTomlError::Invalid { path: path.to_owned(), problem };
        let bytes = bounded(path, FILE_BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text".to_owned()))?;
        PluginToml::parse(&text).map_err(invalid)
    }

    /// Reads its text.
    ///
    /// # Errors
    /// For people: what is wrong, with its place and a proposal.
    pub fn parse(text: &str) -> Result<PluginToml, String> {
        let told: PluginToml =
            toml::from_str(text).map_err(|error| with_suggestion(error.to_string().trim_end().to_owned()))?;
        match told.problem() {
            Some(problem) => Err(problem),
            None => Ok(told),
        }
    }

    fn problem(&self) -> Option<String> {
        if !is_name(&self.name) {
            return Some(format!(
                "`name` is {:?}; a name has letters, digits, `_`, `.` and `-`, begins with a letter or digit and has \
                 {NAME_BYTES_MAX} characters at most",
                self.name
            ));
        }
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(version) = self.version.as_ref().filter(|version| !plain(version)) {
            return Some(format!("`version` is {version:?}; write it as 0.1.0"));
        }
        for word in self.uses.iter().flatten() {
            if ALWAYS.contains(&word.as_str()) {
                return Some(format!("`uses` names `{word}`, which every agent has: leave it out"));
            }
            if !USES.contains(&word.as_str()) {
                let near = bandstand_workflow::nearest(word, USES.iter().copied());
                let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Some(format!("`uses` names `{word}`; there is {}{near}", USES.join(", ")));
            }
        }
        if let Some(secret) = self.secrets.iter().find(|secret| !is_name(secret)) {
            return Some(format!("`secrets` names {secret:?}, which no secret can be called"));
        }
        for (key, schema) in [("input", &self.input), ("output", &self.output)] {
            if schema.as_ref().is_some_and(|schema| !schema.is_object() && !schema.is_string()) {
                return Some(format!(
                    "`{key}` is a JSON Schema as a table, or the path of a JSON file that holds one: \
                     {key} = \"{key}.schema.json\""
                ));
            }
        }
        None
    }

    /// The manifest that it makes. `path` is where it was read from: files that it names are beside it.
    ///
    /// # Errors
    /// When a schema cannot be read or is none, or something is too long.
    pub fn manifest(&self, path: &Path) -> Result<Manifest, PluginTomlError> {
        let manifest = Manifest {
            name: Some(self.name.clone()),
            version: self.version.clone(),
            description: self.description.clone(),
            input: schema(path, self.input.as_ref())?,
            output: schema(path, self.output.as_ref())?,
            uses: self.uses.clone(),
            secrets: self.secrets.clone(),
            sdk: None,
        };
        match manifest.check() {
            Ok(()) => Ok(manifest),
            Err(source) => Err(PluginTomlError::Manifest { path: path.to_owned(), source }),
        }
    }
}

/// A name that a server takes for a plugin, too.
fn is_name(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(rest)
}

fn schema(path: &Path, given: Option<&Value>) -> Result<Option<Value>, PluginTomlError> {
    let Some(Value::String(named)) = given else { return Ok(given.cloned()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = folder.join(named);
    // What it holds goes into the component: nothing from elsewhere, whoever wrote this file.
    let outside = match (folder.canonicalize(), file.canonicalize()) {
        (Ok(folder), Ok(file)) => !file.starts_with(folder),
        // That it cannot be read is told below, unless it is not even named as one of here.
        _ => !Path::new(named)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir)),
    };
    if outside {
        let problem = format!("`{named}` is not below the folder of this file; copy the schema there");
        return Err(PluginTomlError::Invalid { path: path.to_owned(), problem });
    }
    let bytes = bounded(&file, SCHEMA_BYTES_MAX)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| PluginTomlError::Invalid { path: file, problem: format!("it is not JSON: {error}") })
}

fn bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, PluginTomlError> {
    let mut bytes = Vec::new();
    open_file(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
        .map_err(|source| PluginTomlError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > bytes_max {
        return Err(PluginTomlError::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    // R8.5, R7.6: whoever packs a folder of somebody else must not ship a file of this machine.
    #[test]
    fn a_schema_is_taken_from_the_folder_only() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("agent");
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        std::fs::write(outer.path().join("secret.json"), r#"{ "auths": 1 }"#).unwrap();
        std::fs::write(folder.join("deep/in.json"), r#"{ "type": "object" }"#).unwrap();
        std::os::unix::fs::symlink(outer.path().join("secret.json"), folder.join("link.json")).unwrap();
        let absolute = outer.path().join("secret.json").display().to_string();
        let path = folder.join(FILE_NAME);
        for (named, is_taken) in [
            ("deep/in.json", true),
            ("./deep/in.json", true),
            (absolute.as_str(), false),
            ("../secret.json", false),
            ("../not-there.json", false),
            ("link.json", false),
        ] {
            let read = schema(&path, Some(&json!(named)));
            assert_eq!(read.is_ok(), is_taken, "{named}: {read:?}");
            if let Err(refused) = read {
                assert!(refused.to_string().contains("not below the folder"), "{refused}");
            }
        }
    }

    // R8.5
    #[test]
    fn a_file_makes_a_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(folder.path().join("in.json"), r#"{ "required": ["text"] }"#).unwrap();
        let text = "name = \"stats\"\nversion = \"0.1.0\"\ndescription = \"Counts.\"\nlanguage = \"python\"\n\
                    uses = [\"memory-slots\", \"http\"]\nsecrets = [\"token\"]\n\
                    input = \"in.json\"\n[output]\ntype = \"object\"\n";
        std::fs::write(&path, text).unwrap();
        let told = PluginToml::read(&path).unwrap();
        assert_eq!(told.language.unwrap().id(), "python");
        let manifest = told.manifest(&path).unwrap();
        assert_eq!(
            json!(manifest),
            json!({
                "name": "stats", "version": "0.1.0", "description": "Counts.", "uses": ["memory-slots", "http"],
                "secrets": ["token"], "input": { "required": ["text"] }, "output": { "type": "object" },
            })
        );
        std::fs::write(folder.path().join("in.json"), r#"{ "required": "text" }"#).unwrap();
        let error = told.manifest(&path).unwrap_err().to_string();
        assert!(
            error.contains("`input` of the manifest is not a valid JSON Schema at `/required`"),
            "{error}"
        );
        std::fs::write(folder.path().join("in.json"), "{").unwrap();
        assert!(told.manifest(&path).unwrap_err().to_string().contains("it is not JSON"));
        std::fs::remove_file(folder.path().join("in.json")).unwrap();
        assert!(told.manifest(&path).unwrap_err().to_string().contains("cannot read"));
    }

    // R8.5
    #[test]
    fn what_is_wrong_is_told_with_what_is_meant() {
        for (text, told) in [
            ("name = \"a\"\nlanguag = \"c\"", "did you mean `language`?"),
            ("name = \"a\"\nlanguage = \"pyton\"", "did you mean `python`?"),
            ("version = \"1\"", "missing field `name`"),
            ("name = \"../a\"", "a name has letters"),
            ("name = \"\"", "a name has letters"),
            ("name = \"a\"\nversion = \"\"", "write it as 0.1.0"),
            ("name = \"a\"\nuses = [\"log\"]", "which every agent has"),
            ("name = \"a\"\nuses = [\"memory-slot\"]", "did you mean `memory-slots`?"),
            ("name = \"a\"\nsecrets = [\"a b\"]", "no secret can be called"),
            ("name = \"a\"\ninput = 3", "input = \"input.schema.json\""),
            ("name = ", "TOML parse error"),
        ] {
            let problem = PluginToml::parse(text).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
