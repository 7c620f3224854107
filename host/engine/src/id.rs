//! Identifiers of the workflow language: the names of nodes, branches, channels, constants and plugins.
//! Names people choose for routes and reviews are plain text and live elsewhere.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An identifier: `[a-z][a-z0-9_]{0,62}`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(Arc<str>);

/// The text is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an identifier: write a lower-case letter, then up to 62 lower-case letters, digits or `_`"
)]
pub struct NotAnId(pub String);

impl Id {
    /// Longest identifier, in characters.
    pub const LENGTH_MAX: usize = 63;

    /// Takes the text if it is an identifier.
    pub fn new(text: &str) -> Result<Id, NotAnId> {
        let mut bytes = text.bytes();
        let starts = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let goes_on = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if starts && goes_on && text.len() <= Self::LENGTH_MAX {
            Ok(Id(text.into()))
        } else {
            Err(NotAnId(text.into()))
        }
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Id {
    type Error = NotAnId;
    fn try_from(text: String) -> Result<Id, NotAnId> {
        Id::new(&text)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.0.as_ref().to_owned()
    }
}

impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Id {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Id {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_the_rule_of_the_language() {
        for good in ["a", "ask_person", "b2", &"x".repeat(63)] {
            assert!(Id::new(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "2b", "_a", "ask-person", "\u{e4}", &"x".repeat(64)] {
            assert!(Id::new(bad).is_err(), "{bad}");
        }
    }
}
