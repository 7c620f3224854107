//! Runs agents: WebAssembly components that export `bandstand:agent/node@0.1.x` (`wit/agent.wit`); and functions of any other
//! component of WASI 0.2, by reflection ([`Sandbox::load_function`]).
//!
//! [`Sandbox::load`] turns bytes into a [`Plugin`] or says why not; [`Sandbox::call`] makes one attempt with it, in a
//! fresh instance that is thrown away afterwards. However an attempt ends, the end is a value ([`Outcome`]): a guest
//! that crashes, loops or floods is a [`Failure`] with a class, never an error of the host.
//!
//! This is the only crate that knows wasmtime, and none of its types show. It knows nothing of workflows, retries,
//! journals or where plugins come from: whoever calls decides those. What memory, which models and tools stand behind
//! an agent is given with each call as a [`Memory`], a [`Model`] and [`Tools`]; what outgoing HTTP may reach is given once as an
//! [`Outbound`].

mod answer;
mod attempt;
mod bindings;
mod cache;
mod cache_key;
mod call;
mod callable;
mod cancel;
mod capture;
mod clocks;
mod compile_child;
mod compile_times;
mod compiler;
mod contract;
mod disk;
mod engine;
mod exported;
mod failure;
mod files;
mod guest;
mod guest_memory;
mod guest_model;
mod guest_tools;
mod http;
mod inspect;
mod lane;
mod limiter;
mod limits;
mod load_error;
mod loader;
mod memory;
mod meter;
mod model;
mod offered;
mod plugin;
mod power_error;
mod random;
mod reply;
mod sandbox;
mod sanitise;
mod settings;
mod tools;
mod values;

pub use cache::KeptCode;
pub use call::{CallRequest, GuestEvent, LogLevel, Observer, Outcome, Usage};
pub use cancel::CancelToken;
pub use compile_child::compile_main;
pub use compile_times::{COMPILE_SECONDS, CompileTimes};
pub use compiler::Compiler;
pub use contract::{Breach, Contract, INPUT_INVALID, OUTPUT_INVALID};
pub use failure::{Class, Failure};
pub use http::{
    HttpLimits, Network, Outbound, Resolved, Resolver, Secret, SecretValue, Secrets, SystemResolver,
    authorities_from_pem, origin_problem,
};
pub use inspect::{Inspection, MANIFEST_BYTES_MAX, MANIFEST_SECTION, NoManifestText, inspect, validate};
pub use limits::{Limit, SetBy, Unit};
pub use load_error::{LoadError, Refused, SetupError};
pub use memory::{AuditEntry, AuditRecord, Fact, FactHit, FactQuery, Memory, SearchMode};
pub use model::{
    BUDGET_CODE, Model, ModelAnswer, ModelCall, ModelEvent, ModelFinish, ModelFuture, ModelMessage,
    ModelPart, ModelRequest, ModelResponse, ModelRole, ModelUsage, ToolCall, ToolSpec,
};
pub use offered::{AGENT_PACKAGE, AGENT_VERSION};
pub use plugin::{Import, Plugin};
pub use power_error::{PowerError, PowerErrorKind};
#[doc(hidden)]
pub use reply::check_texts;
pub use reply::{Choice, Next, Reply, ReviewRequest};
pub use sandbox::Sandbox;
pub use settings::{
    CallLimits, FilesDirectory, FilesGrant, Grants, HttpGrant, MEMORY_BYTES_CEILING, MemoryGrant, Settings,
};
pub use tools::{OnEnd, TOOL_DEPTH_MAX, Tool, ToolUse, Tools};
