//! `echo`: the output is the input, whatever object that is. It comes with the host as a builtin, for trying out
//! graphs and for tests.

use bandstand_sdk::{Call, Failure, Reply, agent};
use serde_json::{Map, Value};

agent!(run);

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    Ok(Reply::new(call.input::<Map<String, Value>>()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let input = json!({ "a": [1, 2.5, null], "b": { "c": "d" } });
        assert_eq!(run(&Call::with_input(input.clone())).unwrap().output(), input);
        assert_eq!(run(&Call::with_input(json!("text"))).unwrap_err().code(), "input-invalid");
    }
}
