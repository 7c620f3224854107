//! The agents that come with the host: ordinary components, embedded in the binary.
//!
//! `assets/echo.wasm` is made of `assets/echo.wat` and the interface in `wit/` by the test `tests/builtin.rs`, which
//! fails when the two differ and writes the component anew with `BANDSTAND_UPDATE=1`. It is committed so that building
//! the host needs no WebAssembly toolchain. `assets/chat.wasm` is made of `plugins/agents/chat` by `cargo xtask builtins`;
//! `assets/chat.sources` is the digest of what it was made of, which the same test compares.

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

/// All of them.
pub const ALL: &[Builtin] = &[
    Builtin {
        name: "chat",
        description: "asks a language model for one turn of a conversation",
        bytes: include_bytes!("../../assets/chat.wasm"),
    },
    Builtin {
        name: "echo",
        description: "its output is its input",
        bytes: include_bytes!("../../assets/echo.wasm"),
    },
];

/// The one of that name.
pub fn named(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|builtin| builtin.name == name)
}
