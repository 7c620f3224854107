//! The text of every diagnostic, as a newcomer meets it: `tests/workflows/diagnostics/CODE-name.yaml` with what `check`
//! says about it beside it. Set `BANDSTAND_BLESS=1` to write the texts anew, and read the difference before committing it.
//!
//! A file with a line `# resolve` is checked with files and plugins; what those are is the table below.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bandstand_engine::graph::{MemoryAccess, PluginSource};
use bandstand_workflow::{
    CODES, Checked, FileProblem, Need, Options, Permitted, PluginFacts, PluginProblem, Resolver, check, render,
};

/// Files are real; plugins are what their names say.
struct Desk(PathBuf);

impl Desk {
    fn look(&self, path: &str) -> Result<PathBuf, FileProblem> {
        if path.contains("../../..") {
            return Err(FileProblem::Outside { tried: path.to_owned(), project: "the project".to_owned() });
        }
        Ok(self.0.join(path))
    }
}

impl Resolver for Desk {
    fn read(&self, path: &str, size_bytes_max: usize) -> Result<Vec<u8>, FileProblem> {
        let tried = path.to_owned();
        let bytes = std::fs::read(self.look(path)?).map_err(|_| FileProblem::NotFound { tried: tried.clone() })?;
        if bytes.len() > size_bytes_max {
            return Err(FileProblem::TooLarge { tried, size_bytes_max });
        }
        Ok(bytes)
    }

    fn plugin(&self, source: &PluginSource) -> Result<PluginFacts, PluginProblem> {
        let digest = format!("sha256:{}", "12".repeat(32));
        match source {
            PluginSource::Builtin(_) => Ok(PluginFacts { digest, needs: Vec::new() }),
            PluginSource::Path(path) if path.ends_with("memory.wasm") => {
                let import = "bandstand:agent/memory-facts@0.1.0".to_owned();
                Ok(PluginFacts { digest, needs: vec![Need { import, grant: "memory".to_owned() }] })
            }
            PluginSource::Path(path) => {
                self.read(path, usize::MAX)?;
                Err(PluginProblem::NotAnAgent { what: format!("`{path}` is not a WebAssembly component: it is text") })
            }
        }
    }

    fn builtins(&self) -> Vec<String> {
        vec!["echo".to_owned()]
    }

    fn permitted(&self, _: &PluginSource, _: &str) -> Option<Permitted> {
        let place = "`[grants.\"files/memory.wasm\"]` in bandstand.toml".to_owned();
        Some(Permitted { memory: Some(MemoryAccess::Read), others: BTreeSet::new(), place })
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/workflows/diagnostics")
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory()).expect("the directory is there");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    cases
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

fn checked(path: &Path) -> (String, Checked) {
    let text = std::fs::read_to_string(path).expect("the case can be read");
    let desk = Desk(directory());
    let file = format!("{}.yaml", stem(path));
    let mut options = Options { file, ..Options::default() };
    if text.contains("# resolve\n") {
        options.resolver = Some(&desk);
    }
    let checked = check(text.as_bytes(), &options);
    (text, checked)
}

#[test]
fn every_code_has_a_case_and_every_case_its_text() {
    let bless = std::env::var_os("BANDSTAND_BLESS").is_some();
    let mut differing = Vec::new();
    for path in cases() {
        let (text, checked) = checked(&path);
        let told = checked.diagnostics.iter().map(|d| render(d, &text)).collect::<Vec<_>>().join("\n");
        let beside = path.with_extension("txt");
        if bless {
            std::fs::write(&beside, &told).expect("the text can be written");
        } else if std::fs::read_to_string(&beside).unwrap_or_default() != told {
            differing.push(format!("{}:\n{told}", path.display()));
        }
        let code = stem(&path).split('-').next().map(str::to_owned).expect("a code");
        assert!(checked.diagnostics.iter().any(|d| d.code == code), "{}: no {code} in\n{told}", path.display());
        assert!(checked.graph.is_none() || !checked.has_errors());
    }
    assert!(differing.is_empty(), "these texts differ:\n{}", differing.join("\n"));
    let named: BTreeSet<String> = cases().iter().filter_map(|path| Some(stem(path).split('-').next()?.to_owned())).collect();
    let missing: Vec<&str> = CODES.iter().map(|code| code.code).filter(|code| !named.contains(*code)).collect();
    assert!(missing.is_empty(), "codes without a case: {missing:?}");
}

#[test]
fn the_fields_of_a_diagnostic_are_those_of_the_language() {
    let (_, checked) = checked(&directory().join("BW312-skipped.yaml"));
    let json = serde_json::to_value(&checked.diagnostics).expect("diagnostics are JSON");
    let first = json[0].as_object().expect("an object");
    let keys: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(keys, ["code", "column", "end_column", "end_line", "file", "help", "line", "message", "severity"]);
    assert_eq!(first["severity"], "error");
    assert_eq!((&first["line"], &first["column"], &first["end_column"]), (&9.into(), &41.into(), &60.into()));
}

#[test]
fn what_is_no_text_or_too_large_is_told_without_a_tree() {
    let told = |bytes: &[u8]| {
        let checked = check(bytes, &Options::default());
        checked.diagnostics.iter().map(|d| format!("{} {}:{}", d.code, d.line, d.column)).collect::<Vec<_>>()
    };
    assert_eq!(told(b"format: 1\nname: \xff\n"), ["BW102 2:7"]);
    assert_eq!(told("x".repeat((1 << 20) + 1).as_bytes()), [format!("BW114 1:{}", (1 << 20) + 1)]);
    assert_eq!(told(b"- 1\n"), ["BW106 1:1"]);
}
