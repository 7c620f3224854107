//! Tells how long a text takes to read.

use bandstand_sdk::log::{self, Level};
use bandstand_sdk::{Call, Failure, Reply, agent};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How fast people read.
const WORDS_PER_MINUTE: usize = 200;

/// What a workflow gives. An input of another form fails the attempt with `input-invalid`.
#[derive(Deserialize)]
struct Input {
    text: String,
}

/// What it gets.
#[derive(Serialize)]
struct Output {
    words: usize,
    minutes: usize,
}

agent!(run);

fn run(call: &Call) -> Result<Reply, Failure> {
    let Input { text } = call.input()?;
    let words = text.split_whitespace().count();
    if words == 0 {
        return Err(Failure::permanent("text-empty", "`text` holds no word"));
    }
    log::write(Level::Info, "counted", json!({ "words": words }));
    Ok(Reply::new(Output { words, minutes: words.div_ceil(WORDS_PER_MINUTE) }))
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::fake;

    use super::*;

    #[test]
    fn it_tells_how_long_a_text_takes() {
        fake::reset();
        let text = "word ".repeat(201);
        let output = run(&Call::with_input(json!({ "text": text }))).unwrap().output();
        assert_eq!(output, json!({ "words": 201, "minutes": 2 }));
        assert_eq!(fake::logged(), ["info counted {\"words\":201}"]);
    }

    #[test]
    fn a_text_without_a_word_is_refused() {
        let failure = run(&Call::with_input(json!({ "text": " " }))).unwrap_err();
        assert_eq!(failure.code(), "text-empty");
    }
}
