//! What watchers see while the attempt runs; never part of its result. Always allowed.

/// How far the work is, 0 to 1.
pub fn at(fraction: f64, message: &str) {
    report(Some(fraction), message);
}

/// What is being done, when nobody knows how far it is.
pub fn doing(message: &str) {
    report(None, message);
}

/// The next piece of a text that is being produced.
pub fn chunk(text: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::wasm::chunk(text);
    #[cfg(not(target_arch = "wasm32"))]
    crate::fake::chunk(text);
}

fn report(fraction: Option<f64>, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::wasm::report(fraction, message);
    #[cfg(not(target_arch = "wasm32"))]
    crate::fake::report(fraction, message);
}
