//! URLs, taken apart as far as a request needs it. Which hosts are good ones is the host's to say.

/// Scheme, authority and path of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether the scheme is `https`; the other one is `http`.
    pub is_https: bool,
    /// Host and perhaps port.
    pub authority: String,
    /// Begins with `/`; with the query, without the fragment.
    pub path_and_query: String,
}

impl Url {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Url, String> {
        let wrong = |what: &str| Err(format!("`{text}` is no URL to call: {what}"));
        let Some((scheme, rest)) = text.split_once("://") else {
            return wrong("it begins with `https://` or `http://`");
        };
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return wrong("only `https` and `http` can be called"),
        };
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
            return wrong("it holds spaces, control characters or backslashes; encode them");
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() {
            return wrong("it names no host");
        }
        if authority.contains('@') {
            return wrong("a name and a password belong into a header");
        }
        let path_and_query = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Url { is_https, authority: authority.to_owned(), path_and_query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (text, expected) in [
            ("https://a.example", (true, "a.example", "/")),
            ("HTTP://a.example:8080/b?c=d#e", (false, "a.example:8080", "/b?c=d")),
            ("https://a.example?q=//x", (true, "a.example", "/?q=//x")),
            ("https://a.example/@b", (true, "a.example", "/@b")),
            ("http://[::1]:81/x", (false, "[::1]:81", "/x")),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.is_https, url.authority.as_str(), url.path_and_query.as_str()),
                expected,
                "{text}"
            );
        }
        for (text, part) in [
            ("a.example", "begins with"),
            ("ftp://a.example", "only `https`"),
            ("https:///x", "no host"),
            ("https://me:word@a.example", "into a header"),
            ("https://a.example/a b", "encode"),
            ("https://a.example\\@b.example", "backslashes"),
        ] {
            let told = Url::parse(text).unwrap_err();
            assert!(told.contains(part), "{told}");
        }
    }
}
