//! `tool`: one call of a tool. It comes with the host as a builtin.
//!
//! Input: `name` (a granted tool) and `args` (an object; default: empty), as `chat` gives them in `tool_calls`.
//!
//! Output: what the tool gives.
//!
//! Failures: `input-invalid`; what the tool says of its own failure, with its code; `trap`, `timeout` or
//! `invalid-output` (recoverable) where it died, took too long or answered nonsense; `limit` and `denied`; and what the host
//! says of the call.

use bandstand_sdk::tools::{self, Error, ErrorKind};
use bandstand_sdk::{Call, Failure, Reply, agent};
use serde::Deserialize;
use serde_json::{Value, json};

agent!(run);

#[derive(Deserialize)]
struct Input {
    name: String,
    #[serde(default)]
    args: Option<Value>,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let Input { name, args } = call.input()?;
    let args = args.unwrap_or_else(|| json!({}));
    tools::call(&name, &args).map(Reply::new).map_err(failure)
}

/// A tool that died may live the next time, as an agent that a node calls may.
fn failure(error: Error) -> Failure {
    let died = matches!(error.code.as_str(), "trap" | "timeout" | "invalid-output");
    if error.kind == ErrorKind::Other && died {
        return Failure::recoverable(error.code, error.message);
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::{FailureKind, fake};

    use super::*;

    fn told(kind: ErrorKind, code: &str) -> Error {
        Error { kind, code: code.to_owned(), message: "it did not".to_owned(), retry_after_ms: None }
    }

    #[test]
    fn what_the_tool_gives_is_the_output() {
        fake::reset();
        fake::tool("price", |args| Ok(json!({ "of": args["item"], "price": 42 })));
        let call = Call::with_input(json!({ "name": "price", "args": { "item": "lamp" } }));
        assert_eq!(run(&call).unwrap().output(), json!({ "of": "lamp", "price": 42 }));
        let bare = Call::with_input(json!({ "name": "price" }));
        assert_eq!(run(&bare).unwrap().output(), json!({ "of": null, "price": 42 }));
    }

    #[test]
    fn another_attempt_is_made_where_it_may_help() {
        for (kind, code, expected) in [
            (ErrorKind::Other, "trap", FailureKind::Recoverable),
            (ErrorKind::Other, "no-such-item", FailureKind::Permanent),
            (ErrorKind::Unavailable, "busy", FailureKind::Recoverable),
            (ErrorKind::Limit, "tool-calls", FailureKind::Permanent),
        ] {
            fake::reset();
            fake::tool("t", move |_| Err(told(kind, code)));
            let failure = run(&Call::with_input(json!({ "name": "t" }))).unwrap_err();
            assert_eq!((failure.code(), failure.kind()), (code, expected));
        }
        let failure = run(&Call::with_input(json!({ "name": "gone" }))).unwrap_err();
        assert_eq!(failure.code(), "tools-not-granted");
    }
}
