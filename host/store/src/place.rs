//! The data directory on its file system: private permissions, no network file system, room on the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::open::OpenError;

/// Makes the directory if it is missing, for its owner alone. An existing one is left as it is: it may be anybody's.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Opens a file for its owner alone, made if it is missing and made private if it was not.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Makes an empty file for its owner alone, durably, or makes an existing one private. An existing one is not opened:
/// closing it would let go of the locks that SQLite holds on it elsewhere in this process.
pub(crate) fn private_database(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether the file is there and may be read. It is not opened: see [`private_database`].
pub(crate) fn readable_database(path: &Path) -> Result<(), OpenError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unreadable = |at: &Path, source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => OpenError::Missing(directory.to_owned()),
        io::ErrorKind::NotADirectory => OpenError::NotADirectory(directory.to_owned()),
        _ => OpenError::Unreadable { path: at.to_owned(), source },
    };
    if !fs::metadata(directory).map_err(|source| unreadable(directory, source))?.is_dir() {
        return Err(OpenError::NotADirectory(directory.to_owned()));
    }
    if !fs::metadata(path).map_err(|source| unreadable(path, source))?.is_file() {
        return Err(OpenError::NotAStore(path.to_owned()));
    }
    rustix::fs::access(path, rustix::fs::Access::READ_OK).map_err(|source| unreadable(path, source.into()))
}

/// Whether SQLite failed because it may not make its log and its shared memory beside the file.
pub(crate) fn needs_writing(path: &Path, error: &rusqlite::Error) -> bool {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
        && rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_err()
}

/// Whether there is a log whose content the file may lack.
pub(crate) fn has_log(path: &Path) -> bool {
    fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0)
}

/// Where SQLite keeps the log of a file.
pub(crate) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}

/// The name of the network file system that holds the directory, if one does. SQLite's log and file locks do not work
/// over a network.
#[cfg(target_os = "linux")]
pub(crate) fn network_file_system(directory: &Path) -> io::Result<Option<&'static str>> {
    Ok(network_name(rustix::fs::statfs(directory)?.f_type as u64 & 0xffff_ffff))
}

/// Other systems tell it in other ways; nothing is refused there.
#[cfg(not(target_os = "linux"))]
pub(crate) fn network_file_system(_directory: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

/// By the magic numbers of `statfs(2)`.
#[cfg(target_os = "linux")]
fn network_name(magic: u64) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x0102_1997 => "9P",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0bd0_0bd0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x564c => "NCP",
        _ => return None,
    })
}

/// Bytes that an unprivileged user may still write to the directory's file system.
pub(crate) fn free_bytes(directory: &Path) -> io::Result<u64> {
    let room = rustix::fs::statvfs(directory)?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xef53), None, "ext4");
        assert_eq!(network_name(0x0102_1994), None, "tmpfs");
        let here = tempfile::tempdir().expect("a directory");
        assert_eq!(network_file_system(here.path()).expect("statfs"), None);
    }

    #[test]
    fn files_are_for_their_owner_alone() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("data");
        create_directory(&directory).expect("made");
        create_directory(&directory).expect("still there");
        assert_eq!(fs::metadata(&directory).expect("there").permissions().mode() & 0o777, 0o700);
        let path = directory.join("file");
        fs::write(&path, b"x").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("opened to all");
        private_file(&path).expect("opened");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).expect("readable"), b"x");
    }
}
