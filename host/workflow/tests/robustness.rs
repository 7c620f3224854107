//! Whatever a file holds, `check` ends soon and does not panic; what it tells lies inside of the file. Mutations of the
//! corpora from fixed seeds, so that a failure comes again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bandstand_workflow::{CODES, Options, check, graph_dot, graph_mermaid, render};

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/workflows");
    let mut paths: Vec<PathBuf> = ["", "bad", "diagnostics"]
        .iter()
        .flat_map(|part| std::fs::read_dir(root.join(part)).expect("the corpus"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ": ",
    ", ",
    "\n",
    "\n  ",
    "- ",
    "\"",
    "'",
    "&a ",
    "*a",
    "!t ",
    "|\n",
    ">-\n",
    "#",
    "${{ ",
    " }}",
    "end",
    "nodes",
    "state.x",
    "nodes.a.output",
    "next: ",
    "map: ",
    "parallel: ",
    "branches: ",
    "do: ",
    "after: [x]",
    "null",
    "true",
    "-1",
    "1e999",
    "\u{e4}",
    "\u{1f600}",
    "\u{feff}",
    "\t",
    "\r\n",
    "\0",
    "((((((((",
    "$${{",
    "? ",
    "<<: ",
    "%YAML 1.2\n---\n",
    "...\n",
    "0x",
    "90s",
    "a|b|c",
    "path: ../x",
];

fn mutate(text: &[u8], others: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..=dice.roll(6) {
        let at = dice.roll(bytes.len() + 1);
        let end = (at + dice.roll(40)).min(bytes.len());
        match dice.roll(6) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, PIECES[dice.roll(PIECES.len())].bytes())),
            2 => drop(bytes.splice(at..end, PIECES[dice.roll(PIECES.len())].bytes())),
            3 => {
                let copy = bytes[at..end].to_vec();
                let to = dice.roll(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            4 => {
                let other = &others[dice.roll(others.len())];
                let from = dice.roll(other.len());
                let piece = other[from..(from + dice.roll(200)).min(other.len())].to_vec();
                bytes.splice(at..end, piece);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = dice.roll(256) as u8;
                }
            }
        }
    }
    bytes
}

fn survive(bytes: &[u8]) {
    let checked = check(bytes, &Options { file: "fuzz.yaml".to_owned(), ..Options::default() });
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split('\n').count();
    for diagnostic in &checked.diagnostics {
        assert!(CODES.iter().any(|code| code.code == diagnostic.code));
        assert!((1..=lines).contains(&diagnostic.line) && diagnostic.column >= 1, "{diagnostic:?}");
        assert!(
            (diagnostic.end_line, diagnostic.end_column) >= (diagnostic.line, diagnostic.column),
            "{diagnostic:?}"
        );
        assert!(!diagnostic.message.contains("mistake of the host"), "{diagnostic:?}");
        assert!(!render(diagnostic, &text).is_empty());
    }
    let by_position = checked
        .diagnostics
        .windows(2)
        .all(|two| (two[0].line, two[0].column) <= (two[1].line, two[1].column));
    assert!(by_position);
    if let Some(graph) = &checked.graph {
        let stored = serde_json::to_string(graph).expect("a graph is JSON");
        let back: bandstand_engine::Graph =
            serde_json::from_str(&stored).expect("a stored graph can be read");
        assert_eq!(graph_mermaid(graph), graph_mermaid(&back));
        assert!(!graph_dot(graph).is_empty());
    }
}

#[test]
fn mutated_files_never_panic() {
    let corpus = corpus();
    let rounds =
        std::env::var("BANDSTAND_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3_000);
    let mut dice = Dice(0x5eed_0001);
    for round in 0..rounds {
        let bytes = mutate(&corpus[dice.roll(corpus.len())], &corpus, &mut dice);
        let start = Instant::now();
        if std::panic::catch_unwind(|| survive(&bytes)).is_err() {
            panic!("round {round}:\n{}", String::from_utf8_lossy(&bytes));
        }
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "round {round} took long:\n{}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn large_files_end_soon_and_their_bounds_are_told() {
    let head = "format: 1\nname: large\nversion: 1\nplugins: { echo: { builtin: echo } }\nnodes:\n";
    let told = |text: &str| {
        let start = Instant::now();
        let checked = check(text.as_bytes(), &Options::default());
        assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
        checked.diagnostics.iter().map(|d| format!("{} {}:{}", d.code, d.line, d.column)).collect::<Vec<_>>()
    };
    // Limits of section 9: 1,000 nodes and 256 branches a file.
    let chain = |count: usize| {
        let mut text = head.to_owned();
        for index in 0..count {
            let input =
                if index == 0 { "input.a".to_owned() } else { format!("nodes.n{}.output", index - 1) };
            let next = if index + 1 == count { "end".to_owned() } else { format!("n{}", index + 1) };
            text.push_str(&format!(
                "  n{index}: {{ agent: echo, input: {{ a: \"${{{{ {input} }}}}\" }}, next: {next} }}\n"
            ));
        }
        text
    };
    assert_eq!(told(&chain(1_000)), Vec::<String>::new());
    assert_eq!(told(&chain(1_001)), ["BW114 1006:3"]);
    let mut branches = format!("{head}  a:\n    parallel:\n      join: all\n      branches:\n");
    for index in 0..257 {
        branches.push_str(&format!("        b{index}: {{ agent: echo }}\n"));
    }
    branches.push_str("    next: end\n");
    assert_eq!(told(&branches), ["BW114 266:9"]);
    // Deep and wide nonsense.
    told(&format!("{head}  a: {}1{}\n", "{ map: { do: ".repeat(40), " } }".repeat(40)));
    told(&format!("{head}  a: {{ value: [{}] }}\n", "[1, 2], ".repeat(50_000)));
    told(&format!("{head}{}", "  x: { next: x }\n".repeat(20_000)));
}
