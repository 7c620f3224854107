//! R7.3: what reads input from outside never dies of it. One target for each reader; each takes any bytes and returns,
//! or panics where something that must hold does not.
//!
//! `tests/found.rs` runs every seed and every finding through its target in each build. Looking for new ones takes the
//! fuzzer: `cargo xtask fuzz TARGET` (`tests/fuzz/README.md`). What ends a finding is a test, not only its bytes in `found/`.

#![allow(clippy::unwrap_used, clippy::panic)] // a target says that something does not hold by panicking

#[cfg(feature = "sandbox")]
mod component;
mod expression;
mod journal;
mod reply;
mod workflow;

/// A reader of input from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The bytes of a plugin: inspected, loaded and called where they can be.
    #[cfg(feature = "sandbox")]
    Component,
    /// A workflow file: checked, drawn, and run where it is right.
    Workflow,
    /// An expression, a template of one line, and a template of a file: compiled and evaluated.
    Expression,
    /// What an agent answers: checked by the engine, and what follows folded again.
    Reply,
    /// A stored journal and a stored snapshot: read and folded.
    Journal,
}

impl Target {
    /// All that this build has.
    pub const ALL: &[Target] = &[
        #[cfg(feature = "sandbox")]
        Target::Component,
        Target::Workflow,
        Target::Expression,
        Target::Reply,
        Target::Journal,
    ];

    /// What it is called on the command line and in `found/`.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "sandbox")]
            Target::Component => "component",
            Target::Workflow => "workflow",
            Target::Expression => "expression",
            Target::Reply => "reply",
            Target::Journal => "journal",
        }
    }

    /// Hands it these bytes.
    ///
    /// # Panics
    /// When something that must hold does not.
    pub fn run(self, bytes: &[u8]) {
        match self {
            #[cfg(feature = "sandbox")]
            Target::Component => component::run(bytes),
            Target::Workflow => workflow::run(bytes),
            Target::Expression => expression::run(bytes),
            Target::Reply => reply::run(bytes),
            Target::Journal => journal::run(bytes),
        }
    }
}

/// Folders of inputs to begin with, from the root of the repository; `found/NAME` beside this crate comes first.
pub fn seeds(target: Target) -> &'static [&'static str] {
    match target {
        #[cfg(feature = "sandbox")]
        Target::Component => &["host/app/assets"],
        Target::Workflow => &["tests/workflows", "tests/workflows/bad", "tests/workflows/children"],
        Target::Expression => &["tests/workflows/prompts"],
        Target::Reply => &[],
        Target::Journal => &["tests/rules/fixtures/events-1"],
    }
}

/// How often each of those is broken in an ordinary test run: what a target costs decides.
pub fn breaks(target: Target) -> usize {
    match target {
        #[cfg(feature = "sandbox")]
        Target::Component => 200,
        Target::Workflow => 20,
        Target::Expression | Target::Reply => 500,
        Target::Journal => 100,
    }
}
