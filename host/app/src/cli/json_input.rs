//! JSON that people hand in: inline, `@file` or `-` for stdin. Refuses, by name, what would not survive being stored:
//! integers beyond 64 bits and members given twice. What the value must look like is the workflow's business.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::exit::Failure;

/// No larger document is read; the largest payload a workflow can allow.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// Reads the value of an option such as `--input`.
pub fn read(option: &str, argument: &str) -> Result<Value, Failure> {
    let (place, text) = match argument {
        "-" => ("standard input".to_owned(), bounded(option, "standard input", std::io::stdin().lock())?),
        _ => match argument.strip_prefix('@') {
            Some(path) => {
                let file = std::fs::File::open(path).map_err(|error| {
                    Failure::usage(format!("{option}: cannot read `{path}`: {error}"))
                        .help(format!("give JSON itself, `@FILE` or `-`: {option} '{{\"name\": \"world\"}}'"))
                })?;
                (format!("`{path}`"), bounded(option, path, file)?)
            }
            None => (option.to_owned(), argument.to_owned()),
        },
    };
    parse(&text).map_err(|problem| {
        let from = if place == option { String::new() } else { format!("{option}: ") };
        let failure = Failure::usage(format!("{from}{place} is not the JSON it must be: {problem}"));
        if !argument.starts_with('@') && std::path::Path::new(argument).is_file() {
            failure.help(format!("to read the file, write {option} @{argument}"))
        } else {
            failure.help(
                "JSON needs double quotes round texts and names; in a shell, single quotes round the whole",
            )
        }
    })
}

/// Reads a file of JSON, or of YAML where its name ends in `.yaml` or `.yml`.
pub fn document(option: &str, path: &Path) -> Result<Value, Failure> {
    let shown = path.display().to_string();
    if !path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
        return read(option, &format!("@{shown}"));
    }
    let file = std::fs::File::open(path)
        .map_err(|error| Failure::usage(format!("{option}: cannot read `{shown}`: {error}")))?;
    let text = bounded(option, &shown, file)?;
    bandstand_workflow::document(&text).map_err(|problem| {
        Failure::usage(format!("{option}: `{shown}` is not the YAML it must be: {problem}"))
    })
}

fn bounded(option: &str, place: &str, from: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    from.take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("{option}: cannot read `{place}`: {error}")))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{option}: `{place}` has more than {INPUT_BYTES_MAX} bytes, the largest payload a workflow can allow \
             (`limits.payload: 16MiB`)"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        Failure::usage(format!(
            "{option}: `{place}` is not UTF-8 text (byte {})",
            error.utf8_error().valid_up_to() + 1
        ))
    })
}

/// Parses one JSON document.
pub fn parse(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut scan = Scan { text: text.as_bytes(), at: 0, path: String::new() };
    scan.value()?;
    Ok(value)
}

/// Walks a document that is known to be valid, for what the parser lets pass.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    path: String,
}

impl Scan<'_> {
    fn value(&mut self) -> Result<(), String> {
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.list(),
            b'"' => {
                self.string();
                Ok(())
            }
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                while self.text.get(self.at).is_some_and(u8::is_ascii_alphabetic) {
                    self.at += 1;
                }
                Ok(())
            }
        }
    }

    fn object(&mut self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        self.at += 1;
        while self.peek() != b'}' {
            let name = self.string();
            let length = self.path.len();
            if !self.path.is_empty() {
                self.path.push('.');
            }
            self.path.push_str(&name);
            if !seen.insert(name) {
                return Err(format!("member `{}` is given twice", self.path));
            }
            self.skip(b':');
            self.value()?;
            self.path.truncate(length);
            self.skip(b',');
        }
        self.at += 1;
        Ok(())
    }

    fn list(&mut self) -> Result<(), String> {
        self.at += 1;
        let mut index = 0_usize;
        while self.peek() != b']' {
            let length = self.path.len();
            self.path.push_str(&format!("[{index}]"));
            self.value()?;
            self.path.truncate(length);
            self.skip(b',');
            index += 1;
        }
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        let from = self.at;
        while self
            .text
            .get(self.at)
            .is_some_and(|c| matches!(c, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
        {
            self.at += 1;
        }
        let text = String::from_utf8_lossy(&self.text[from..self.at]);
        let whole = !text.contains(['.', 'e', 'E']);
        if whole && text.parse::<i64>().is_err() && text.parse::<u64>().is_err() {
            let place =
                if self.path.is_empty() { "the number".to_owned() } else { format!("`{}`", self.path) };
            return Err(format!("{place} is {text}, beyond 64-bit integers; give it as text"));
        }
        Ok(())
    }

    /// The text that stands here, which may hold escapes.
    fn string(&mut self) -> String {
        self.peek();
        let from = self.at;
        self.at += 1;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let raw = self.text.get(from..self.at).unwrap_or_default();
        serde_json::from_slice(raw).unwrap_or_else(|_| String::from_utf8_lossy(raw).into_owned())
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> u8 {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied().unwrap_or_default()
    }

    fn skip(&mut self, byte: u8) {
        if self.peek() == byte {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ordinary_documents_pass_unchanged() {
        let text = r#" { "a" : [1, -2, 3.5, 1e30, true, null, "x\"]}"], "b": {"c": 18446744073709551615}, "d": [] } "#;
        let expected = json!({
            "a": [1, -2, 3.5, 1e30, true, null, "x\"]}"], "b": {"c": u64::MAX}, "d": []
        });
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("{}").unwrap(), json!({}));
        assert_eq!(parse("-9223372036854775808").unwrap(), json!(i64::MIN));
    }

    #[test]
    fn integers_beyond_64_bits_and_repeated_members_are_refused_by_name() {
        let too_large = parse(r#"{"orders": [{"id": 1}, {"id": 18446744073709551616}]}"#).unwrap_err();
        assert!(too_large.contains("`orders[1].id` is 18446744073709551616"), "{too_large}");
        let twice = parse(r#"{"a": {"b": 1, "b": 2}}"#).unwrap_err();
        assert!(twice.contains("`a.b` is given twice"), "{twice}");
        let twice = parse(r#"{"a": 1, "\u0061": 2}"#).unwrap_err();
        assert!(twice.contains("`a` is given twice"), "{twice}");
        assert!(parse("-9223372036854775809").unwrap_err().contains("the number is"));
        assert!(parse("{'a': 1}").is_err());
    }
}
