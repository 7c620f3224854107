//! Files that come by request: what they may be called, where they may go, and that they are there whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What files that are not whole yet are called at first. Hidden, so nobody takes them for anything.
const PART_PREFIX: &str = ".bandstand-part-";
/// Longest name. Characters.
const NAME_MAX: usize = 63;

/// Whether it is the name of a workflow: `[a-z][a-z0-9-]{0,62}`. Nothing else becomes a part of a path.
pub(super) fn is_workflow_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// The file of a plugin that is called so, `NAME` or `NAME.wasm`; `None`: it cannot be called so.
pub(super) fn plugin_file(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".wasm").unwrap_or(name);
    let is_fine = stem.len() <= NAME_MAX
        && stem.starts_with(|c: char| c.is_ascii_alphanumeric())
        && stem.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    is_fine.then(|| format!("{stem}.wasm"))
}

/// Whether a file may be written there: its folder is the directory or below it, no link on the way, and what is there
/// already is a file.
///
/// # Errors
/// For people: what is in the way.
pub(super) fn may_write(dir: &Path, path: &Path) -> Result<(), String> {
    let folder = path.parent().unwrap_or(dir);
    let found = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
    // `dir` has no links, so a link on the way makes the two differ.
    if found != folder || !found.starts_with(dir) {
        return Err(format!("{} is a symbolic link or leads out of {}", folder.display(), dir.display()));
    }
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => Err(format!("{} is there and is not a file", path.display())),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Puts a file there, durably. A reader sees the old one or the new one, never a part.
///
/// # Errors
/// What the system says; then the old file is as it was.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let part = folder.join(format!("{PART_PREFIX}{:016x}", u64::from_le_bytes(random)));
    let written = write(&part, path, bytes);
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written?;
    sync(folder)
}

fn write(part: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::options().write(true).create_new(true).open(part)?;
    file.write_all(bytes)?;
    if let Ok(old) = fs::symlink_metadata(path) {
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()?;
    fs::rename(part, path)
}

/// Removes a file, durably.
///
/// # Errors
/// What the system says.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync(path.parent().unwrap_or(Path::new(".")))
}

/// The folder of plugins, made if it is not there.
///
/// # Errors
/// What the system says, or that it is something else.
pub(super) fn plugins_folder(dir: &Path) -> io::Result<PathBuf> {
    let folder = dir.join("plugins");
    match fs::create_dir(&folder) {
        Ok(()) => sync(dir)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_paths() {
        for fine in ["a", "triage-2", "x".repeat(63).as_str()] {
            assert!(is_workflow_name(fine), "{fine}");
        }
        let long = "x".repeat(64);
        for bad in ["", "A", "2a", "a_b", "a/b", "..", "a.b", "a b", "-a", "a\0", "\u{e4}", &long] {
            assert!(!is_workflow_name(bad), "{bad:?}");
        }
        assert_eq!(plugin_file("split").as_deref(), Some("split.wasm"));
        assert_eq!(plugin_file("read_pdf-2.wasm").as_deref(), Some("read_pdf-2.wasm"));
        assert_eq!(plugin_file("a.b").as_deref(), Some("a.b.wasm"));
        for bad in
            ["", ".wasm", ".", "..", "../x", "a/b", "a\\b", ".hidden", "-x", "a\0", "a\n", "\u{e4}", &long]
        {
            assert_eq!(plugin_file(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_written_through_a_link_or_outside() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&outside).unwrap();
        let root = root.canonicalize().unwrap();
        fs::write(outside.join("x.yaml"), "kept").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("plugins")).unwrap();
        std::os::unix::fs::symlink(outside.join("x.yaml"), root.join("x.yaml")).unwrap();
        fs::create_dir(root.join("folder.yaml")).unwrap();
        assert!(may_write(&root, &root.join("new.yaml")).is_ok());
        for bad in ["plugins/x.wasm", "x.yaml", "folder.yaml", "../outside/x.yaml", "none/x.yaml"] {
            assert!(may_write(&root, &root.join(bad)).is_err(), "{bad}");
        }
        assert_eq!(plugins_folder(&root).unwrap(), root.join("plugins"));
    }

    #[test]
    fn a_file_is_put_whole_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        put(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        put(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(put(&dir.path().join("none/a.yaml"), b"x").is_err());
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left over");
    }
}
