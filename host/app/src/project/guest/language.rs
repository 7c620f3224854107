//! The languages that have an SDK.

use serde::Deserialize;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// `c`.
    C,
    /// `go`.
    Go,
    /// `javascript`.
    Javascript,
    /// `python`.
    Python,
    /// `rust`.
    Rust,
    /// `typescript`.
    Typescript,
}

impl Language {
    /// All of them, as they are told to people.
    pub const ALL: [Language; 6] = [
        Language::Rust,
        Language::Python,
        Language::Javascript,
        Language::Typescript,
        Language::C,
        Language::Go,
    ];

    /// What `plugin.toml` and the command line call it.
    pub fn id(self) -> &'static str {
        match self {
            Language::C => "c",
            Language::Go => "go",
            Language::Javascript => "javascript",
            Language::Python => "python",
            Language::Rust => "rust",
            Language::Typescript => "typescript",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Language::C => "C",
            Language::Go => "Go",
            Language::Javascript => "JavaScript",
            Language::Python => "Python",
            Language::Rust => "Rust",
            Language::Typescript => "TypeScript",
        }
    }

    /// The one of that id.
    ///
    /// # Errors
    /// When there is none: which there are.
    pub fn named(id: &str) -> Result<Language, String> {
        Language::ALL
            .into_iter()
            .find(|language| language.id() == id)
            .ok_or_else(|| format!("there is {}", Language::ALL.map(Language::id).join(", ")))
    }

    /// Whether a component of this language imports all of its world, so that `uses` has to say what that is. The others import
    /// what the code calls.
    pub fn imports_its_world(self) -> bool {
        matches!(self, Language::Javascript | Language::Python | Language::Typescript)
    }
}
