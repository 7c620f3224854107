//! What an agent of Bandstand is written with in Rust: typed input and output, failures, memory, models, tools, log and progress.
//!
//! An agent is a crate of type `cdylib` with one function:
//!
//! ```
//! use bandstand_sdk::{Call, Failure, Reply, agent};
//!
//! #[derive(serde::Deserialize)]
//! struct Input { text: String }
//!
//! #[derive(serde::Serialize)]
//! struct Output { words: usize }
//!
//! agent!(run);
//!
//! fn run(call: &Call) -> Result<Reply, Failure> {
//!     let input: Input = call.input()?;
//!     let words = input.text.split_whitespace().count();
//!     if words == 0 {
//!         return Err(Failure::permanent("text-empty", "`text` holds no word"));
//!     }
//!     Ok(Reply::new(Output { words }).confidence(0.9))
//! }
//! # let reply = run(&Call::with_input(serde_json::json!({ "text": "one two" }))).unwrap();
//! # assert_eq!(reply.output(), serde_json::json!({ "words": 2 }));
//! ```
//!
//! `?` turns errors of JSON and of the host's functions into failures. A panic's text reaches the host as the attempt's
//! last words. What the code does not call is not imported: an agent that leaves [`memory`] alone needs no grant.
//!
//! Off wasm, in `cargo test`, the host's functions are played by [`fake`]. The SDK leaves out everything that WASI
//! would give; an agent has no clock but [`Call::started_at`] and no randomness but [`Call::random`].

mod call;
mod failure;
pub mod log;
pub mod memory;
pub mod model;
pub mod progress;
mod reply;
pub mod tools;

#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use call::{Call, Random};
pub use failure::{Failure, FailureKind};
pub use reply::{Choice, Next, Reply, Review};

#[doc(hidden)]
pub mod private {
    //! For [`crate::agent!`] alone.
    #[cfg(target_arch = "wasm32")]
    pub use crate::wasm::{Failure, Guest, RawCall, RawReply, answer, bindings, export_agent};
}

/// Makes a function `fn(&Call) -> Result<Reply, Failure>` the agent of this crate. Once per crate.
///
/// Off wasm it only checks the function's type, so that the crate's own tests can call it.
#[macro_export]
macro_rules! agent {
    ($run:path) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&$crate::Call) -> ::core::result::Result<$crate::Reply, $crate::Failure> = $run;

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            struct Agent;
            impl $crate::private::Guest for Agent {
                fn run(
                    call: $crate::private::RawCall,
                ) -> ::core::result::Result<$crate::private::RawReply, $crate::private::Failure> {
                    $crate::private::answer(call, $run)
                }
            }
    $crate::private::export_agent!(Agent with_types_in $crate::private::bindings);
        };
    };
}
