//! Reaching an address of the operator's over TCP, and over TLS where the address says so: no redirects, no proxies, one
//! connection each. What is sent, and which certificates are trusted beside the usual ones, is the caller's.

use std::io;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// What requests say that they come from.
pub(crate) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("bandstand/", env!("CARGO_PKG_VERSION")));

/// A place in an `http` or `https` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Whether over TLS.
    pub(crate) secure: bool,
    /// What the header `host` says.
    pub(crate) authority: HeaderValue,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query.
    pub(crate) path: Uri,
}

impl Place {
    /// `None`: the address is none, has no host or names a user. Without a port it is the scheme's.
    pub(crate) fn of(uri: &Uri) -> Option<Place> {
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        Some(Place {
            secure,
            authority: HeaderValue::from_str(authority.as_str()).ok()?,
            // An IPv6 address stands in brackets, which are not a part of it.
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            path: uri.path_and_query()?.as_str().parse().ok()?,
        })
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.authority.to_str().unwrap_or_default())
    }

    /// Connects. `tls` is asked only where the address wants it.
    pub(crate) async fn connect(
        &self,
        tls: impl FnOnce() -> Result<TlsConnector, String>,
    ) -> Result<Box<dyn Stream>, Unreached> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(Unreached::Nobody)?;
        if !self.secure {
            return Ok(Box::new(stream));
        }
        let server = ServerName::try_from(self.host.clone()).map_err(|_| Unreached::Name)?;
        let secured = tls().map_err(Unreached::NoTrust)?.connect(server, stream).await;
        Ok(Box::new(secured.map_err(Unreached::Insecure)?))
    }
}

/// Why there is no connection.
pub(crate) enum Unreached {
    /// Nobody takes it.
    Nobody(io::Error),
    /// The host is no name that a certificate can have.
    Name,
    /// There is nothing to check certificates by.
    NoTrust(String),
    /// The other side is not who it should be, or speaks no TLS.
    Insecure(io::Error),
}

/// What bytes go over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The authorities that browsers trust.
pub(crate) fn usual_authorities() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// Speaks TLS with who is vouched for by these.
///
/// # Errors
/// When the library knows no version of TLS; it does.
pub(crate) fn connector(trusted: RootCertStore) -> Result<TlsConnector, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
