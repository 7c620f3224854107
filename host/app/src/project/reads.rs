//! Which files something was made of, and whether they are still as they were: what decides that a workflow in service is
//! looked at again. Reads no file's content.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How a file looks from outside. Whoever writes a file changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// There is none, or it may not be looked at.
    Gone,
    /// A folder. What is in it does not matter.
    Folder {
        /// Its device and number.
        id: (u64, u64),
    },
    /// A file.
    File {
        /// Its device and number; another one after a rename.
        id: (u64, u64),
        /// Bytes.
        size: u64,
        /// When it was last written: seconds and nanoseconds.
        written: (i64, i64),
        /// When it last changed at all, such as by a rename.
        changed: (i64, i64),
    },
}

impl Stamp {
    /// Of what is there now; links are followed.
    pub fn of(path: &Path) -> Stamp {
        match std::fs::metadata(path) {
            Err(_) => Stamp::Gone,
            Ok(found) if found.is_dir() => Stamp::Folder { id: (found.dev(), found.ino()) },
            Ok(found) => Stamp::File {
                id: (found.dev(), found.ino()),
                size: found.len(),
                written: (found.mtime(), found.mtime_nsec()),
                changed: (found.ctime(), found.ctime_nsec()),
            },
        }
    }
}

/// The files that were looked at, each as it was before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads(BTreeMap<PathBuf, Stamp>);

impl Reads {
    /// Says that this file is about to be looked at. The first look counts.
    pub fn note(&mut self, path: &Path) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), Stamp::of(path));
        }
    }

    /// The file was written by whoever made use of it: from now on it counts as it is.
    pub fn note_again(&mut self, path: &Path) {
        self.0.insert(path.to_owned(), Stamp::of(path));
    }

    /// Whether this file is among them.
    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    /// Whether all are as they were.
    pub fn are_unchanged(&self) -> bool {
        self.0.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }

    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// The folders of those that were there.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        let there = self.0.iter().filter(|(_, stamp)| matches!(stamp, Stamp::File { .. }));
        there.filter_map(|(path, _)| path.parent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_renamed_made_or_removed_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, none) = (dir.path().join("a"), dir.path().join("none"));
        std::fs::write(&file, "one").unwrap();
        let reads = || {
            let mut reads = Reads::default();
            reads.note(&file);
            reads.note(&none);
            reads.note(dir.path());
            reads
        };
        let before = reads();
        assert!(before.are_unchanged() && before.contains(&none) && before.paths().count() == 3);
        assert_eq!(before.folders().collect::<Vec<_>>(), [dir.path()]);
        std::fs::write(&file, "longer").unwrap();
        assert!(!before.are_unchanged());
        let before = reads();
        let other = dir.path().join("b");
        std::fs::write(&other, "longer").unwrap();
        std::fs::rename(&other, &file).unwrap();
        assert!(!before.are_unchanged());
        let mut before = reads();
        std::fs::write(&none, "").unwrap();
        assert!(!before.are_unchanged());
        before.note_again(&none);
        assert!(before.are_unchanged());
        std::fs::remove_file(&none).unwrap();
        assert!(!before.are_unchanged());
    }
}
