//! Keeps the end of what a guest writes to standard output and standard error.
//!
//! The end, because a crash is explained by what came last. A guest may write without bound: old bytes fall out.

use bytes::Bytes;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

/// Bytes kept of each stream.
const KEPT_BYTES: usize = 64 << 10;
/// Bytes taken in one write; the guest's library comes back with the rest.
const WRITE_BYTES: usize = 64 << 10;

/// One captured stream; clones are the same stream.
#[derive(Clone, Default)]
pub(crate) struct Capture(Arc<Mutex<VecDeque<u8>>>);

impl Capture {
    fn take_in(&self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(KEPT_BYTES)..];
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let excess = (kept.len() + bytes.len()).saturating_sub(KEPT_BYTES);
        kept.drain(..excess);
        kept.extend(bytes);
    }

    /// At most the last `bytes_max` bytes, as text, beginning with a whole line where there is one.
    pub(crate) fn tail(&self, bytes_max: usize) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = kept.len().saturating_sub(bytes_max);
        let bytes: Vec<u8> = kept.iter().skip(cut).copied().collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match text.find('\n') {
            Some(end) if cut > 0 && end + 1 < text.len() => text[end + 1..].to_owned(),
            _ => text,
        }
    }
}

impl IsTerminal for Capture {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Capture {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl OutputStream for Capture {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.take_in(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES)
    }
}

impl Pollable for Capture {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl AsyncWrite for Capture {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.take_in(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end_and_starts_at_a_line() {
        let capture = Capture::default();
        capture.take_in(&vec![b'x'; KEPT_BYTES * 2]);
        capture.take_in(b"\nlast but one\nlast");
        assert_eq!(capture.tail(20), "last but one\nlast");
        assert_eq!(capture.tail(usize::MAX).len(), KEPT_BYTES);
        assert_eq!(capture.tail(4), "last");
    }
}
