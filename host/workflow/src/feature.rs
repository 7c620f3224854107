//! What a workflow file may ask for beyond the core, and which of it a build has.

use std::collections::BTreeSet;

use serde::Serialize;

/// A feature of the language that a build may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// The grant `http`.
    Http,
    /// The grant `model`.
    Model,
    /// The grant `tools`.
    Tools,
    /// The grant `secrets`.
    Secrets,
    /// The grant `env`.
    Env,
    /// The grant `files`.
    Files,
    /// The grant `clock`.
    Clock,
    /// The grant `random`.
    Random,
    /// The builtin `chat`.
    BuiltinChat,
    /// The builtin `tool`.
    BuiltinTool,
    /// The builtin `http`.
    BuiltinHttp,
    /// The builtin `transform`.
    BuiltinTransform,
    /// `triggers`.
    Triggers,
    /// `stream`.
    Stream,
    /// Any component's function: `function`.
    Function,
    /// Weighted routes: `weights`, `key`.
    Weights,
    /// `compensate`.
    Compensate,
}

impl Feature {
    /// All of them.
    pub const ALL: &[Feature] = &[
        Feature::Http,
        Feature::Model,
        Feature::Tools,
        Feature::Secrets,
        Feature::Env,
        Feature::Files,
        Feature::Clock,
        Feature::Random,
        Feature::BuiltinChat,
        Feature::BuiltinTool,
        Feature::BuiltinHttp,
        Feature::BuiltinTransform,
        Feature::Triggers,
        Feature::Stream,
        Feature::Function,
        Feature::Weights,
        Feature::Compensate,
    ];

    /// How it is written in a file.
    pub fn name(self) -> &'static str {
        match self {
            Feature::Http => "grants.http",
            Feature::Model => "grants.model",
            Feature::Tools => "grants.tools",
            Feature::Secrets => "grants.secrets",
            Feature::Env => "grants.env",
            Feature::Files => "grants.files",
            Feature::Clock => "grants.clock",
            Feature::Random => "grants.random",
            Feature::BuiltinChat => "builtin: chat",
            Feature::BuiltinTool => "builtin: tool",
            Feature::BuiltinHttp => "builtin: http",
            Feature::BuiltinTransform => "builtin: transform",
            Feature::Triggers => "triggers",
            Feature::Stream => "stream",
            Feature::Function => "function",
            Feature::Weights => "weights",
            Feature::Compensate => "compensate",
        }
    }

    /// The phase it is due in.
    pub fn phase(self) -> &'static str {
        match self {
            Feature::Http
            | Feature::Model
            | Feature::Tools
            | Feature::Secrets
            | Feature::Env
            | Feature::Files
            | Feature::Clock
            | Feature::Random
            | Feature::BuiltinChat
            | Feature::BuiltinTool
            | Feature::BuiltinHttp
            | Feature::BuiltinTransform => "C",
            Feature::Triggers | Feature::Stream => "D",
            Feature::Function => "E",
            Feature::Weights | Feature::Compensate => "later",
        }
    }

    /// The feature that a builtin of the language is; `None` for `echo`, which is core, and for unknown ones.
    pub(crate) fn of_builtin(name: &str) -> Option<Feature> {
        match name {
            "chat" => Some(Feature::BuiltinChat),
            "tool" => Some(Feature::BuiltinTool),
            "http" => Some(Feature::BuiltinHttp),
            "transform" => Some(Feature::BuiltinTransform),
            _ => None,
        }
    }
}

/// The features beyond the core that a build has; which, the host says. The graph holds what all of them need.
pub type Features = BTreeSet<Feature>;

/// All features with their phase, for `check --features` and the like.
pub fn features() -> impl Iterator<Item = (Feature, &'static str, &'static str)> {
    Feature::ALL.iter().map(|feature| (*feature, feature.name(), feature.phase()))
}
