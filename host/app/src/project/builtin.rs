//! The agents that come with the host: ordinary components, embedded in the binary.
//!
//! They are committed, so that building the host needs no WebAssembly toolchain. `assets/echo.wasm` is made of
//! `assets/echo.wat` and the interface in `wit/` by the test `tests/builtin.rs`, which fails when the two differ and writes
//! the component anew with `BANDSTAND_UPDATE=1`. The others are agents of `plugins/agents`, built by
//! `cargo xtask builtins`, which records beside each the digest of its sources; a test of `host/xtask` fails when those
//! changed since. A new one needs a line here and `cargo xtask builtins NAME`.

/// One embedded agent.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// What `builtin:` in a workflow file calls it.
    pub name: &'static str,
    /// What it does, for people.
    pub description: &'static str,
    /// The component.
    pub bytes: &'static [u8],
}

macro_rules! builtins {
    ($($name:literal: $description:literal,)*) => {
        &[$(Builtin {
            name: $name,
            description: $description,
            bytes: include_bytes!(concat!("../../assets/", $name, ".wasm")),
        }),*]
    };
}

/// All of them.
pub const ALL: &[Builtin] = builtins! {
    "chat": "asks a language model for one turn of a conversation",
    "echo": "its output is its input",
    "http": "one HTTP request",
    "tool": "calls one tool",
    "transform": "JSON of JSON, by a filter of jq",
};

/// The one of that name.
pub fn named(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|builtin| builtin.name == name)
}
