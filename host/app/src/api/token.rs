//! The token that a command shows to a server. It leaves this file in the header of a request only.

use std::fmt;
use std::path::Path;

use hyper::header::HeaderValue;

/// Names the variable that holds it.
pub const TOKEN_ENV: &str = "BANDSTAND_TOKEN";
/// No token is longer. Bytes.
const TOKEN_BYTES_MAX: u64 = 4 << 10;

/// A token. It shows nowhere: not in `Debug`, and there is no `Display`.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// From a file with nothing else in it, or from the environment; none: neither is given.
    ///
    /// # Errors
    /// When the file cannot be read, or there is something else than a token.
    pub fn find(file: Option<&Path>) -> Result<Option<Token>, String> {
        if let Some(file) = file {
            let text = read(file).map_err(|error| format!("--token-file {}: {error}", file.display()))?;
            return Token::new(&text).map(Some).ok_or_else(|| {
                format!("--token-file {}: it must hold one line of visible characters", file.display())
            });
        }
        // The system's own error would show what is there.
        let Some(text) = std::env::var_os(TOKEN_ENV).filter(|text| !text.is_empty()) else { return Ok(None) };
        let token = text.to_str().and_then(Token::new);
        token.map(Some).ok_or_else(|| format!("{TOKEN_ENV}: it must be one line of visible characters"))
    }

    fn new(text: &str) -> Option<Token> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        value.set_sensitive(true);
        Some(Token(value))
    }

    /// For the header of a request, and for nothing else.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(file)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(...)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // R7.6
    #[test]
    fn a_token_does_not_print() {
        let token = Token::new(" bandstand_0123 \n").unwrap();
        assert_eq!(format!("{token:?} {:?}", token.header()), "Token(...) Sensitive");
        assert_eq!(token.header().as_bytes(), b"Bearer bandstand_0123");
        for wrong in ["", " \n", "two words", "two\nlines", "\u{e4}"] {
            assert!(Token::new(wrong).is_none(), "{wrong}");
        }
    }
}
