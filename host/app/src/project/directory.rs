//! The project directory: that of `bandstand.toml`, else the workflow file's own. Files that a workflow names lie
//! inside it, symbolic links followed.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::config::{self, Config};

/// The project round one workflow file.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The project directory, absolute, links resolved.
    pub root: PathBuf,
    /// The workflow file's own folder, absolute, links resolved.
    pub base: PathBuf,
    /// What `bandstand.toml` and the environment say; none: there is no such file, and the environment says nothing.
    pub config: Option<Config>,
}

/// A file that a workflow names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It leads out of the project directory (`BW607`).
    #[error("`{named}` leads out of the project directory {}", root.display())]
    Outside {
        /// As written in the workflow file.
        named: String,
        /// The project directory.
        root: PathBuf,
    },
    /// There is nothing (`BW601`).
    #[error("there is no file {}", path.display())]
    NotFound {
        /// The path tried.
        path: PathBuf,
    },
    /// It is there, and cannot be read (`BW601`).
    #[error("cannot read {}: {problem}", path.display())]
    Unreadable {
        /// The path tried.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// It is larger than such a file may be (`BW601`).
    #[error("{} has more than {size_bytes_max} bytes", path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// The limit.
        size_bytes_max: u64,
    },
}

impl Directory {
    /// The project of a workflow file.
    ///
    /// # Errors
    /// When the file's folder cannot be found, or the settings are not valid.
    pub fn of(workflow_file: &Path) -> Result<Directory, config::Error> {
        let folder = workflow_file.parent().filter(|folder| !folder.as_os_str().is_empty());
        Directory::at(folder.unwrap_or(Path::new(".")))
    }

    /// The project of a workflow file in that folder.
    ///
    /// # Errors
    /// As [`Directory::of`].
    pub fn at(folder: &Path) -> Result<Directory, config::Error> {
        Ok(Directory::with_layers(folder)?.0)
    }

    /// As [`Directory::at`], and who set what of its settings.
    ///
    /// # Errors
    /// As [`Directory::of`].
    pub fn with_layers(folder: &Path) -> Result<(Directory, config::Layers), config::Error> {
        let base = folder
            .canonicalize()
            .map_err(|source| config::Error::Read { path: folder.to_owned(), source })?;
        let file = base.ancestors().map(|folder| folder.join(config::FILE_NAME)).find(|file| file.is_file());
        let root = file.as_deref().and_then(Path::parent).unwrap_or(&base).to_owned();
        let (config, layers) = Config::read(&root, file.as_deref(), &config::Environment::of_process()?)?;
        Ok((Directory { root, base, config }, layers))
    }

    /// Where the `bandstand.toml` of a workflow file's project is looked for, in this order, up to the first that is there.
    pub fn config_places(workflow_file: &Path) -> Vec<PathBuf> {
        let folder = workflow_file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let Ok(base) = folder.unwrap_or(Path::new(".")).canonicalize() else { return Vec::new() };
        let mut places = Vec::new();
        for candidate in base.ancestors() {
            places.push(candidate.join(config::FILE_NAME));
            if places.last().is_some_and(|file| file.is_file()) {
                break;
            }
        }
        places
    }

    /// Where a file would be that the workflow names, by the letter; `None`: outside the project directory.
    pub fn place(&self, named: &str) -> Option<PathBuf> {
        let path = lexically(&self.base.join(named));
        path.starts_with(&self.root).then_some(path)
    }

    /// Where a file is that the workflow names.
    ///
    /// # Errors
    /// When it is outside the project directory or not there.
    pub fn find(&self, named: &str) -> Result<PathBuf, FileError> {
        let outside = || FileError::Outside { named: named.to_owned(), root: self.root.clone() };
        let relative = Path::new(named);
        if !relative
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir | Component::ParentDir))
        {
            return Err(outside());
        }
        // First by the letter, so that a path which leads outside is told as such even where nothing is there.
        let path = lexically(&self.base.join(relative));
        if !path.starts_with(&self.root) {
            return Err(outside());
        }
        let found = path.canonicalize().map_err(|error| unreadable(&path, &error))?;
        if !found.starts_with(&self.root) {
            return Err(outside());
        }
        Ok(found)
    }

    /// The bytes of a file that the workflow names.
    ///
    /// # Errors
    /// As [`Directory::find`], and when it is too large or cannot be read.
    pub fn read(&self, named: &str, size_bytes_max: u64) -> Result<Vec<u8>, FileError> {
        let path = self.find(named)?;
        let problem = |error: std::io::Error| unreadable(&path, &error);
        let file = open_file(&path).map_err(problem)?;
        let mut bytes = Vec::new();
        file.take(size_bytes_max + 1).read_to_end(&mut bytes).map_err(problem)?;
        if bytes.len() as u64 > size_bytes_max {
            return Err(FileError::TooLarge { path, size_bytes_max });
        }
        Ok(bytes)
    }

    /// How `bandstand.toml` calls a file that the workflow names: its path from the project directory.
    pub fn name_in_project(&self, named: &str) -> String {
        self.name_below(&self.root, named)
    }

    /// The path from that directory of a file that the workflow names.
    pub fn name_below(&self, root: &Path, named: &str) -> String {
        let path = self.find(named).unwrap_or_else(|_| lexically(&self.base.join(named)));
        path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned()
    }
}

/// Opens a file for reading, and nothing else: opening a pipe would wait for whoever writes to it, reading a device might
/// never end.
///
/// # Errors
/// What the system says, or that it is not a file.
pub fn open_file(path: &Path) -> std::io::Result<std::fs::File> {
    let only_a_file = |what: &std::fs::Metadata| match what.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => {
            Err(std::io::Error::new(std::io::ErrorKind::IsADirectory, "it is not a file but a directory"))
        }
        _ => Err(std::io::Error::other("it is not a file but a pipe, a socket or a device")),
    };
    only_a_file(&std::fs::metadata(path)?)?;
    let file = std::fs::File::open(path)?;
    // It may have changed in between.
    only_a_file(&file.metadata()?)?;
    Ok(file)
}

fn unreadable(path: &Path, error: &std::io::Error) -> FileError {
    match error.kind() {
        std::io::ErrorKind::NotFound => FileError::NotFound { path: path.to_owned() },
        _ => FileError::Unreadable { path: path.to_owned(), problem: error.to_string() },
    }
}

/// The path without `.` and `..`, as far as its letters tell.
fn lexically(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("p/flows")).unwrap();
        std::fs::write(dir.path().join("p/bandstand.toml"), "").unwrap();
        std::fs::write(dir.path().join("p/a.txt"), "inside").unwrap();
        std::fs::write(dir.path().join("secret.txt"), "outside").unwrap();
        dir
    }

    #[test]
    fn files_lie_inside_the_folder_of_bandstand_toml() {
        let dir = project();
        let project = Directory::of(&dir.path().join("p/flows/x.yaml")).unwrap();
        assert!(project.config.is_some());
        assert_eq!(project.read("../a.txt", 100).unwrap(), b"inside");
        assert_eq!(project.name_in_project("../a.txt"), "a.txt");
        assert!(matches!(project.read("../a.txt", 5), Err(FileError::TooLarge { .. })));
        assert!(matches!(project.find("../none.txt"), Err(FileError::NotFound { .. })));
        assert!(matches!(project.read("../flows", 5), Err(FileError::Unreadable { .. })));
        for outside in ["../../secret.txt", "../../none.txt", "/etc/passwd", "../flows/../../secret.txt"] {
            assert!(matches!(project.find(outside), Err(FileError::Outside { .. })), "{outside}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_does_not_lead_out() {
        let dir = project();
        std::os::unix::fs::symlink(dir.path().join("secret.txt"), dir.path().join("p/flows/link.txt"))
            .unwrap();
        let project = Directory::of(&dir.path().join("p/flows/x.yaml")).unwrap();
        assert!(matches!(project.find("link.txt"), Err(FileError::Outside { .. })));
    }

    #[test]
    fn without_bandstand_toml_the_project_is_the_files_own_folder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("flows")).unwrap();
        std::fs::write(dir.path().join("a.txt"), "outside").unwrap();
        let project = Directory::of(&dir.path().join("flows/x.yaml")).unwrap();
        assert!(project.config.is_none());
        assert!(matches!(project.find("../a.txt"), Err(FileError::Outside { .. })));
    }
}
