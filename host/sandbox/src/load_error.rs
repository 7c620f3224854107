//! Why a sandbox cannot be set up and why a component cannot be loaded: what, where, and what to do next.

use crate::failure::{Class, Failure};
use std::path::PathBuf;

/// The sandbox cannot be set up on this machine or with these settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A setting is out of range.
    #[error("{setting} is {value}, but must be {must}")]
    Setting {
        /// Its name in [`Settings`](crate::Settings).
        setting: &'static str,
        /// What it was.
        value: usize,
        /// What it may be.
        must: &'static str,
    },
    /// The WebAssembly engine does not start.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// No threads for guests.
    #[error("cannot start the threads that run agents: {0}")]
    Threads(#[source] std::io::Error),
    /// The folder for compiled code cannot be used.
    #[error("cannot keep compiled code in {}: {source}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The folder for scratch directories cannot be used.
    #[error("cannot keep scratch directories in {}: {source}", path.display())]
    Scratch {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// An import that this host does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The import's name as the component has it.
    pub interface: String,
    /// Why, and what is offered instead.
    pub reason: String,
}

/// The bytes are not an agent that this host can run with these grants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Larger than the host looks at.
    #[error(
        "the component has {size_bytes} bytes, more than the limit of {size_bytes_max} (limit component, fixed by the host)"
    )]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        size_bytes_max: usize,
    },
    /// Not WebAssembly at all.
    #[error("not a WebAssembly component: {looks_like}")]
    NotWasm {
        /// What it seems to be, and what to do.
        looks_like: &'static str,
    },
    /// A core module.
    #[error(
        "this is a core WebAssembly module, not a component; turn it into one with `wasm-tools component new`, or \
         build it with the project's SDK"
    )]
    CoreModule,
    /// WebAssembly, but broken or using something this host leaves out.
    #[error("the component is damaged or uses a WebAssembly feature that this host leaves out: {message}")]
    Malformed {
        /// What the parser says, with the byte offset.
        message: String,
    },
    /// More of something than this host takes.
    #[error("the component has more than {max} {what}, which is fixed by the host")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A component, but not an agent.
    #[error(
        "not an agent: it does not export `bandstand:agent/node@{offered}`; it exports {}{}",
        list(exports),
        can_be_called(functions)
    )]
    NoNode {
        /// What it exports.
        exports: Vec<String>,
        /// The version this host speaks.
        offered: &'static str,
        /// Functions of it that a plugin can call all the same, as a workflow file names them.
        functions: Vec<String>,
    },
    /// The name of a function is none.
    #[error(
        "`{name}` names no function: {reason}; write it as `ns:pkg/iface#name`, or `name` for one without interface"
    )]
    FunctionName {
        /// What was asked for.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It exports no such function.
    #[error("the component exports no function `{name}`; it exports {}", list(functions))]
    NoFunction {
        /// What was asked for.
        name: String,
        /// Every function it exports, with its type in WIT.
        functions: Vec<String>,
    },
    /// It exports the function in several versions of its interface.
    #[error("the component exports `{name}` in several versions; name one: {}", list(names))]
    SeveralFunctions {
        /// What was asked for.
        name: String,
        /// The full names.
        names: Vec<String>,
    },
    /// It exports the function, but nobody can call it from JSON.
    #[error("the function `{name}: {signature}` cannot be called: {reason}")]
    NotCallable {
        /// Its full name.
        name: String,
        /// Its type in WIT.
        signature: String,
        /// Why not.
        reason: String,
    },
    /// An agent for another version of the interface.
    #[error(
        "the agent was built for {found}, but this host speaks bandstand:agent@{offered}; rebuild it with the \
         `wit/agent.wit` of this host"
    )]
    WrongVersion {
        /// The export as the component has it.
        found: String,
        /// The version this host speaks.
        offered: &'static str,
    },
    /// It imports what does not exist here; all of it is listed.
    #[error("the agent imports what this host does not offer: {}", refused(.0))]
    UnknownImports(Vec<Refused>),
    /// It imports what it was not granted; all of it is listed.
    #[error("the agent imports what it is not granted: {}", refused(.0))]
    NotGranted(Vec<Refused>),
    /// Names fit, types do not.
    #[error(
        "the agent's interfaces do not fit this host: {message}; rebuild it with the `wit/agent.wit` of this host"
    )]
    Incompatible {
        /// What the linker says.
        message: String,
    },
    /// The compiler gave up.
    #[error("the component cannot be compiled: {message}")]
    Compile {
        /// What the compiler says.
        message: String,
    },
    /// Compiling took too long and was ended.
    #[error(
        "compiling the component took longer than the limit of {limit_ms} ms (setting compile.time); if you trust it, \
         raise the limit, else leave it out"
    )]
    CompileTime {
        /// The limit. Milliseconds.
        limit_ms: u64,
    },
    /// Compiling needed too much memory and was ended.
    #[error(
        "compiling the component needed more address space than the limit of {limit_bytes} bytes (setting \
         compile.memory); if you trust it, raise the limit, else leave it out"
    )]
    CompileMemory {
        /// The limit. Bytes.
        limit_bytes: u64,
    },
    /// The compiler died of this component, in a child process or caught in this one.
    #[error("the compiler crashed on the component ({how}); please report it, with the component")]
    CompilerCrash {
        /// How it ended.
        how: String,
    },
    /// The compiling child answered with something that is no answer.
    #[error(
        "the process that compiles gave no valid answer: {problem}; please report it, with the component"
    )]
    CompilerAnswer {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The compiling child could not be started or spoken to. Not the component's fault.
    #[error(
        "the process that compiles ({}) cannot be started: {problem}; see to memory and the number of processes",
        program.display()
    )]
    CompilerStart {
        /// What was to be started.
        program: PathBuf,
        /// What the system says.
        problem: String,
    },
}

impl LoadError {
    /// What a call of a plugin that cannot be loaded fails with. A fault of the host may pass; all others stay with the
    /// component or the settings.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let (class, code) = match self {
            LoadError::NotGranted(_) => (Class::Denied, "not-granted"),
            LoadError::CompileTime { .. } => (Class::Timeout, "compile-time"),
            LoadError::CompileMemory { .. } => (Class::Limit, "compile-memory"),
            LoadError::CompilerStart { .. } => (Class::Host, "compiler-start"),
            _ => (Class::Trap, "plugin-unusable"),
        };
        Failure { recoverable: class == Class::Host, ..Failure::new(class, code, self.to_string()) }
    }
}

/// Names in a message; who imports thousands is told of the first.
const LISTED_MAX: usize = 20;

fn can_be_called(functions: &[String]) -> String {
    match functions {
        [] => String::new(),
        [first, ..] => {
            format!("; a plugin calls a function of it by `function`, such as `function: \"{first}\"`")
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { first(names.iter().cloned(), ", ") }
}

fn refused(items: &[Refused]) -> String {
    first(items.iter().map(|item| format!("`{}` ({})", item.interface, item.reason)), "; ")
}

fn first(items: impl ExactSizeIterator<Item = String>, between: &str) -> String {
    let more = items.len().saturating_sub(LISTED_MAX);
    let mut listed: Vec<String> = items.take(LISTED_MAX).collect();
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    listed.join(between)
}
