//! The corpora of the language: every good file is accepted, every bad one gives exactly its diagnostic.

use std::path::{Path, PathBuf};

use bandstand_workflow::{Options, check};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/workflows")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn diagnose(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).expect("the file can be read");
    let options = Options { file: path.display().to_string(), ..Options::default() };
    let checked = check(&bytes, &options);
    checked.diagnostics.iter().map(|d| format!("{} at {}:{}", d.code, d.line, d.column)).collect()
}

/// R3, R4, R2: the twenty patterns are workflows.
#[test]
fn good_files_give_nothing_but_features_of_later_phases() {
    let mut good = files(&corpus());
    assert_eq!(good.len(), 20);
    good.extend(files(&corpus().join("children")));
    for path in good {
        let told: Vec<String> =
            diagnose(&path).into_iter().filter(|told| !told.starts_with("BW109")).collect();
        assert_eq!(told, Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn bad_files_give_exactly_the_diagnostic_in_their_first_line() {
    let bad = files(&corpus().join("bad"));
    assert_eq!(bad.len(), 30);
    for path in bad {
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let expected =
            text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).expect("a first line");
        assert_eq!(diagnose(&path), [expected], "{}", path.display());
    }
}
