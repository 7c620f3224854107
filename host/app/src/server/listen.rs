//! Takes connections: so many at once, with TLS if there are certificates, each with time limits, and lets them finish when
//! the server ends. A connection whose answer goes on goes on itself on the threads for streams, behind all others.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tower::ServiceExt;

use super::feed::until;
use super::linger::{Lingering, Wish};

/// From a connection to the end of a request's headers. Whoever sends them byte by byte is cut off.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// A TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Headers of a request, all together. Bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// The certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("bandstand.toml, [server] certificate and key: {}: {problem}", path.display())]
pub struct TlsError {
    path: PathBuf,
    problem: String,
}

/// What a server shows to those who connect.
///
/// # Errors
/// When a file cannot be read, or certificate and key do not belong together.
pub fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let wrong = |path: &Path, problem: String| TlsError { path: path.to_owned(), problem };
    let pem = |path: &Path, error: rustls_pki_types::pem::Error| wrong(path, error.to_string());
    let certificates = CertificateDer::pem_file_iter(certificate)
        .and_then(|found| found.collect::<Result<Vec<_>, _>>())
        .map_err(|error| pem(certificate, error))?;
    if certificates.is_empty() {
        return Err(wrong(certificate, "it holds no certificate (PEM)".to_owned()));
    }
    // What stands in a key file is not repeated in an error.
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|_| wrong(key, "it cannot be read or holds no private key (PEM)".to_owned()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(certificates, private))
        .map_err(|error| wrong(certificate, error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A connection's place among those at once. Whoever takes a connection over keeps it.
#[derive(Clone, Debug)]
pub struct Place(#[expect(dead_code, reason = "it is held")] Arc<(OwnedSemaphorePermit, mpsc::Sender<()>)>);

/// On a response: it goes on for long, and whoever reads it may take much and wants to be waited for.
#[derive(Clone, Copy, Debug)]
pub struct GoesOn;

/// How far behind all others the threads for streams stand where there is no more to be had (`nice`).
const STREAMS_NICE: i32 = 19;
/// Threads that write to those who listen. One writes more than they may have together.
const STREAMS_THREADS: usize = 1;
/// Threads that read the store for them.
const STREAMS_READING_THREADS: usize = 8;

/// The threads for streams.
///
/// # Errors
/// When the system gives none.
pub fn threads_for_streams() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .thread_name("stream")
        .worker_threads(STREAMS_THREADS)
        .max_blocking_threads(STREAMS_READING_THREADS)
        .on_thread_start(stand_behind)
        .enable_all()
        .build()
}

/// Lets this thread run only where no other one would: many who listen must not slow the runs they listen to. For good; where
/// that fails, it stays beside the others.
pub fn stand_behind() {
    let _ = rustix::process::setpriority_process(None, STREAMS_NICE);
    run_when_idle();
}

/// Unlike the last `nice`, this makes a processor count as idle that has nothing else to do: what wakes up may go there.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "neither the standard library nor rustix sets how a thread is scheduled")]
fn run_when_idle() {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: it reads the value it is given a pointer to, and changes this thread only.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const priority) };
}

#[cfg(not(target_os = "linux"))]
fn run_when_idle() {}

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many there may be at once.
    pub connections: usize,
    /// How long a client may take nothing of what it is sent; then its connection is cut.
    pub stalled: Duration,
    /// How long a server that ends waits for what is under way.
    pub grace: Duration,
}

/// Serves until `stop` says so; then takes no more and waits for what is under way.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    routes: Router,
    streams: Handle,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(bounds.connections));
    // Dropped by each connection when it ends.
    let (alive, mut all_ended) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = until(&mut stop) => break,
        };
        let (stream, from, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection was taken; next try in a moment");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // What is streamed is to leave at once.
        let _ = stream.set_nodelay(true);
        cut_when_stalled(&stream, bounds.stalled);
        let (tls, routes, streams) = (tls.clone(), routes.clone(), streams.clone());
        let (stop, alive) = (stop.clone(), alive.clone());
        tokio::spawn(async move {
            let place = Place(Arc::new((place, alive)));
            match tls {
                None => connection(stream, from, place, routes, streams, stop).await,
                Some(tls) => match tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection(stream, from, place, routes, streams, stop).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
        });
    }
    drop((listener, alive));
    if tokio::time::timeout(bounds.grace, all_ended.recv()).await.is_err() {
        tracing::warn!("some requests did not end within [server] grace and are cut off");
    }
}

/// Has the system cut the connection when what was sent is not taken for so long: nobody else would notice a client that reads
/// nothing, since a stream waits for its reader. A client that has nothing to take is not meant.
#[cfg(target_os = "linux")]
fn cut_when_stalled(stream: &TcpStream, after: Duration) {
    let after = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    // Where that fails it keeps its place until it goes.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, after);
}

#[cfg(not(target_os = "linux"))]
fn cut_when_stalled(_: &TcpStream, _: Duration) {}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // What waits for room waits in the kernel's queue.
    let place = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, place))
}

async fn connection<S>(
    stream: S,
    from: SocketAddr,
    place: Place,
    routes: Router,
    streams: Handle,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let goes_on = Arc::new(Notify::new());
    let tell = goes_on.clone();
    let linger = Wish::default();
    let stream = Lingering::new(stream, place.clone(), linger.clone());
    let service = routes
        .map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(from));
            request.extensions_mut().insert(place.clone());
            request.map(axum::body::Body::new)
        })
        .map_response(move |response: axum::response::Response| {
            if response.extensions().get::<GoesOn>().is_some() {
                tell.notify_one();
            }
            if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
                linger.make();
            }
            response
        });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = Box::pin(connection.with_upgrades());
    tokio::select! {
        ended = &mut connection => return told(ended),
        () = goes_on.notified() => {}
        () = until(&mut stop) => {
            // The request that is under way is answered, no further one is read.
            connection.as_mut().graceful_shutdown();
            return told(connection.await);
        }
    }
    streams.spawn(async move {
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = until(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        told(ended);
    });
}

fn told(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended before its time");
    }
}
