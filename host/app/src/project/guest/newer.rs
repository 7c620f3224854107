//! Whether the sources of a project have changed since its component was made, by the times of the files. What is made, fetched or
//! only read by people, the operator or tests is no source.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most files and folders that are looked at; those beyond say nothing.
const ENTRIES_MAX: usize = 10_000;
/// Folders of what is made or fetched, and of cases and tests. Hidden ones are left out, too.
const FOLDERS_LEFT_OUT: [&str; 6] = ["target", "node_modules", "__pycache__", "cases", "test", "tests"];
/// Components, recorded replies of models, texts for people, workflows.
const ENDINGS_LEFT_OUT: [&str; 5] = ["wasm", "jsonl", "md", "yaml", "yml"];
/// What the operator says, licences, and what builds write beside the sources.
const NAMES_LEFT_OUT: [&str; 6] =
    ["bandstand.toml", "LICENSE", "LICENCE", "package-lock.json", "Cargo.lock", "go.sum"];
/// How files of tests are called in one language or another: what their names, without the last ending, begin or end with.
const TESTS_BEGIN: &str = "test_";
const TESTS_END: [&str; 3] = ["_test", ".test", ".spec"];

/// The source that was changed last, when that was after the component was made.
pub fn newer_source(dir: &Path, component: &Path) -> Option<PathBuf> {
    let mut newest = modified(component)?;
    // A file of the future would be newer than whatever is built.
    let now = SystemTime::now();
    let mut newer = None;
    let mut folders = vec![dir.to_owned()];
    let mut left = ENTRIES_MAX;
    while let Some(folder) = folders.pop() {
        // What cannot be read cannot be told of.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            if left == 0 {
                return newer;
            }
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.extend(is_of_sources(&path).then_some(path));
            } else if let (true, Some(changed)) = (is_source(&path), modified(&path))
                && changed > newest
                && changed <= now
            {
                newest = changed;
                newer = Some(path);
            }
        }
    }
    newer
}

/// When a file was changed. A link's own time says nothing of what it leads to.
fn modified(file: &Path) -> Option<SystemTime> {
    let found = std::fs::metadata(file).ok().filter(|found| found.is_file())?;
    found.modified().ok()
}

fn is_of_sources(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && !FOLDERS_LEFT_OUT.contains(&&*name)
}

fn is_source(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let left_out = |ending| ENDINGS_LEFT_OUT.iter().any(|known| ending == *known);
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let is_test = stem.starts_with(TESTS_BEGIN) || TESTS_END.iter().any(|end| stem.ends_with(end));
    !name.starts_with('.')
        && !is_test
        && !NAMES_LEFT_OUT.contains(&&*name)
        && !file.extension().is_some_and(left_out)
}
