//! Bodies on their way: each piece is counted and charged, the whole is bounded, and what comes back is masked.

use super::secret::Masker;
use crate::meter::HostBytes;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, WasiBody};

/// The body of a request.
pub(crate) struct RequestBody {
    pub(crate) inner: WasiBody,
    pub(crate) left: u64,
    pub(crate) bytes: Arc<HostBytes>,
    /// Raised when the body was too large: hyper's own error would not tell.
    pub(crate) too_large: Arc<AtomicBool>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let Some(data) = frame.data_ref() else {
                // Trailers could carry what headers may not.
                return Poll::Ready(None);
            };
            let size = data.len();
            match self.left.checked_sub(size as u64) {
                Some(left) if self.bytes.take(size) => self.left = left,
                _ => {
                    self.too_large.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))));
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of a response.
pub(crate) struct ResponseBody {
    inner: hyper::body::Incoming,
    max: u64,
    left: u64,
    bytes: Arc<HostBytes>,
    masker: Option<Masker>,
    /// The longest time between two pieces, where the guest asked for one.
    between: Option<(Duration, Pin<Box<Sleep>>)>,
    ended: bool,
}

impl ResponseBody {
    /// As the guest's body.
    pub(crate) fn boxed(
        inner: hyper::body::Incoming,
        max: u64,
        bytes: Arc<HostBytes>,
        masker: Option<Masker>,
        between: Option<Duration>,
    ) -> WasiBody {
        let between = between.map(|time| (time, Box::pin(tokio::time::sleep(time))));
        Self { inner, max, left: max, bytes, masker, between, ended: false }.boxed_unsync()
    }

    fn end(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.ended = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            let Poll::Ready(polled) = Pin::new(&mut self.inner).poll_frame(context) else {
                if let Some((_, sleep)) = &mut self.between
                    && sleep.as_mut().poll(context).is_ready()
                {
                    return self.end(Error::ConnectionReadTimeout);
                }
                return Poll::Pending;
            };
            if let Some((time, sleep)) = &mut self.between {
                sleep.as_mut().reset(tokio::time::Instant::now() + *time);
            }
            match polled {
                None => {
                    self.ended = true;
                    let rest = self.masker.as_mut().map(Masker::finish).unwrap_or_default();
                    if rest.is_empty() {
                        return Poll::Ready(None);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
                }
                Some(Err(error)) => return self.end(Error::Hyper(error)),
                Some(Ok(frame)) => {
                    // Trailers are rare and would have to be masked like headers: the guest gets none.
                    let Ok(data) = frame.into_data() else { continue };
                    let Some(left) = self.left.checked_sub(data.len() as u64) else {
                        let max = self.max;
                        return self.end(Error::HttpResponseBodySize(Some(max)));
                    };
                    self.left = left;
                    if !self.bytes.take(data.len()) {
                        return self.end(Error::HttpResponseBodySize(None));
                    }
                    let data = match &mut self.masker {
                        Some(masker) => masker.push(&data).into(),
                        None => data,
                    };
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
            }
        }
    }
}
