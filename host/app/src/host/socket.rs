//! Where the socket is. Its path may be longer than the system allows for sockets; then it is reached through the
//! directory's own descriptor.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The socket's name in the data directory.
const FILE_NAME: &str = "host.sock";
/// What fits into a socket's address everywhere, with room to spare. Bytes.
const PATH_BYTES_MAX: usize = 100;

/// Listens, for this user alone.
pub(super) fn listen(directory: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    remove(directory);
    let (path, _open) = address(directory)?;
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(directory.join(FILE_NAME), std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to whoever listens.
pub(super) async fn connect(directory: &Path) -> io::Result<UnixStream> {
    let (path, _open) = address(directory)?;
    UnixStream::connect(&path).await
}

/// Takes the socket away. Only the holder of the lock may.
pub(super) fn remove(directory: &Path) {
    let _ = std::fs::remove_file(directory.join(FILE_NAME));
}

fn address(directory: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = directory.join(FILE_NAME);
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok((path, None));
    }
    let open = File::open(directory)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{FILE_NAME}", open.as_raw_fd())), Some(open)))
}
