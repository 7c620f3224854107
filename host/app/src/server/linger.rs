//! Lets a client read the answer that refuses its body: a connection that is closed while the client still sends is reset, and the
//! answer may be lost with it. So what still comes is read and thrown away for a moment.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::listen::Place;

/// What comes later finds the connection closed.
const LINGER: Duration = Duration::from_secs(2);
/// Read at a time. Bytes.
const READ_BYTES: usize = 64 << 10;

/// Whether the connection is to linger when it ends. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish(Arc<AtomicBool>);

impl Wish {
    /// It is to.
    pub(super) fn make(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection that lingers when it is dropped, if that was wished. Its place among those at once is taken until then.
pub(super) struct Lingering<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    /// There until it is dropped.
    stream: Option<S>,
    place: Place,
    wish: Wish,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Lingering<S> {
    pub(super) fn new(stream: S, place: Place, wish: Wish) -> Self {
        Lingering { stream: Some(stream), place, wish }
    }

    fn stream(&mut self) -> Pin<&mut S> {
        Pin::new(self.stream.as_mut().expect("it is there until it is dropped"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for Lingering<S> {
    fn drop(&mut self) {
        let (Some(mut stream), true) = (self.stream.take(), self.wish.0.load(Ordering::Relaxed)) else {
            return;
        };
        // Without a runtime the server has ended.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let place = self.place.clone();
        runtime.spawn(async move {
            let _until_here = place;
            let mut thrown_away = vec![0; READ_BYTES];
            let all = async { while stream.read(&mut thrown_away).await.is_ok_and(|read| read > 0) {} };
            let _ = tokio::time::timeout(LINGER, all).await;
        });
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}
