//! From checked addresses to a response: dials them in turn, speaks TLS where the URL says so, sends one request over
//! HTTP/1.1 and closes. There is no pool, so no request meets a connection that another one's name opened.

use super::Reach;
use super::body::RequestBody;
use super::origin::{Host, Target};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::io::TokioIo;

/// How long one address may take before the next is tried. The last one has all the time that is left.
const ADDRESS_TRY: Duration = Duration::from_secs(5);
/// Header lines of a response.
const HEADERS_MAX: usize = 128;

/// A connection, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the first of these addresses that answers, and to nothing else.
pub(crate) async fn open(
    reach: &Reach,
    target: &Target,
    addresses: &[IpAddr],
) -> Result<Box<dyn Stream>, Error> {
    let tcp = dial(addresses, target.port).await?;
    // Requests are small and answers awaited.
    let _ = tcp.set_nodelay(true);
    if !target.https {
        return Ok(Box::new(tcp));
    }
    let config = reach.tls.get_or_init(|| tls(&reach.outbound.authorities)).clone().map_err(|problem| {
        tracing::warn!(%problem, "no TLS: an authority of the configuration cannot be used");
        Error::ConfigurationError
    })?;
    let name = match &target.host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?,
        Host::Address(address) => ServerName::IpAddress((*address).into()),
    };
    let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(tls_error)?;
    Ok(Box::new(stream))
}

async fn dial(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Error> {
    let mut last = Error::DestinationNotFound;
    for (index, address) in addresses.iter().enumerate() {
        let connecting = TcpStream::connect(SocketAddr::new(*address, port));
        let connected = if index + 1 == addresses.len() {
            connecting.await
        } else {
            match tokio::time::timeout(ADDRESS_TRY, connecting).await {
                Ok(connected) => connected,
                Err(_) => {
                    last = Error::ConnectionTimeout;
                    continue;
                }
            }
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = connect_error(&error),
        }
    }
    Err(last)
}

fn connect_error(error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
            Error::DestinationIpUnroutable
        }
        _ => Error::ConnectionRefused,
    }
}

fn tls_error(error: std::io::Error) -> Error {
    use tokio_rustls::rustls::Error as Tls;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented) => Error::TlsCertificateError,
        Some(Tls::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        _ => Error::TlsProtocolError,
    }
}

/// Mozilla's authorities and those of the operator. Nothing of the environment is read: `SSL_CERT_FILE` is not obeyed.
fn tls(authorities: &[Vec<u8>]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for authority in authorities {
        roots.add(CertificateDer::from(authority.clone())).map_err(|error| error.to_string())?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates in a file of PEM text, as [`Outbound::authorities`](super::Outbound::authorities) takes them.
///
/// # Errors
/// When it holds none, or something broken.
pub fn authorities_from_pem(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("not certificates in PEM: {error}"))?;
    if certificates.is_empty() { Err("it holds no certificate in PEM".to_owned()) } else { Ok(certificates) }
}

/// The connection as a future: it has to be polled as long as the response is read.
pub(crate) type Driver = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// Sends the request and waits for the head of the response.
pub(crate) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<RequestBody>,
    head_bytes_max: usize,
) -> Result<(Response<Incoming>, Driver), Error> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(head_bytes_max.max(8 << 10))
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let mut driver: Driver = Box::pin(connection);
    let response = sender.send_request(request);
    tokio::pin!(response);
    let response = tokio::select! {
        biased;
        response = &mut response => response,
        ended = &mut driver => {
            // The connection is over; what it received before that is there already.
            let response = response.await;
            driver = Box::pin(async { Ok(()) });
            ended.and(response)
        }
    };
    // With the sender gone, the connection closes after this response.
    drop(sender);
    Ok((response?, driver))
}
