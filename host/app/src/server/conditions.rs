//! Conditions of requests, `If-Match` and `If-None-Match`: so that of two people who write, the second is told.

use axum::http::{HeaderMap, HeaderName, header};
use utoipa::IntoParams;

use super::problem::{Code, Problem};
use crate::project::catalogue::Precondition;

/// `If-Match` in the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes")]
pub struct MatchHeader {
    /// The tag of the text that is there; of another one nothing is changed. `*`: there must be one
    #[param(rename = "If-Match", value_type = String, required = false)]
    tag: Option<String>,
}

/// `If-None-Match` of a request that writes, in the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes")]
pub struct AbsentHeader {
    /// `*`: only if there is none of that name; not beside `If-Match`
    #[param(rename = "If-None-Match", value_type = String, required = false)]
    tag: Option<String>,
}

/// `If-None-Match` of a request that reads, in the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes")]
pub struct KnownHeader {
    /// The tag of the text that is known already
    #[param(rename = "If-None-Match", value_type = String, required = false)]
    tag: Option<String>,
}

/// What the conditions of a request that writes come to.
///
/// # Errors
/// When a header is no text.
pub fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    Ok(Precondition { is: tags(headers, header::IF_MATCH)?, is_not: tags(headers, header::IF_NONE_MATCH)? })
}

/// The entity tags of a header, each with its quotes, or `*`. What is no tag is none of ours.
///
/// # Errors
/// When it is no text.
pub fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<Vec<String>>, Problem> {
    let mut found = Vec::new();
    for value in headers.get_all(&name) {
        let no_text = |_| Problem::new(Code::BadRequest, format!("the header {name}: it is no visible text"));
        // Our tags have no commas. Caches on the way weaken tags; the text is the same.
        let each = value.to_str().map_err(no_text)?.split(',').map(str::trim);
        found.extend(each.map(|tag| tag.strip_prefix("W/").unwrap_or(tag).to_owned()));
    }
    Ok((!found.is_empty()).then_some(found))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(lines: &[(&'static str, &str)]) -> HeaderMap {
        let each = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        each.collect()
    }

    #[test]
    fn conditions_are_read_as_http_has_them() {
        let tags = |tags: &[&str]| Some(tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        for (lines, is, is_not) in [
            (vec![], None, None),
            (vec![("if-none-match", "*")], None, tags(&["*"])),
            (vec![("if-match", "\"a\"")], tags(&["\"a\""]), None),
            (vec![("if-match", " W/\"a\" , \"b\"")], tags(&["\"a\"", "\"b\""]), None),
            (vec![("if-match", "*"), ("if-none-match", "a")], tags(&["*"]), tags(&["a"])),
        ] {
            assert_eq!(precondition(&with(&lines)).unwrap(), Precondition { is, is_not }, "{lines:?}");
        }
        assert_eq!(precondition(&with(&[("if-match", "\u{e4}")])).unwrap_err().code, Code::BadRequest);
    }
}
