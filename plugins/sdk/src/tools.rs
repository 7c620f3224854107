//! Tools that the operator granted: other plugins, each with its own grants and limits. Needs the grant `tools`; without
//! it the host refuses the plugin before the run.

use serde::Serialize;
use serde_json::Value;

#[cfg(not(target_arch = "wasm32"))]
use crate::fake as host;
pub use crate::memory::{Error, ErrorKind};
use crate::model::ToolSpec;
#[cfg(target_arch = "wasm32")]
use crate::wasm as host;

/// Those that are granted, in the order of the grant, as a model may be told of them.
///
/// ```
/// use bandstand_sdk::{fake, tools};
/// fake::tool("price", |_| Ok(serde_json::json!({ "price": 42 })));
/// assert_eq!(tools::list()?[0].name, "price");
/// # Ok::<(), tools::Error>(())
/// ```
pub fn list() -> Result<Vec<ToolSpec>, Error> {
    host::tools_list()
}

/// Calls one with arguments that are a JSON object, and waits for its output. It ends with this attempt. A tool that fails
/// gives its own code and message, one that dies its class as the code (`trap`, `limit`, `timeout`); this agent goes on.
///
/// ```
/// use bandstand_sdk::{fake, tools};
/// fake::tool("price", |args| Ok(serde_json::json!({ "of": args["item"], "price": 42 })));
/// let told = tools::call("price", &serde_json::json!({ "item": "lamp" }))?;
/// assert_eq!(told["of"], "lamp");
/// # Ok::<(), tools::Error>(())
/// ```
pub fn call(name: &str, arguments: &impl Serialize) -> Result<Value, Error> {
    let arguments = serde_json::to_value(arguments).map_err(|error| Error {
        kind: ErrorKind::Invalid,
        code: "arguments-not-json".to_owned(),
        message: format!("the arguments of `{name}` cannot be written as JSON: {error}"),
        retry_after_ms: None,
    })?;
    host::tools_call(name, &arguments)
}
