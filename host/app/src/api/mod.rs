//! A server's API as a command of another process, perhaps on another machine, uses it (`--server`): requests and their
//! answers, and following runs. Paths and views are those of [`crate::server`]. What is shown of it is the verbs' business.
//!
//! One connection each request, no redirects, no proxies. Nothing is asked twice but where a run is followed.

mod error;
mod exchange;
mod follow;
mod target;
mod token;
mod verbs;

pub use error::{ApiError, Told};
pub use exchange::Asked;
pub(crate) use follow::Followed;
pub use target::{Api, Target, TargetError};
pub use token::{TOKEN_ENV, Token};
pub use verbs::{Again, Begin};

/// A part of a path or a value of a query, with everything escaped that could be read as something else.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    // A part that is only dots would be another path.
    if text.chars().all(|c| c == '.') { escaped.replace('.', "%2E") } else { escaped }
}

/// Parameters behind `?`, those that are given; with the question mark if there are any.
pub fn query(parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let parts: Vec<String> = given.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_stays_one_part_of_a_path() {
        assert_eq!(escaped("a/b?c#d %\u{e4}"), "a%2Fb%3Fc%23d%20%25%C3%A4");
        assert_eq!((escaped(".."), escaped("a.b")), ("%2E%2E".to_owned(), "a.b".to_owned()));
        assert_eq!(query(&[("a", Some("x y".to_owned())), ("b", None)]), "?a=x%20y");
        assert_eq!(query(&[("b", None)]), "");
    }
}
