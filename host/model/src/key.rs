//! A provider's key, which cannot be printed.

use std::fmt;
use std::path::{Path, PathBuf};

/// No key is longer. Bytes.
const KEY_BYTES_MAX: u64 = 64 << 10;
/// So many of its characters in a row give a key away.
const TELLING_CHARS: usize = 6;

/// A provider's key. It shows nowhere: not in `Debug`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

/// There is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The environment variable is not set, or empty.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("the file {} cannot be read: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// The file or variable holds something else.
    #[error("{0} holds no key: it must be one line of visible characters")]
    NoKey(String),
}

impl Key {
    /// From an environment variable.
    ///
    /// # Errors
    /// When it is not set or holds no key.
    pub fn from_env(name: &str) -> Result<Key, KeyError> {
        let text = std::env::var(name).map_err(|_| KeyError::NotSet(name.to_owned()))?;
        if text.trim().is_empty() {
            return Err(KeyError::NotSet(name.to_owned()));
        }
        Key::new(&text).ok_or_else(|| KeyError::NoKey(format!("the environment variable {name}")))
    }

    /// From a file with nothing else in it.
    ///
    /// # Errors
    /// When it cannot be read or holds no key.
    pub fn from_file(path: &Path) -> Result<Key, KeyError> {
        let unreadable = |problem: String| KeyError::Unreadable { path: path.to_owned(), problem };
        let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if !size.is_file() || size.len() > KEY_BYTES_MAX {
            return Err(unreadable("it is not a file of a few bytes".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        Key::new(&text).ok_or_else(|| KeyError::NoKey(format!("the file {}", path.display())))
    }

    /// A key of one line of visible characters; what else stands around it is cut off.
    #[must_use]
    pub fn new(text: &str) -> Option<Key> {
        let text = text.trim();
        let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        visible.then(|| Key(text.to_owned()))
    }

    /// For the request to the provider, and for nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether a text repeats the key or a telling part of it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let key = self.0.as_bytes();
        let length = TELLING_CHARS.min(key.len());
        key.windows(length).any(|part| text.as_bytes().windows(length).any(|window| window == part))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(...)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // R7.6
    #[test]
    fn a_key_does_not_print_and_is_found_in_texts_that_repeat_part_of_it() {
        let key = Key::new(" sk-secret-0123456789 \n").unwrap();
        assert_eq!(format!("{key:?}"), "Key(...)");
        assert!(key.is_in("Incorrect API key provided: sk-secr*********6789"));
        assert!(!key.is_in("the model does not exist"));
        assert_eq!(Key::new(" \n"), None);
        assert_eq!(Key::new("two\nlines"), None);
        assert_eq!(
            Key::from_env("BANDSTAND_NO_SUCH_VARIABLE").unwrap_err().to_string(),
            "the environment variable BANDSTAND_NO_SUCH_VARIABLE is not set"
        );
    }

    #[test]
    fn a_key_is_read_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "abc-def\n").unwrap();
        assert_eq!(Key::from_file(&path), Ok(Key("abc-def".to_owned())));
        std::fs::write(&path, "abc def\n").unwrap();
        assert!(matches!(Key::from_file(&path), Err(KeyError::NoKey(_))));
        assert!(matches!(Key::from_file(&folder.path().join("none")), Err(KeyError::Unreadable { .. })));
    }
}
