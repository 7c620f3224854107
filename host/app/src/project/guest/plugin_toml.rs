//! `plugin.toml`: what a project of an agent is called, and what it is written in.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::language::Language;

/// What the file is called.
pub const FILE_NAME: &str = "plugin.toml";
/// Longest name of a plugin. Characters.
const NAME_CHARS_MAX: usize = 63;
/// Interfaces that have to be named to be imported, where the language imports its world.
pub(super) const INTERFACES: [&str; 5] = ["memory-audit", "memory-facts", "memory-slots", "model", "tools"];

/// What it says.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PluginToml {
    /// The component is called so: `NAME.wasm`.
    pub name: String,
    /// Of the agent.
    pub version: String,
    /// What it does, in a sentence.
    #[serde(default)]
    pub description: String,
    /// What it is written in.
    pub language: Language,
    /// Interfaces beyond `log` and `progress`.
    #[serde(default)]
    pub uses: Vec<String>,
    /// Where the SDK lies, from the folder of this file; left out, in the project itself.
    #[serde(default)]
    pub sdk: Option<String>,
}

/// Why there is nothing to build.
#[derive(Debug, Error)]
pub enum PluginTomlError {
    /// There is no such file.
    #[error("{} has no {FILE_NAME}, which says what is to be built", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It does not say what it should.
    #[error("{}: {problem}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
}

impl PluginToml {
    /// Reads the file of a folder.
    ///
    /// # Errors
    /// When there is none, or it does not say what it should.
    pub fn read(dir: &Path) -> Result<PluginToml, PluginTomlError> {
        let path = dir.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(PluginTomlError::Missing(dir.to_owned()));
            }
            Err(source) => return Err(PluginTomlError::Read { path, source }),
        };
        parse(&text).map_err(|problem| PluginTomlError::Invalid { path, problem })
    }
}

fn parse(text: &str) -> Result<PluginToml, String> {
    let found: PluginToml = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    if let Some(problem) = name_problem(&found.name) {
        return Err(format!("name = {:?}: {problem}", found.name));
    }
    if found.version.trim().is_empty() {
        return Err("version is empty; such as version = \"0.1.0\"".to_owned());
    }
    for interface in &found.uses {
        if !INTERFACES.contains(&interface.as_str()) {
            let why = match interface.as_str() {
                "log" | "progress" => "is always there; leave it out",
                _ => "is no interface that an agent can use",
            };
            return Err(format!("uses: {interface:?} {why}. There is {}", INTERFACES.join(", ")));
        }
    }
    if found.sdk.is_some() && found.language == Language::Rust {
        return Err("sdk: in Rust, Cargo.toml says where the SDK is; leave it out".to_owned());
    }
    Ok(found)
}

/// What is wrong with the name of a plugin.
pub fn name_problem(name: &str) -> Option<String> {
    let form = || {
        format!(
            "a name is lower-case letters, digits and single hyphens between them, beginning with a letter: {:?}",
            kebab(name)
        )
    };
    if name.chars().count() > NAME_CHARS_MAX {
        return Some(format!("it is longer than {NAME_CHARS_MAX} characters"));
    }
    if name == "bandstand" || name.starts_with("bandstand-") {
        return Some("names that begin with `bandstand` are the project's own".to_owned());
    }
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.ends_with('-')
        && !name.contains("--");
    (!good).then(form)
}

/// The nearest name of the right form.
fn kebab(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().skip_while(|c| !c.is_ascii_alphabetic()) {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => name.push(c.to_ascii_lowercase()),
            _ if !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "my-agent".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"a-b2\"\nversion = \"0.1.0\"\nlanguage = \"python\"\nuses = [\"model\"]\n";

    // R8.5
    #[test]
    fn names_are_kebab_case() {
        for good in ["a", "a-b", "review-2", "x9", &"a".repeat(63)] {
            assert_eq!(name_problem(good), None, "{good}");
        }
        for (bad, told) in [
            ("", "my-agent"),
            ("My Agent", "\"my-agent\""),
            ("a_b", "\"a-b\""),
            ("2nd", "\"nd\""),
            ("a-", "\"a\""),
            ("a--b", "\"a-b\""),
            ("../x", "\"x\""),
            ("bandstand-sdk", "the project's own"),
            (&"a".repeat(64), "63 characters"),
        ] {
            let problem = name_problem(bad).unwrap();
            assert!(problem.contains(told), "{bad}: {problem}");
        }
    }

    // R8.5
    #[test]
    fn what_a_project_is_must_be_said_rightly() {
        let found = parse(GOOD).unwrap();
        assert_eq!(
            (found.language, found.sdk, found.uses),
            (Language::Python, None, vec!["model".to_owned()])
        );
        for (text, told) in [
            (GOOD.replace("uses", "use"), "unknown field `use`"),
            (GOOD.replace("python", "cobol"), "unknown variant `cobol`"),
            (GOOD.replace("name = \"a-b2\"\n", ""), "missing field `name`"),
            (GOOD.replace("a-b2", "A B"), "\"a-b\""),
            (GOOD.replace("\"model\"", "\"memory\""), "memory-audit, memory-facts"),
            (GOOD.replace("\"model\"", "\"log\""), "always there"),
            (GOOD.replace("0.1.0", ""), "version is empty"),
            (GOOD.replace("python", "rust") + "sdk = \"..\"\n", "Cargo.toml says"),
        ] {
            let problem = parse(&text).unwrap_err();
            assert!(problem.contains(told), "{text}: {problem}");
        }
        // Where it is stands there, too.
        assert!(parse("name = 1").unwrap_err().contains("line 1, column 8"));
    }

    #[test]
    fn a_folder_without_the_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let error = PluginToml::read(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("has no plugin.toml, which says what is to be built"), "{error}");
    }
}
