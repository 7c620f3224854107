//! The agents that come with the host: ordinary components, embedded in the binary.
//!
//! `assets/echo.wasm` is made of `assets/echo.wat` and the interface in `wit/` by the test `tests/builtin.rs`, which
//! fails when the two differ and writes the component anew with `BANDSTAND_UPDATE=1`. It is committed so that building
//! the host needs no WebAssembly toolchain.

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
pub const ALL: &[Builtin] = &[Builtin {
    name: "echo",
    description: "its output is its input",
    bytes: include_bytes!("../../assets/echo.wasm"),
}];

/// The one of that name.
pub fn named(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|builtin| builtin.name == name)
}
