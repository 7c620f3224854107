//! What names and ids on the command line must look like, whatever verb takes them. Whether there is such a run, review
//! or person is the verb's business.

use bandstand_engine::Timestamp;
use bandstand_engine::input::REASON_BYTES_MAX;

/// Longest name or id that is taken. Characters.
const LENGTH_MAX: usize = 200;

/// A name or id as somebody else gave it: of a request, a thread, a user, a group.
///
/// # Errors
/// When it is empty, too long or has control characters, which nobody could see or type again.
pub fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty; leave the option out, or give a name".to_owned());
    }
    if let Some(at) = text.chars().position(char::is_control) {
        return Err(format!("character {} is a control character; use visible ones", at + 1));
    }
    let length = text.chars().count();
    if length > LENGTH_MAX {
        return Err(format!("it has {length} characters; {LENGTH_MAX} are the most"));
    }
    Ok(text.to_owned())
}

/// Why somebody wants something.
///
/// # Errors
/// When it is longer than a run keeps.
pub fn reason(text: &str) -> Result<String, String> {
    let bytes = text.len();
    if bytes > REASON_BYTES_MAX {
        return Err(format!("it has {bytes} bytes; {REASON_BYTES_MAX} are the most"));
    }
    Ok(text.to_owned())
}

/// A time as RFC 3339 writes it, with its offset.
///
/// # Errors
/// When it is none.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    let parsed = text.parse::<jiff::Timestamp>();
    parsed
        .map(|at| Timestamp(at.as_millisecond()))
        .map_err(|_| "a time is written as 2026-11-29T08:00:00+01:00 or 2026-11-29T07:00:00Z".to_owned())
}

/// A duration as workflow files write it. Milliseconds.
///
/// # Errors
/// When it is none.
pub fn duration(text: &str) -> Result<u64, String> {
    bandstand_workflow::duration_ms(text)
        .ok_or_else(|| "a duration is written as 500ms, 90s, 15m, 2h or 3d, at most 365d".to_owned())
}

/// The beginning of a run's or a review's id. An empty one would be the beginning of all.
///
/// # Errors
/// When it is empty.
pub fn id(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty; `bandstand runs list` and `bandstand review list` show the ids there are"
            .to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_visible_and_of_a_bounded_length() {
        assert_eq!(name("Ada L. <ada@example.com>").as_deref(), Ok("Ada L. <ada@example.com>"));
        assert!(name(&"\u{e4}".repeat(LENGTH_MAX)).is_ok());
        assert!(name(&"x".repeat(LENGTH_MAX + 1)).unwrap_err().contains("201 characters; 200"));
        assert!(name("").unwrap_err().contains("empty"));
        assert!(name("  ").unwrap_err().contains("empty"));
        assert!(name("a\u{1b}[31m").unwrap_err().contains("character 2"));
        assert!(name("a\nb").unwrap_err().contains("control"));
        assert!(reason(&"x".repeat(REASON_BYTES_MAX)).is_ok());
        assert!(reason(&"x".repeat(REASON_BYTES_MAX + 1)).unwrap_err().contains("4097 bytes; 4096"));
        assert!(id("").unwrap_err().contains("empty"));
        assert_eq!(id("019").as_deref(), Ok("019"));
    }
}
