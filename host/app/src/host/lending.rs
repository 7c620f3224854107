//! What the host lends plugins of its own surroundings: directories and environment variables. `check` held the grants
//! against `bandstand.toml`; here they are held against it again when an attempt begins, since runs outlive settings, and
//! what a path leads to may change.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bandstand_engine::graph::{FilesAccess, Grants};
use bandstand_engine::{Class, Failure};

/// What may be lent.
#[derive(Clone, Debug, Default)]
pub struct Lending {
    /// The directories that may be read, with all below them; `None`: no `bandstand.toml` says anything, so what a run
    /// pins holds.
    pub directories: Option<Vec<PathBuf>>,
    /// The environment variables that may be seen; `None`: as above.
    pub env: Option<BTreeSet<String>>,
    /// Environment variables that hold keys and secrets: nobody sees them.
    pub env_kept: BTreeSet<String>,
    /// What lies on the disk and nobody reads: the data directory, with its key and the scratch directories of others, and
    /// files with keys and secrets. A directory that holds one of them is not lent at all.
    pub paths_kept: Vec<PathBuf>,
}

impl Lending {
    /// Why a plugin with these grants may not run now. Looks at the disk.
    pub(crate) fn refusal(&self, grants: &Grants) -> Option<Failure> {
        let denied = |power: &str, what: String| Some(Failure::permanent(Class::Denied, power, what));
        for files in grants.files.values().filter(|files| files.access == FilesAccess::Read) {
            if let Some(why) = self.directory_problem(Path::new(&files.path)) {
                return denied(
                    "files",
                    format!("the plugin is granted the directory {}, but {why}", files.path),
                );
            }
        }
        for name in &grants.env {
            if self.env_kept.contains(name) || name.starts_with("BANDSTAND_") {
                let what = format!("the plugin is granted the variable {name}, which the host shows nobody");
                return denied("env", what);
            }
            if self.env.as_ref().is_some_and(|permitted| !permitted.contains(name)) {
                let what = format!(
                    "the plugin is granted the variable {name}, but bandstand.toml does not permit it ([grants], env)"
                );
                return denied("env", what);
            }
        }
        None
    }

    /// The sandbox sees to it that what is opened is what the path says, without a link in it.
    fn directory_problem(&self, path: &Path) -> Option<String> {
        match path.canonicalize() {
            Err(error) => return Some(format!("it cannot be found: {error}")),
            Ok(found) if found != path => return Some("a link leads elsewhere now".to_owned()),
            Ok(_) => {}
        }
        let kept = self.paths_kept.iter().filter_map(|kept| kept.canonicalize().ok());
        if let Some(kept) = kept.into_iter().find(|kept| kept.starts_with(path) || path.starts_with(kept)) {
            return Some(format!("{}, which no plugin may read, is part of it", kept.display()));
        }
        let directories = self.directories.as_ref()?;
        let permitted = directories.iter().filter_map(|directory| directory.canonicalize().ok());
        let covered = permitted.into_iter().any(|permitted| path.starts_with(permitted));
        (!covered).then(|| "bandstand.toml does not permit it ([grants], files)".to_owned())
    }

    /// The variables that a plugin sees, with the host's values; and those that the host does not have, or has as
    /// something that is no text.
    pub(crate) fn env(&self, names: &[String]) -> (Vec<(String, String)>, Vec<String>) {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            match std::env::var(name) {
                Ok(value) => there.push((name.clone(), value)),
                Err(_) => missing.push(name.clone()),
            }
        }
        (there, missing)
    }
}

#[cfg(test)]
mod tests {
    use bandstand_engine::graph::FilesGrant;
    use bandstand_engine::id::Id;

    use super::*;

    fn files(path: &Path) -> Grants {
        let grant = FilesGrant { path: path.to_string_lossy().into_owned(), access: FilesAccess::Read };
        Grants { files: [(Id::new("data").unwrap(), grant)].into(), ..Grants::default() }
    }

    // R7.2
    #[test]
    fn a_directory_is_looked_at_again_when_an_attempt_begins() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for directory in ["data/more", "database", "elsewhere"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        let lending = Lending { directories: Some(vec![root.join("data")]), ..Lending::default() };
        assert!(lending.refusal(&files(&root.join("data"))).is_none());
        assert!(lending.refusal(&files(&root.join("data/more"))).is_none());
        for beyond in ["database", "elsewhere", "gone", "data/../elsewhere", ""] {
            let refused = lending.refusal(&files(&root.join(beyond))).unwrap();
            assert_eq!((refused.class, refused.code.as_str()), (Class::Denied, "files"), "{beyond}");
        }
        std::fs::remove_dir(root.join("data/more")).unwrap();
        std::os::unix::fs::symlink(root.join("elsewhere"), root.join("data/more")).unwrap();
        let refused = lending.refusal(&files(&root.join("data/more"))).unwrap();
        assert!(refused.message.contains("leads elsewhere"), "{}", refused.message);
        assert!(Lending::default().refusal(&files(&root.join("elsewhere"))).is_none());
    }

    // R7.1, R7.6
    #[test]
    fn what_holds_the_hosts_own_files_is_not_lent() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("project/.bandstand/scratch")).unwrap();
        std::fs::create_dir_all(root.join("project/data")).unwrap();
        std::os::unix::fs::symlink(root.join("project/.bandstand"), root.join("link")).unwrap();
        // However it is named.
        let lending = Lending { paths_kept: vec![root.join("link")], ..Lending::default() };
        for holds in ["project", "project/.bandstand", "project/.bandstand/scratch"] {
            let refused = lending.refusal(&files(&root.join(holds))).unwrap();
            assert!(refused.message.contains("is part of it"), "{holds}: {}", refused.message);
        }
        assert!(lending.refusal(&files(&root.join("project/data"))).is_none());
    }

    // R7.2, R7.6
    #[test]
    fn keys_and_the_hosts_own_variables_are_shown_to_nobody() {
        let env = |name: &str| Grants { env: vec![name.to_owned()], ..Grants::default() };
        let kept = Lending { env_kept: ["KEY".to_owned()].into(), ..Lending::default() };
        assert!(kept.refusal(&env("KEY")).is_some() && kept.refusal(&env("BANDSTAND_DATA")).is_some());
        assert!(kept.refusal(&env("LANG")).is_none());
        let permitted = Lending { env: Some(["LANG".to_owned()].into()), ..kept };
        assert!(permitted.refusal(&env("LANG")).is_none() && permitted.refusal(&env("HOME")).is_some());
    }
}
