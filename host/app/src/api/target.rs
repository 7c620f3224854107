//! Which server a command speaks to, and how: its address, the token, whose certificates are believed.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bandstand_sandbox::authorities_from_pem;
use hyper::Uri;
use tokio_rustls::TlsConnector;

use super::token::Token;
use crate::host::outward::{self, Place};

/// What a server says of itself when it starts ends with it, so people copy it.
const API_PATH: &str = "/api/v1";
/// No file of certificates is larger. Bytes.
const CA_BYTES_MAX: u64 = 1 << 20;

/// What is typed.
#[derive(Clone, Debug)]
pub struct Target {
    /// `http://HOST:PORT` or `https://HOST:PORT`, perhaps with a path in front of the API's.
    pub url: String,
    /// Who asks.
    pub token: Option<Token>,
    /// Certificates of authorities that are believed beside the usual ones. PEM.
    pub ca_file: Option<PathBuf>,
    /// The token may go over a connection that everybody on the way can read.
    pub token_in_clear: bool,
}

/// That is no server that can be spoken to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no address.
    #[error(
        "--server: `{0}` is no address; it is http://HOST:PORT or https://HOST:PORT, without user or query"
    )]
    Address(String),
    /// Everybody on the way could read the token.
    #[error(
        "--server: {0} is another machine and not reached over TLS, so everybody on the way could read the token; use https, or \
         a tunnel to an address of this machine, or say that it is meant: --token-in-clear"
    )]
    InClear(String),
    /// The certificates cannot be used.
    #[error("--ca-file: {0}")]
    Authority(String),
}

/// A server as a command speaks to it. Clones are the same.
#[derive(Clone)]
pub struct Api(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) place: Place,
    /// In front of every path, without a slash at its end.
    pub(super) prefix: String,
    pub(super) token: Option<Token>,
    pub(super) tls: Option<TlsConnector>,
}

impl Api {
    /// Looks at the address; nobody is asked yet.
    ///
    /// # Errors
    /// When it is none, the token would be sent for everybody to read, or a file of certificates holds none.
    pub fn new(target: Target) -> Result<Api, TargetError> {
        let no_address = || TargetError::Address(target.url.clone());
        let uri: Uri = target.url.trim().parse().map_err(|_| no_address())?;
        if target.url.contains(['#', '?']) {
            return Err(no_address());
        }
        let place = Place::of(&uri).ok_or_else(no_address)?;
        if target.token.is_some() && !place.secure && !is_here(&place.host) && !target.token_in_clear {
            return Err(TargetError::InClear(place.origin()));
        }
        let path = uri.path().trim_end_matches('/');
        let prefix = format!("{}{API_PATH}", path.strip_suffix(API_PATH).unwrap_or(path));
        let tls = if place.secure {
            Some(connector(target.ca_file).map_err(TargetError::Authority)?)
        } else {
            None
        };
        Ok(Api(Arc::new(Inner { place, prefix, token: target.token, tls })))
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        self.0.place.origin()
    }

    /// Whether requests say whose they are by a token.
    pub fn has_token(&self) -> bool {
        self.0.token.is_some()
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("origin", &self.origin()).finish_non_exhaustive()
    }
}

/// What is sent there does not leave this machine.
fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn connector(ca_file: Option<PathBuf>) -> Result<TlsConnector, String> {
    let mut roots = outward::usual_authorities();
    if let Some(path) = ca_file {
        use std::io::Read;
        let said = |problem: String| format!("{}: {problem}", path.display());
        let mut pem = Vec::new();
        std::fs::File::open(&path)
            .and_then(|file| file.take(CA_BYTES_MAX).read_to_end(&mut pem))
            .map_err(|error| said(error.to_string()))?;
        for der in authorities_from_pem(&pem).map_err(|problem| said(problem.to_string()))? {
            roots.add(der.into()).map_err(|problem| said(problem.to_string()))?;
        }
    }
    outward::connector(roots)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn target(url: &str, token: bool) -> Target {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let token = if token { Token::find(Some(file.path())).unwrap() } else { None };
        Target { url: url.to_owned(), token, ca_file: None, token_in_clear: false }
    }

    // R8.2
    #[test]
    fn an_address_is_a_scheme_a_host_and_perhaps_a_path() {
        for (url, origin, prefix) in [
            ("http://localhost:7420", "http://localhost:7420", "/api/v1"),
            ("http://127.0.0.1:7420/api/v1", "http://127.0.0.1:7420", "/api/v1"),
            ("https://example.com/desk/", "https://example.com", "/desk/api/v1"),
        ] {
            let api = Api::new(target(url, false)).unwrap();
            assert_eq!((api.origin().as_str(), api.0.prefix.as_str()), (origin, prefix));
        }
        for wrong in ["localhost:7420", "ftp://a", "http://me@a", "http://a/?x", "http://a/#x", "", "http://"]
        {
            assert!(matches!(Api::new(target(wrong, false)), Err(TargetError::Address(_))), "{wrong}");
        }
    }

    // R7.6
    #[test]
    fn a_token_does_not_go_over_the_network_in_clear_text() {
        for here in ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "https://example.com"] {
            assert!(Api::new(target(here, true)).is_ok(), "{here}");
        }
        for there in ["http://example.com", "http://10.0.0.1:7420", "http://localhost.example.com"] {
            assert!(matches!(Api::new(target(there, true)), Err(TargetError::InClear(_))), "{there}");
            assert!(Api::new(target(there, false)).is_ok(), "{there}");
            assert!(Api::new(Target { token_in_clear: true, ..target(there, true) }).is_ok(), "{there}");
        }
    }
}
