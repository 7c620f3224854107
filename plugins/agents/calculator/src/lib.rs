//! `calculator`: works out an arithmetic expression, as a tool of a model that cannot be trusted with sums.
//!
//! Input: `expression`: numbers, `+`, `-`, `*`, `/` and parentheses. Output: `value`.
//!
//! Failures: `input-invalid`; `expression-invalid`, with the place; `no-number` (a division by zero, or too large).

use bandstand_sdk::{Call, Failure, Reply, agent};
use serde::Deserialize;
use serde_json::json;

/// Parentheses may nest so deep.
const DEPTH_MAX: usize = 50;

agent!(run);

#[derive(Deserialize)]
struct Input {
    expression: String,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let mut reader = Reader { text: input.expression.as_bytes(), at: 0, depth: 0 };
    let value = reader.sum()?;
    if reader.peek().is_some() {
        return Err(reader.wrong("an operator"));
    }
    if !value.is_finite() {
        return Err(Failure::permanent("no-number", format!("`{}` has no value", input.expression)));
    }
    // What people mean by 0.1 + 0.2.
    let value = (value * 1e9).round() / 1e9;
    // A float with a fraction of zero within these bounds is that integer.
    let value = if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) };
    Ok(Reply::new(json!({ "value": value })))
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn sum(&mut self) -> Result<f64, Failure> {
        let mut value = self.product()?;
        loop {
            if self.take(b'+') {
                value += self.product()?;
            } else if self.take(b'-') {
                value -= self.product()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<f64, Failure> {
        let mut value = self.factor()?;
        loop {
            if self.take(b'*') {
                value *= self.factor()?;
            } else if self.take(b'/') {
                value /= self.factor()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn factor(&mut self) -> Result<f64, Failure> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("fewer parentheses and signs"));
        }
        let value = if self.take(b'-') {
            -self.factor()?
        } else if self.take(b'(') {
            let value = self.sum()?;
            if !self.take(b')') {
                return Err(self.wrong("`)`"));
            }
            value
        } else {
            self.number()?
        };
        self.depth -= 1;
        Ok(value)
    }

    fn number(&mut self) -> Result<f64, Failure> {
        self.peek();
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let number = std::str::from_utf8(&rest[..length]).ok().and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| self.wrong("a number"))?;
        self.at += length;
        Ok(number)
    }

    fn wrong(&self, expected: &str) -> Failure {
        let message = format!("{expected} was expected at position {} of the expression", self.at + 1);
        Failure::permanent("expression-invalid", message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn value(expression: &str) -> Result<Value, Failure> {
        let reply = run(&Call::with_input(json!({ "expression": expression })))?;
        Ok(reply.output()["value"].clone())
    }

    #[test]
    fn sums_are_right() {
        assert_eq!(value("3 * 19.5 + 2 * 42").unwrap(), json!(142.5));
        assert_eq!(value("0.1 + 0.2").unwrap(), json!(0.3));
        assert_eq!(value("-(2 - 5) * 4 / 2").unwrap(), json!(6));
    }

    #[test]
    fn what_is_no_sum_is_told_with_its_place() {
        for (expression, code, place) in [
            ("2 +", "expression-invalid", "position 4"),
            ("two", "expression-invalid", "position 1"),
            ("1 2", "expression-invalid", "position 3"),
            ("(1", "expression-invalid", "position 3"),
            ("1/0", "no-number", "1/0"),
        ] {
            let failure = value(expression).unwrap_err();
            assert_eq!(failure.code(), code);
            assert!(failure.message().contains(place), "{failure}");
        }
        assert!(value(&"(".repeat(10_000)).is_err());
    }
}
