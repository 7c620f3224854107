//! Origins: how a grant names whom a plugin may call, where a request goes, and whether the one covers the other.
//! Pure. `host/workflow/src/grants.rs` compares origins of files with those of the configuration by the same rules;
//! `tests/origins.txt` holds both to the same answers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name or an address, in the one way it is written here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// In small letters, without the dot that may end it.
    Name(String),
    /// Written out, not looked up.
    Address(IpAddr),
}

impl Host {
    /// Reads a host as it stands in a URL. `None`: it is none, or one that different readers read differently, such as
    /// percent signs, letters beyond ASCII (write `xn--`), or numbers that are no address in the usual form.
    pub(crate) fn parse(text: &str) -> Option<Host> {
        if let Some(inside) = text.strip_prefix('[') {
            let address: Ipv6Addr = inside.strip_suffix(']')?.parse().ok()?;
            return Some(Host::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return None;
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        // A name that ends in a number is an address to some readers, in one of many notations.
        let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if numeric {
            // The parser takes four decimal numbers without leading zeros, nothing else.
            return Some(Host::Address(name.parse::<Ipv4Addr>().ok()?.into()));
        }
        Some(Host::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
        }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) https: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Target {
    /// Reads the authority of a URL. `None`: it names nobody, or brings a user name along.
    pub(crate) fn parse(https: bool, authority: &str) -> Option<Target> {
        let (host, port) = split_port(authority)?;
        Some(Target { https, host: Host::parse(host)?, port: port.unwrap_or(usual_port(https)) })
    }

    /// Host, and the port where it is not the usual one: what the header `host` says.
    pub(crate) fn authority(&self) -> String {
        if self.port == usual_port(self.https) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority())
    }
}

/// An origin as grants write it: `https://api.example.com`, `http://127.0.0.1:8080`, `https://*.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    https: bool,
    host: HostPattern,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Exactly(Host),
    /// Names that end so, with the dot: `.example.com`.
    Under(String),
}

impl Pattern {
    /// `None`: it is no origin.
    pub(crate) fn parse(text: &str) -> Option<Pattern> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (host, port) = split_port(rest)?;
        let host = match host.strip_prefix("*.") {
            Some(suffix) => match Host::parse(suffix)? {
                Host::Name(name) => HostPattern::Under(format!(".{name}")),
                Host::Address(_) => return None,
            },
            None => HostPattern::Exactly(Host::parse(host)?),
        };
        Some(Pattern { https, host, port: port.unwrap_or(usual_port(https)) })
    }

    /// Whether the request goes to an origin of this kind.
    pub(crate) fn covers(&self, target: &Target) -> bool {
        let host = match (&self.host, &target.host) {
            (HostPattern::Exactly(host), asked) => host == asked,
            (HostPattern::Under(suffix), Host::Name(name)) => {
                name.len() > suffix.len() && name.ends_with(suffix.as_str())
            }
            (HostPattern::Under(_), Host::Address(_)) => false,
        };
        host && self.https == target.https && self.port == target.port
    }
}

/// Why a text is no origin that can be granted, or `None`.
#[must_use]
pub fn origin_problem(text: &str) -> Option<String> {
    Pattern::parse(text).is_none().then(|| {
        format!(
            "`{text}` is no origin: write scheme, host and perhaps port, such as `https://api.example.com`, \
             `https://*.example.com` or `http://127.0.0.1:8080`"
        )
    })
}

fn usual_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// Host and port. The port is digits only and not 0.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an address of IP version 6 stand inside brackets.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => return Some((authority, None)),
    };
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some((host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Option<Target> {
        let (scheme, authority) = url.split_once("://").unwrap();
        Target::parse(scheme == "https", authority)
    }

    // R7.5
    #[test]
    fn grants_cover_what_the_shared_table_says() {
        for line in include_str!("../../../../tests/origins.txt").lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [granted, asked, expected] = words[..] else { continue };
            if line.starts_with('#') {
                continue;
            }
            let covered = Pattern::parse(granted)
                .is_some_and(|pattern| target(asked).is_some_and(|target| pattern.covers(&target)));
            assert_eq!(covered, expected == "yes", "{line}");
        }
    }

    // R7.5
    #[test]
    fn a_host_is_read_in_one_way_only() {
        let read = |text: &str| Host::parse(text).map(|host| host.to_string());
        for (text, expected) in [
            ("Api.EXAMPLE.com", Some("api.example.com")),
            ("api.example.com.", Some("api.example.com")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("[0:0:0:0:0:0:0:1]", Some("[::1]")),
            ("api.example.com..", None),
            ("", None),
            (".", None),
            ("a..b", None),
            ("b\u{fc}cher.example", None),
            ("api%2eexample.com", None),
            ("a b", None),
            ("user@host", None),
            ("127.1", None),
            ("0177.0.0.1", None),
            ("127.0.0.01", None),
            ("0x7f.0.0.1", None),
            ("0x7f000001", None),
            ("2130706433", None),
            ("256.0.0.1", None),
            ("1.2.3.4.5", None),
            ("[fe80::1%eth0]", None),
            ("[::1", None),
            ("::1", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
    }

    // R7.5
    #[test]
    fn an_authority_names_a_host_and_perhaps_a_port() {
        for (text, expected) in [
            ("https://a.example", Some("https://a.example")),
            ("https://a.example:443", Some("https://a.example")),
            ("http://A.example.:8080", Some("http://a.example:8080")),
            ("http://[::1]:81", Some("http://[::1]:81")),
            ("https://a.example:", None),
            ("https://a.example:0", None),
            ("https://a.example:+1", None),
            ("https://a.example:65536", None),
            ("https://me@a.example", None),
            ("https://a.example:80@b.example", None),
        ] {
            assert_eq!(target(text).map(|target| target.to_string()).as_deref(), expected, "{text}");
        }
    }
}
