//! Streams of files, with the books before them.

use super::books::{FileId, Growth, OpenStream};
use bytes::Bytes;
use std::sync::Arc;
use wasmtime::format_err;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

/// What one read brings at most. Bytes.
const READ_BYTES_MAX: usize = 64 << 10;

/// What a guest reads of a file.
pub(super) struct FileReader {
    pub(super) inner: DynInputStream,
    pub(super) open: OpenStream,
}

impl FileReader {
    fn count(&self, bytes: usize) -> StreamResult<()> {
        if self.open.books().host_bytes.take(bytes) {
            Ok(())
        } else {
            Err(StreamError::Trap(format_err!("quota of host calls used up")))
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileReader {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for FileReader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.inner.read(size.min(READ_BYTES_MAX))?;
        self.count(bytes.len())?;
        Ok(bytes)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.inner.blocking_read(size.min(READ_BYTES_MAX)).await?;
        self.count(bytes.len())?;
        Ok(bytes)
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

/// Where a stream writes.
pub(super) enum At {
    Place(u64),
    End,
}

/// What a guest writes to a file.
pub(super) struct FileWriter {
    pub(super) inner: DynOutputStream,
    /// Keeps the file in the books for as long as something may be written.
    pub(super) _held: Arc<std::fs::File>,
    /// Dropped after these: it looks what nobody holds any more.
    pub(super) open: OpenStream,
    pub(super) file: FileId,
    pub(super) at: At,
}

impl FileWriter {
    fn grow(&mut self, bytes: &Bytes) -> StreamResult<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let growth = match &mut self.at {
            At::Place(place) => {
                *place = place.saturating_add(length);
                Growth::To(*place)
            }
            At::End => Growth::By(length),
        };
        let books = self.open.books();
        if !books.host_bytes.take(bytes.len()) {
            return Err(StreamError::Trap(format_err!("quota of host calls used up")));
        }
        books.grow(self.file, growth).map_err(|_| StreamError::Trap(format_err!("scratch quota used up")))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileWriter {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for FileWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.grow(&bytes)?;
        self.inner.write(bytes)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.grow(&bytes)?;
        self.inner.blocking_write_and_flush(bytes).await
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}
