//! The text of every diagnostic, as a newcomer meets it: `tests/workflows/diagnostics/CODE-name.yaml` with what `check`
//! says about it beside it. Set `BANDSTAND_BLESS=1` to write the texts anew, and read the difference before committing it.
//!
//! A file with a line `# resolve` is checked with files and plugins; what those are is the table below. One with `# functions` is
//! checked by a build that calls functions of any component.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bandstand_engine::graph::{MemoryAccess, PluginSource};
use bandstand_signature::{Function, Integer, Kind, Param, Type};
use bandstand_workflow::{
    CODES, Checked, Feature, FileProblem, Need, Options, Permitted, PluginFacts, PluginProblem, Resolver,
    check, render,
};
use serde_json::{Value, json};

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
        let bytes =
            std::fs::read(self.look(path)?).map_err(|_| FileProblem::NotFound { tried: tried.clone() })?;
        if bytes.len() > size_bytes_max {
            return Err(FileProblem::TooLarge { tried, size_bytes_max });
        }
        Ok(bytes)
    }

    fn plugin(&self, source: &PluginSource, function: Option<&str>) -> Result<PluginFacts, PluginProblem> {
        let digest = format!("sha256:{}", "12".repeat(32));
        match source {
            PluginSource::Builtin(_) => Ok(PluginFacts { digest, needs: Vec::new(), input: None, function: None }),
            PluginSource::Path(path) if path.ends_with("people.wasm") => match function {
                None => Err(PluginProblem::NotAnAgent { what: "not an agent: it exports functions".to_owned() }),
                Some("test:people/registry#open") => Err(PluginProblem::NoFunction {
                    what: "the function `test:people/registry@1.0.0#open: func() -> own<desk>` cannot be called: the \
                           result holds `own<desk>`, which is no plain data"
                        .to_owned(),
                    functions: vec![greet().full_name()],
                }),
                Some("test:people/registry#greet") => {
                    Ok(PluginFacts { digest, needs: Vec::new(), input: None, function: Some(greet()) })
                }
                Some(name) => Err(PluginProblem::NoFunction {
                    what: format!("the component exports no function `{name}`"),
                    functions: vec![greet().full_name()],
                }),
            },
            PluginSource::Path(path) if path.ends_with("counts.wasm") => {
                let input = Some(Arc::new(counts_input()));
                Ok(PluginFacts { digest, needs: Vec::new(), input, function: None })
            }
            PluginSource::Path(path) if path.ends_with("memory.wasm") => {
                let import = "bandstand:agent/memory-facts@0.1.0".to_owned();
                Ok(PluginFacts {
                    digest,
                    needs: vec![Need { import, grant: "memory".to_owned(), writes: true }],
                    input: None,
                    function: None,
                })
            }
            PluginSource::Path(path) => {
                self.read(path, usize::MAX)?;
                Err(PluginProblem::NotAnAgent {
                    what: format!("`{path}` is not a WebAssembly component: it is text"),
                })
            }
        }
    }

    fn builtins(&self) -> Vec<String> {
        vec!["echo".to_owned()]
    }

    fn permitted(&self, _: &PluginSource, _: &str) -> Option<Permitted> {
        let place = "in bandstand.toml, [grants]: \"files/memory.wasm\"".to_owned();
        Some(Permitted { memory: Some(MemoryAccess::Read), place, ..Permitted::default() })
    }
}

/// What `counts.wasm` says that it takes.
fn counts_input() -> Value {
    json!({
        "type": "object",
        "required": ["text", "how"],
        "additionalProperties": false,
        "properties": {
            "text": { "type": "string", "minLength": 1 },
            "how": { "$ref": "#/$defs/how" },
            "limits": {
                "type": "object",
                "required": ["words"],
                "properties": { "words": { "type": "integer", "maximum": 100 }, "tags": { "items": { "type": "string" } } },
            },
        },
        "$defs": { "how": { "enum": ["fast", "exact"] } },
    })
}

/// `greet: func(who: person, times: u8, title: option<string>) -> string`.
fn greet() -> Function {
    let text = || Type::from(Kind::String);
    let param = |name: &str, ty| Param { name: name.to_owned(), ty };
    let person = Kind::Record(vec![
        ("full-name".to_owned(), text()),
        ("tags".to_owned(), Kind::List(Box::new(text())).into()),
    ]);
    let person = Type { name: Some("person".into()), kind: person };
    let times = Kind::Integer(Integer::U8).into();
    let title = Kind::Option(Box::new(text())).into();
    let params = vec![param("who", person), param("times", times), param("title", title)];
    let interface = Some("test:people/registry@1.0.0".to_owned());
    Function { interface, ..Function::new("greet", params, Some(text())) }
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
    if text.contains("# functions\n") {
        options.features.insert(Feature::Function);
    }
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
        let told = checked
            .diagnostics
            .iter()
            .map(|d| render(d, checked.texts.get(&d.file).unwrap_or(&text)))
            .collect::<Vec<_>>()
            .join("\n");
        let beside = path.with_extension("txt");
        if bless {
            std::fs::write(&beside, &told).expect("the text can be written");
        } else if std::fs::read_to_string(&beside).unwrap_or_default() != told {
            differing.push(format!("{}:\n{told}", path.display()));
        }
        let code = stem(&path).split('-').next().map(str::to_owned).expect("a code");
        assert!(
            checked.diagnostics.iter().any(|d| d.code == code),
            "{}: no {code} in\n{told}",
            path.display()
        );
        assert!(checked.graph.is_none() || !checked.has_errors());
    }
    assert!(differing.is_empty(), "these texts differ:\n{}", differing.join("\n"));
    let named: BTreeSet<String> =
        cases().iter().filter_map(|path| Some(stem(path).split('-').next()?.to_owned())).collect();
    let missing: Vec<&str> =
        CODES.iter().map(|code| code.code).filter(|code| !named.contains(*code)).collect();
    assert!(missing.is_empty(), "codes without a case: {missing:?}");
}

#[test]
fn what_files_hold_becomes_part_of_the_graph() {
    let text = "format: 1\nname: case\nversion: 1\nplugins:\n  memory: { path: files/memory.wasm, grants: { memory: read } }\nconstants:\n  prompt: { template: files/prompt.md }\n  text: { path: files/prompt.md }\nnodes:\n  a:\n    review: { title: \"${{ constants.text }}\", form: { path: files/form.json } }\n    approved: b\n    rejected: end\n  b: { agent: memory, input: { p: \"${{ render('prompt', {'topic': 1, 'reader': 2}) }}\" }, next: end }\n";
    let desk = Desk(directory());
    let options = Options { file: "case.yaml".to_owned(), resolver: Some(&desk), ..Options::default() };
    let found = check(text.as_bytes(), &options);
    assert_eq!(found.diagnostics, []);
    let graph = found.graph.expect("a graph");
    assert!(graph.templates["prompt"].names().contains("reader"));
    assert!(graph.constants["text"].as_str().is_some_and(|text| text.starts_with("Write about")));
    let bandstand_engine::graph::Kind::Review(review) = &graph.root.nodes["a"].kind else {
        panic!("a review")
    };
    assert!(review.form.as_ref().is_some_and(|form| form.check(&serde_json::json!({})).is_err()));
    assert_eq!(found.needs.files, ["files/form.json", "files/prompt.md"].map(str::to_owned).into());
    assert!(found.needs.plugins["memory"].digest.starts_with("sha256:12"));
    // Without a resolver nothing is read, so there is no graph, and nothing is wrong either.
    let unresolved = check(text.as_bytes(), &Options::default());
    assert!(unresolved.diagnostics.is_empty() && unresolved.graph.is_none());
}

/// Section 3: when a node's output is surely there.
#[test]
fn reads_of_nodes_are_safe_where_the_language_says_so() {
    let check_input = |nodes: &str, expression: &str| {
        let text = format!(
            "format: 1\nname: case\nversion: 1\nplugins: {{ echo: {{ builtin: echo }} }}\nnodes:\n{nodes}  z: {{ agent: echo, input: {{ a: \"${{{{ {expression} }}}}\" }}, next: end }}\n"
        );
        let found = check(text.as_bytes(), &Options::default());
        let codes: Vec<&str> = found.diagnostics.iter().map(|d| d.code).collect();
        assert!(codes.iter().all(|code| *code == "BW312"), "{:?}", found.diagnostics);
        codes.len()
    };
    let fork = "  a: { agent: echo, next: [{ when: output.x, to: b }, { to: c }] }\n  b: { agent: echo, next: z }\n  c: { agent: echo, next: z }\n";
    for safe in [
        "nodes.a.output.x",
        "nodes.b.output if nodes.b is defined else 0",
        "nodes.b.output if nodes.b is defined else nodes.c.output",
        "nodes.c.output if nodes.b is not defined else 0",
        "nodes.c.output if not nodes.b is defined else nodes.b.output",
        "nodes.b is defined and nodes.b.output.x == 1",
        "nodes.b is undefined or nodes.b.output.x",
        "nodes.b is defined",
        "nodes.b|default(none)",
        "(nodes.b.output if nodes.b is defined else nodes.c.output).x",
    ] {
        assert_eq!(check_input(fork, safe), 0, "{safe}");
    }
    for (unsafe_, count) in [
        ("nodes.b.output", 1),
        ("nodes.b.output is defined", 1),
        ("nodes.b.output if nodes.c is defined else 0", 1),
        ("nodes.b.output.x or nodes.b is defined", 1),
        ("nodes.c.output if nodes.b is defined else 0", 1),
        ("nodes.b.output|default(0)", 1),
        ("nodes.b.output + nodes.c.output", 2),
        ("nodes.z.visits", 1),
    ] {
        assert_eq!(check_input(fork, unsafe_), count, "{unsafe_}");
    }
    // A failure that is caught by an edge leaves no output behind; one that is caught by a value does.
    let edge = "  a: { agent: echo, next: z, on-failure: z }\n";
    assert_eq!(check_input(edge, "nodes.a.visits"), 0);
    assert_eq!(check_input(edge, "nodes.a.output"), 1);
    assert_eq!(check_input(edge, "nodes.a.output if nodes.a.output is defined else 0"), 0);
    assert_eq!(
        check_input("  a: { agent: echo, next: z, on-failure: { value: {} } }\n", "nodes.a.output"),
        0
    );
    // Every way to z leads through b in the end, also round a loop.
    let round = "  a: { agent: echo, next: b }\n  b: { agent: echo, next: [{ when: visit < 3, to: a }, { to: z }] }\n";
    assert_eq!(check_input(round, "nodes.a.output"), 0);
    assert_eq!(check_input(round, "nodes.b.output"), 0);
}

#[test]
fn the_fields_of_a_diagnostic_are_those_of_the_language() {
    let (_, checked) = checked(&directory().join("BW312-skipped.yaml"));
    let json = serde_json::to_value(&checked.diagnostics).expect("diagnostics are JSON");
    let first = json[0].as_object().expect("an object");
    let keys: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["code", "column", "end_column", "end_line", "file", "help", "line", "message", "severity"]
    );
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
