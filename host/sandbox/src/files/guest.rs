//! `wasi:filesystem` for guests: wasmtime's, with the books asked before everything that takes something.

use super::books::{FileId, Growth, UsedUp};
use super::stream::{At, FileReader, FileWriter};
use crate::clocks;
use crate::guest::Guest;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Resource;
use wasmtime::{Result, format_err};
use wasmtime_wasi::FsPerms;
use wasmtime_wasi::filesystem::{Descriptor, File, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, HostDescriptor,
    HostDirectoryEntryStream, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, ReaddirIterator};

/// No longer path is looked at. Bytes.
const PATH_BYTES_MAX: usize = 4_096;
/// What an entry of a directory counts when it is listed. Bytes.
const LISTED_BYTES: usize = 256;

type Fd = Resource<Descriptor>;

impl Guest {
    fn wasi_files(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView { ctx: self.wasi.filesystem(), table: &mut self.resources }
    }

    /// Counts a call with this much data.
    fn count(&mut self, bytes: usize) -> FsResult<()> {
        self.charge_call(bytes).map_err(FsError::trap)
    }

    /// Counts a call with a path.
    fn count_path(&mut self, path: &str) -> FsResult<()> {
        self.count(path.len())?;
        if path.len() > PATH_BYTES_MAX { Err(ErrorCode::NameTooLong.into()) } else { Ok(()) }
    }

    fn file(&self, fd: &Fd) -> FsResult<&File> {
        match self.resources.get(fd)? {
            Descriptor::File(file) => Ok(file),
            Descriptor::Dir(_) => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    /// Enters a file that may be written to in the books. One that may not be is refused behind them.
    fn grow(&self, fd: &Fd, growth: Growth) -> FsResult<()> {
        let file = self.file(fd)?;
        if file.perms == FsPerms::ReadWrite {
            self.files.books.grow(FileId::of(&file.file)?, growth).map_err(used_up)?;
        }
        Ok(())
    }

    /// Enters what is to be made in that directory in the books; whether it was.
    fn add_entry(&self, fd: &Fd) -> FsResult<bool> {
        match self.resources.get(fd)? {
            Descriptor::Dir(dir) if dir.perms == FsPerms::ReadWrite => {
                self.files.books.add_entry().map_err(used_up)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Takes back what [`Guest::add_entry`] entered, when nothing came of it.
    fn settle<T>(&self, entered: bool, made: FsResult<T>) -> FsResult<T> {
        if made.is_err() && entered {
            self.files.books.remove_entry();
        }
        made
    }

    /// What a guest may know of a file: its times would be a clock.
    fn masked(&self, fd: &Fd, stat: DescriptorStat) -> FsResult<DescriptorStat> {
        let perms = match self.resources.get(fd)? {
            Descriptor::File(file) => file.perms,
            Descriptor::Dir(dir) => dir.perms,
        };
        let go = self.clocks.go();
        let coarse = |time: Option<Datetime>| {
            let time = time.map(|time| clocks::floor(Duration::new(time.seconds, time.nanoseconds)))?;
            Some(Datetime { seconds: time.as_secs(), nanoseconds: time.subsec_nanos() })
        };
        let known = |may: bool, time: Option<Datetime>| if may { coarse(time) } else { None };
        Ok(DescriptorStat {
            data_access_timestamp: known(go, stat.data_access_timestamp),
            // When files that it cannot change were changed is part of what it may read.
            data_modification_timestamp: known(
                go || perms == FsPerms::ReadOnly,
                stat.data_modification_timestamp,
            ),
            status_change_timestamp: known(go, stat.status_change_timestamp),
            ..stat
        })
    }

    /// What a name in a scratch directory stands for, if that is a file with no other name. It is opened for a moment.
    async fn only_name_of(&mut self, fd: &Fd, path: String) -> Option<FileId> {
        let (at, flags) = (Resource::new_borrow(fd.rep()), PathFlags::empty());
        let opened =
            self.wasi_files().open_at(at, flags, path, OpenFlags::empty(), DescriptorFlags::READ).await;
        let opened = self.resources.delete(opened.ok()?).ok()?;
        let Descriptor::File(file) = opened else { return None };
        let links = std::os::unix::fs::MetadataExt::nlink(&file.file.metadata().ok()?);
        if links == 1 { FileId::of(&file.file).ok() } else { None }
    }
}

fn used_up(_: UsedUp) -> FsError {
    FsError::trap(format_err!("a quota of the grant `files` is used up"))
}

impl preopens::Host for Guest {
    fn get_directories(&mut self) -> Result<Vec<(Fd, String)>> {
        self.charge_call(0)?;
        let mut all = Vec::new();
        for (dir, name) in &self.files.directories {
            all.push((self.resources.push(Descriptor::Dir(dir.clone()))?, name.clone()));
        }
        Ok(all)
    }
}

impl types::Host for Guest {
    fn convert_error_code(&mut self, error: FsError) -> Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> Result<Option<ErrorCode>> {
        self.wasi_files().filesystem_error_code(error)
    }
}

impl HostDescriptor for Guest {
    async fn advise(&mut self, fd: Fd, offset: u64, len: u64, advice: types::Advice) -> FsResult<()> {
        self.count(0)?;
        self.wasi_files().advise(fd, offset, len, advice).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.count(0)?;
        self.wasi_files().sync_data(fd).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        self.count(0)?;
        self.wasi_files().get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<DescriptorType> {
        self.count(0)?;
        self.wasi_files().get_type(fd).await
    }

    async fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        self.count(0)?;
        self.grow(&fd, Growth::To(size))?;
        self.wasi_files().set_size(fd, size).await
    }

    async fn set_times(&mut self, fd: Fd, accessed: NewTimestamp, modified: NewTimestamp) -> FsResult<()> {
        self.count(0)?;
        self.wasi_files().set_times(fd, accessed, modified).await
    }

    async fn read(&mut self, fd: Fd, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        self.count(0)?;
        let (bytes, at_end) = self.wasi_files().read(fd, len, offset).await?;
        self.charge_answer(bytes.len()).map_err(FsError::trap)?;
        Ok((bytes, at_end))
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        self.count(bytes.len())?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.grow(&fd, Growth::To(offset.saturating_add(length)))?;
        self.wasi_files().write(fd, bytes, offset).await
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<ReaddirIterator>> {
        self.count(0)?;
        // The whole list is made at once and is the host's memory, so it is counted before.
        if let Descriptor::Dir(dir) = self.resources.get(&fd)? {
            let dir = dir.dir.clone();
            let counting = tokio::task::spawn_blocking(move || {
                let entries = std::fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()));
                entries.map_or(0, Iterator::count)
            });
            let entries = counting.await.unwrap_or(0);
            self.charge_answer(entries.saturating_mul(LISTED_BYTES)).map_err(FsError::trap)?;
        }
        self.wasi_files().read_directory(fd).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.count(0)?;
        self.wasi_files().sync(fd).await
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.count_path(&path)?;
        let entered = self.add_entry(&fd)?;
        let made = self.wasi_files().create_directory_at(fd, path).await;
        self.settle(entered, made)
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<DescriptorStat> {
        self.count(0)?;
        let stat = self.wasi_files().stat(Resource::new_borrow(fd.rep())).await?;
        self.masked(&fd, stat)
    }

    async fn stat_at(&mut self, fd: Fd, flags: PathFlags, path: String) -> FsResult<DescriptorStat> {
        self.count_path(&path)?;
        let stat = self.wasi_files().stat_at(Resource::new_borrow(fd.rep()), flags, path).await?;
        self.masked(&fd, stat)
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.count_path(&path)?;
        self.wasi_files().set_times_at(fd, flags, path, accessed, modified).await
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        self.count_path(&path)?;
        self.count_path(&new_path)?;
        let entered = self.add_entry(&new_fd)?;
        let made = self.wasi_files().link_at(fd, flags, path, new_fd, new_path).await;
        self.settle(entered, made)
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        self.count_path(&path)?;
        let at = Resource::new_borrow(fd.rep());
        let entered = match self.wasi_files().stat_at(at, path_flags, path.clone()).await {
            Ok(found) => match found.type_ {
                DescriptorType::Directory | DescriptorType::RegularFile | DescriptorType::SymbolicLink => {
                    false
                }
                // Opening a pipe would hold a thread until somebody writes to it; reading a device may never end.
                _ => return Err(ErrorCode::NotPermitted.into()),
            },
            Err(error) => {
                error.downcast().map_err(FsError::trap)?;
                open_flags.contains(OpenFlags::CREATE) && self.add_entry(&fd)?
            }
        };
        self.files.books.room_to_open().map_err(used_up)?;
        let opened = self.wasi_files().open_at(fd, path_flags, path, open_flags, flags).await;
        match &opened {
            Ok(opened) => {
                let file = match self.resources.get(opened)? {
                    Descriptor::File(file) => &file.file,
                    Descriptor::Dir(dir) => &dir.dir,
                };
                self.files.books.opened(file);
            }
            Err(_) => self.files.books.not_opened(),
        }
        self.settle(entered, opened)
    }

    fn drop(&mut self, fd: Fd) -> Result<()> {
        HostDescriptor::drop(&mut self.wasi_files(), fd)?;
        self.files.books.closed();
        Ok(())
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        self.count_path(&path)?;
        self.wasi_files().readlink_at(fd, path).await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.count_path(&path)?;
        self.wasi_files().remove_directory_at(fd, path).await?;
        self.files.books.remove_entry();
        Ok(())
    }

    async fn rename_at(&mut self, fd: Fd, path: String, new_fd: Fd, new_path: String) -> FsResult<()> {
        self.count_path(&path)?;
        self.count_path(&new_path)?;
        let writable =
            matches!(self.resources.get(&new_fd)?, Descriptor::Dir(dir) if dir.perms == FsPerms::ReadWrite);
        let replaced = if writable { self.only_name_of(&new_fd, new_path.clone()).await } else { None };
        let moved = if replaced.is_some() { self.only_name_of(&fd, path.clone()).await } else { None };
        self.wasi_files().rename_at(fd, path, new_fd, new_path).await?;
        // A file that takes its own place is still there.
        if let Some(file) = replaced.filter(|replaced| moved != Some(*replaced)) {
            self.files.books.remove_entry();
            self.files.books.forget(file);
        }
        Ok(())
    }

    async fn symlink_at(&mut self, fd: Fd, path: String, new_path: String) -> FsResult<()> {
        self.count_path(&path)?;
        self.count_path(&new_path)?;
        let entered = self.add_entry(&fd)?;
        let made = self.wasi_files().symlink_at(fd, path, new_path).await;
        self.settle(entered, made)
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.count_path(&path)?;
        let writable =
            matches!(self.resources.get(&fd)?, Descriptor::Dir(dir) if dir.perms == FsPerms::ReadWrite);
        let only_name = if writable { self.only_name_of(&fd, path.clone()).await } else { None };
        self.wasi_files().unlink_file_at(fd, path).await?;
        self.files.books.remove_entry();
        if let Some(file) = only_name {
            self.files.books.forget(file);
        }
        Ok(())
    }

    fn read_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynInputStream>> {
        self.count(0)?;
        let open = self.files.books.stream().map_err(used_up)?;
        let stream = self.wasi_files().read_via_stream(fd, offset)?;
        let inner = self.resources.delete(stream)?;
        let stream: DynInputStream = Box::new(FileReader { inner, open });
        Ok(self.resources.push(stream)?)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        let at = Resource::new_borrow(fd.rep());
        let stream = self.wasi_files().write_via_stream(at, offset)?;
        self.booked(&fd, stream, At::Place(offset))
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        let at = Resource::new_borrow(fd.rep());
        let stream = self.wasi_files().append_via_stream(at)?;
        self.booked(&fd, stream, At::End)
    }

    async fn is_same_object(&mut self, one: Fd, other: Fd) -> Result<bool> {
        self.charge_call(0)?;
        self.wasi_files().is_same_object(one, other).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<types::MetadataHashValue> {
        self.count(0)?;
        self.wasi_files().metadata_hash(fd).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        self.count_path(&path)?;
        self.wasi_files().metadata_hash_at(fd, flags, path).await
    }
}

impl Guest {
    /// A stream that writes to a file, with the books before it.
    fn booked(
        &mut self,
        fd: &Fd,
        stream: Resource<DynOutputStream>,
        at: At,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.count(0)?;
        let inner = self.resources.delete(stream)?;
        let file = Arc::clone(&self.file(fd)?.file);
        let open = self.files.books.stream().map_err(used_up)?;
        let writer = FileWriter { inner, open, file: FileId::of(&file)?, at, _held: file };
        let stream: DynOutputStream = Box::new(writer);
        Ok(self.resources.push(stream)?)
    }
}

impl HostDirectoryEntryStream for Guest {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<ReaddirIterator>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        self.wasi_files().read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<ReaddirIterator>) -> Result<()> {
        HostDirectoryEntryStream::drop(&mut self.wasi_files(), stream)
    }
}
