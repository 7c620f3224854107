//! What guests take of the disk: a folder with one directory for each attempt that has the grant `files` with `access:
//! scratch`, and what all of them hold together, in bytes and in open files.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder of a sandbox, and the books over all attempts.
pub(crate) struct Disk {
    dir: Option<PathBuf>,
    next: AtomicU64,
    pub(crate) bytes: Total,
    pub(crate) files: Total,
}

/// Something that all attempts hold together.
pub(crate) struct Total {
    in_use: AtomicU64,
    pub(crate) max: u64,
}

impl Total {
    fn new(max: u64) -> Total {
        Total { in_use: AtomicU64::new(0), max }
    }

    /// Takes so many more, if there are.
    pub(crate) fn charge(&self, more: u64) -> bool {
        let sum = |used: u64| used.checked_add(more).filter(|sum| *sum <= self.max);
        self.in_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
    }

    pub(crate) fn refund(&self, less: u64) {
        self.in_use.fetch_sub(less, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn in_use(&self) -> u64 {
        self.in_use.load(Ordering::Relaxed)
    }
}

impl Disk {
    /// Takes the folder, which belongs to this sandbox alone: what another one left there when it died is removed.
    pub(crate) fn open(dir: Option<&Path>, bytes_max: u64) -> io::Result<Disk> {
        if let Some(dir) = dir {
            private().recursive(true).create(dir)?;
            // It may have been there already, made by somebody with other habits.
            fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
            clear(dir)?;
        }
        Ok(Disk {
            dir: dir.map(Path::to_owned),
            next: AtomicU64::new(0),
            bytes: Total::new(bytes_max),
            files: Total::new(open_files_max()),
        })
    }

    /// A new directory that only this user can look into; `None`: this sandbox has no folder for them.
    pub(crate) fn directory(&self) -> Option<io::Result<PathBuf>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.as_ref()?.join(number.to_string());
        Some(private().create(&path).map(|()| path))
    }
}

fn private() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Half of what the process may have open, so that guests never take the other half from the host.
fn open_files_max() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| {
        line.strip_prefix("Max open files")?.split_whitespace().next().map(|soft| soft.parse::<u64>().ok())
    });
    match soft {
        Some(Some(soft)) => soft / 2,
        // `unlimited`.
        Some(None) => u64::MAX,
        None => 512,
    }
}

/// Removes a directory and all that is in it, however deep: a guest may have nested directories by the thousand, and
/// whoever went down would hold one open file for each. Links are removed, not followed.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    clear(dir)?;
    fs::remove_dir(dir)
}

fn clear(dir: &Path) -> io::Result<()> {
    let mut number: u64 = 0;
    loop {
        let mut empty = true;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            empty = false;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
                continue;
            }
            // What is in it comes up to `dir` before it goes, so paths stay short.
            for child in fs::read_dir(entry.path())? {
                let child = child?;
                if !child.file_type()?.is_dir() {
                    fs::remove_file(child.path())?;
                    continue;
                }
                let aside = loop {
                    number += 1;
                    let aside = dir.join(format!(".gone-{number}"));
                    if fs::symlink_metadata(&aside).is_err() {
                        break aside;
                    }
                };
                fs::rename(child.path(), aside)?;
            }
            fs::remove_dir(entry.path())?;
        }
        if empty {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R7.1: a crash of the host leaves directories; the next one finds none of them, nor what links in them lead to.
    #[test]
    fn what_was_left_is_swept_without_following_links() {
        let root = tempfile::tempdir().unwrap();
        let (dir, outside) = (root.path().join("scratch"), root.path().join("outside"));
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        fs::create_dir_all(dir.join("7/sub")).unwrap();
        fs::write(dir.join("7/sub/file"), "x").unwrap();
        for link in ["link", "7/link", "7/sub/link"] {
            std::os::unix::fs::symlink(&outside, dir.join(link)).unwrap();
        }
        let disk = Disk::open(Some(&dir), 100).unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        assert!(outside.join("kept").exists());
        let mode = std::os::unix::fs::PermissionsExt::mode;
        let made = disk.directory().unwrap().unwrap();
        assert_eq!(mode(&fs::metadata(&made).unwrap().permissions()) & 0o777, 0o700);
        assert_eq!(mode(&fs::metadata(&dir).unwrap().permissions()) & 0o777, 0o700);
        assert_ne!(made, disk.directory().unwrap().unwrap());
    }

    // R7.3
    #[test]
    fn deep_directories_are_removed_without_an_open_file_each() {
        let root = tempfile::tempdir().unwrap();
        let top = root.path().join("top");
        fs::create_dir(&top).unwrap();
        let mut deep = fs::File::open(&top).unwrap();
        for _ in 0..3_000 {
            let here = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&deep));
            fs::create_dir(format!("{here}/d")).unwrap();
            fs::write(format!("{here}/f"), "x").unwrap();
            deep = fs::File::open(format!("{here}/d")).unwrap();
        }
        remove(&top).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn totals_hold() {
        let total = Total::new(10);
        assert!(total.charge(6) && !total.charge(5) && total.charge(4));
        total.refund(10);
        assert!(total.in_use() == 0 && !total.charge(u64::MAX));
    }
}
