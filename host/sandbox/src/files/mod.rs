//! The grant `files`: directories that a guest sees, through `wasi:filesystem` with books of our own before it.
//!
//! wasmtime keeps a guest inside its directories and out of what it may only read. It knows no quota, so everything that
//! makes a scratch directory larger is entered in the books (`books`) before it happens, and refused there. `guest` is
//! what stands behind the interface, `stream` what counts in the streams of files.

mod books;
mod guest;
mod stream;

pub(crate) use books::{Books, Quotas};

use crate::disk::{self, Disk};
use crate::failure::{Class, Failure};
use crate::meter::HostBytes;
use crate::settings::{FilesDirectory, FilesGrant};
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime_wasi::filesystem::Dir;
use wasmtime_wasi::{FsPerms, OpenMode};

/// What one attempt has of files.
pub(crate) struct AttemptFiles {
    directories: Vec<(Dir, String)>,
    pub(crate) books: Arc<Books>,
}

impl AttemptFiles {
    /// Opens what is granted, and makes what is to be made. Blocks for a moment, if anything is granted.
    pub(crate) fn open(
        grants: &[FilesGrant],
        disk: &Arc<Disk>,
        quotas: Quotas,
        host_bytes: Arc<HostBytes>,
    ) -> Result<AttemptFiles, Failure> {
        let wants_scratch = grants.iter().any(|grant| grant.directory == FilesDirectory::Scratch);
        let scratch = if wants_scratch { Some(Scratch::make(disk)?) } else { None };
        let parent = scratch.as_ref().map(|scratch| scratch.path.clone()).unwrap_or_default();
        // They take the directory away again, also when something below does not work.
        let books = Books::new(quotas, disk.clone(), host_bytes, scratch);
        let mut directories = Vec::new();
        for grant in grants {
            books.charge_directory().map_err(|_| no_open_files())?;
            let (opened, perms, mode) = match &grant.directory {
                FilesDirectory::Read(path) => {
                    (open_exactly(path).map_err(|why| gone(path, &why))?, FsPerms::ReadOnly, OpenMode::READ)
                }
                FilesDirectory::Scratch => {
                    let made = part_of(&parent.join(&grant.name)).map_err(|error| no_scratch(&error))?;
                    (made, FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE)
                }
            };
            directories.push((Dir::new(opened, perms, mode, false), format!("/{}", grant.name)));
        }
        Ok(AttemptFiles { directories, books: Arc::new(books) })
    }
}

/// The private directory of one attempt. [`Books`] remove it when they go, whatever happens.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn make(disk: &Disk) -> Result<Scratch, Failure> {
        match disk.directory() {
            Some(Ok(path)) => Ok(Scratch { path }),
            Some(Err(error)) => Err(no_scratch(&error)),
            None => {
                let what = "this sandbox has no folder for scratch directories";
                Err(Failure::new(Class::Host, "scratch", what))
            }
        }
    }

    /// Removes it. Whether it is gone.
    fn remove(&self) -> bool {
        match disk::remove(&self.path) {
            Ok(()) => true,
            Err(error) => {
                let path = self.path.display();
                tracing::error!(%path, %error, "a scratch directory cannot be removed; the next start tries again");
                false
            }
        }
    }
}

/// The directory, if it is exactly where its path says: whoever permitted it looked at that path, and a link that was put
/// there since would lead elsewhere.
fn open_exactly(path: &Path) -> Result<fs::File, String> {
    let opened = fs::File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| error.to_string())?;
    let really = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))
        .map_err(|error| format!("where it is cannot be told: {error}"))?;
    if really == path { Ok(opened) } else { Err("a link leads elsewhere now".to_owned()) }
}

fn part_of(path: &Path) -> io::Result<fs::File> {
    fs::create_dir(path)?;
    fs::File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC).open(path)
}

fn gone(path: &Path, why: &str) -> Failure {
    let what = format!("the directory {} that the plugin is granted cannot be used: {why}", path.display());
    Failure::new(Class::Denied, "files", what)
}

fn no_open_files() -> Failure {
    let what = "the host has no open files left for the directories that the plugin is granted; other attempts hold them";
    Failure::new(Class::Overload, "open-files", what)
}

fn no_scratch(error: &io::Error) -> Failure {
    Failure::new(Class::Host, "scratch", format!("no scratch directory can be made: {error}"))
}
