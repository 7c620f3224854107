//! Which workflow files there are below a folder.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::load::WORKFLOW_BYTES_MAX;

/// No more files are looked at.
pub const FILES_MAX: usize = 1_000;
/// No deeper folder is.
pub const DEPTH_MAX: usize = 8;
/// No more folders are.
pub const FOLDERS_MAX: usize = 4_096;

/// What lies below a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// YAML files that the caller took, in order of their paths.
    pub files: Vec<PathBuf>,
    /// The folders that were looked into, the first one included.
    pub folders: Vec<PathBuf>,
    /// There is more than is looked at.
    pub is_cut: bool,
}

/// Workflow files: YAML with a `format:` of its own at the top. Hidden folders and build output are passed over, and so are
/// symbolic links.
///
/// # Errors
/// When the folder cannot be read.
pub fn workflow_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    Ok(yaml_files(dir, None, &mut is_workflow)?.files)
}

/// The YAML files below a folder that `take` takes; `aside` is a folder that is passed over.
///
/// # Errors
/// When the folder cannot be read.
pub fn yaml_files(
    dir: &Path,
    aside: Option<&Path>,
    take: &mut dyn FnMut(&Path) -> bool,
) -> std::io::Result<Found> {
    let mut found = Found::default();
    walk(dir, 0, &mut found, aside, take)?;
    found.files.sort();
    Ok(found)
}

fn walk(
    dir: &Path,
    depth: usize,
    found: &mut Found,
    aside: Option<&Path>,
    take: &mut dyn FnMut(&Path) -> bool,
) -> std::io::Result<()> {
    let entries = std::fs::read_dir(dir)?;
    found.folders.push(dir.to_owned());
    // By name, so that it is always the same ones that are beyond the limit.
    let mut entries: Vec<_> = entries.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        let path = if dir == Path::new(".") { PathBuf::from(&name) } else { entry.path() };
        if name.starts_with('.') {
            continue;
        }
        if kind.is_dir() && !["target", "node_modules"].contains(&name.as_str()) {
            if aside == Some(&path) {
                continue;
            }
            if depth >= DEPTH_MAX || found.folders.len() >= FOLDERS_MAX {
                found.is_cut = true;
                continue;
            }
            // A folder that may not be read hides its files, not those of others.
            let _ = walk(&path, depth + 1, found, aside, take);
        } else if kind.is_file() && (name.ends_with(".yaml") || name.ends_with(".yml")) && take(&path) {
            if found.files.len() >= FILES_MAX {
                found.is_cut = true;
                continue;
            }
            found.files.push(path);
        }
    }
    Ok(())
}

/// Whether it is a workflow file, at a glance.
pub fn is_workflow(path: &Path) -> bool {
    let mut text = Vec::new();
    // What is too large is found out by whoever loads it.
    let _ = std::fs::File::open(path).and_then(|file| file.take(WORKFLOW_BYTES_MAX).read_to_end(&mut text));
    String::from_utf8_lossy(&text).lines().any(|line| line.starts_with("format:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflow_files_are_found_where_people_keep_them() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for name in ["b.yaml", "a/x.yml", ".hidden/x.yaml", "target/x.yaml", "aside/x.yaml", "x.txt"] {
            write(name, "format: 1\n");
        }
        write("other.yaml", "kind: Deployment\n");
        std::os::unix::fs::symlink(dir.path().join("b.yaml"), dir.path().join("link.yaml")).unwrap();
        let aside = dir.path().join("aside");
        let found = yaml_files(dir.path(), Some(&aside), &mut is_workflow).unwrap();
        assert_eq!(found.files, [dir.path().join("a/x.yml"), dir.path().join("b.yaml")]);
        assert_eq!(found.folders, [dir.path().to_owned(), dir.path().join("a")]);
        assert!(!found.is_cut && workflow_files(dir.path()).unwrap().len() == 3);
        assert!(workflow_files(&dir.path().join("none")).is_err());
    }

    #[test]
    fn a_tree_without_end_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let deep = (0..12).fold(dir.path().to_owned(), |path, _| path.join("d"));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("x.yaml"), "format: 1\n").unwrap();
        let found = yaml_files(dir.path(), None, &mut is_workflow).unwrap();
        assert!(found.is_cut && found.files.is_empty() && found.folders.len() == DEPTH_MAX + 1);
    }
}
