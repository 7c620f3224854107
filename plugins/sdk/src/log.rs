//! Lines for the operator, kept with the attempt. Always allowed.

use serde::Serialize;

/// How much attention a line wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A line with details, which should be an object (anything else is left out).
///
/// ```
/// use bandstand_sdk::log::{self, Level};
/// log::write(Level::Info, "clause found", serde_json::json!({ "at": 120 }));
/// # assert_eq!(bandstand_sdk::fake::logged(), ["info clause found {\"at\":120}"]);
/// ```
pub fn write(level: Level, message: &str, fields: impl Serialize) {
    let fields = serde_json::to_string(&fields).unwrap_or_default();
    let fields = if fields.starts_with('{') { fields.as_str() } else { "" };
    #[cfg(target_arch = "wasm32")]
    crate::wasm::log(level, message, fields);
    #[cfg(not(target_arch = "wasm32"))]
    crate::fake::log(level, message, fields);
}

/// A line of level `info`.
pub fn info(message: &str) {
    write(Level::Info, message, ());
}

/// A line of level `warn`.
pub fn warn(message: &str) {
    write(Level::Warn, message, ());
}

/// A line of level `debug`.
pub fn debug(message: &str) {
    write(Level::Debug, message, ());
}
