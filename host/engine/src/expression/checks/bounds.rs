//! Fuel, work, size of results, and random input: nothing panics, nothing runs away.

use super::*;

fn limited(source: &str, fuel: u64, result_bytes_max: usize) -> Result<Json, EvaluateError> {
    let (names, templates) = (names(), BTreeMap::new());
    Expression::compile(source, 1, 1).unwrap().evaluate(&Scope {
        names: &names,
        templates: &templates,
        fuel,
        result_bytes_max,
    })
}

#[test]
fn fuel_counts_instructions() {
    assert_eq!(limited("n + 1", 100, 100).unwrap(), json!(4));
    let error = limited("n + 1 + 1 + 1 + 1", 5, 100).unwrap_err();
    assert_eq!(error.code, ErrorCode::Fuel);
    assert!(error.message.contains('5') && error.message.contains("expression-fuel"), "{error}");
}

#[test]
fn results_are_bounded_as_json() {
    assert!(limited("'abc'", FUEL_DEFAULT, 5).is_ok());
    assert_eq!(limited("'abc'", FUEL_DEFAULT, 4).unwrap_err().code, ErrorCode::ResultTooLarge);
    assert!(limited("'a\"\\n'", FUEL_DEFAULT, 7).is_ok());
    assert_eq!(limited("'a\"\\n'", FUEL_DEFAULT, 6).unwrap_err().code, ErrorCode::ResultTooLarge);
    for source in [
        "object",
        "docs",
        "[1.5, -20, 'h\\u0001', none, true, false, {}]",
        "{'a': list, 'b': ''}",
        "n",
        "whole",
    ] {
        let json = limited(source, FUEL_DEFAULT, 10_000).unwrap();
        let bytes = json.to_string().len();
        assert!(limited(source, FUEL_DEFAULT, bytes).is_ok(), "{source} {bytes}");
        assert_eq!(
            limited(source, FUEL_DEFAULT, bytes - 1).unwrap_err().code,
            ErrorCode::ResultTooLarge,
            "{source}"
        );
    }
    let mut deep = json!(1);
    for _ in 0..120 {
        deep = json!([deep]);
    }
    let names = BTreeMap::from([("deep".to_owned(), Visible::from(deep))]);
    assert_eq!(evaluate_in("deep", &names).unwrap_err().code, ErrorCode::ResultTooLarge);
    assert_eq!(evaluate_in("deep[0]|length", &names).unwrap(), json!(1));
}

#[test]
fn work_is_bounded_and_quick() {
    let names = BTreeMap::from([
        ("text".to_owned(), Visible::from(json!("x".repeat(500_000)))),
        ("list".to_owned(), Visible::from(json!(vec![1; 100_000]))),
        ("texts".to_owned(), Visible::from(json!(vec!["x".repeat(100); 5_000]))),
    ]);
    let doubled = format!("({})|length", vec!["list"; 20].join(" + "));
    let texts = format!("({})|length", vec!["text"; 20].join(" + "));
    let slices = format!("[{}]|length", vec!["text[:]|length"; 20].join(", "));
    for source in [
        doubled.as_str(),
        &texts,
        &slices,
        "text|replace('x', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy')|length",
        "text|replace('', 'yyyy')|length",
        "texts|join(text)|length",
        "texts|map('indent', 10000, true)|length",
        "range(10000)|map('string')|map('indent', 1000, true)|join|length",
        "texts|zip(texts, list)|map('join', text)|length",
        "range(10000)|slice(10000)|slice(10000)|map('string')|map('batch', 1, 0)|map('join', text)|length",
        "[list, list, list, list, list, list, list, list, list, list, list, list]|flatten|length",
        "list|chain(list, list, list, list, list, list, list, list, list, list, list)|length",
    ] {
        let error = evaluate_in(source, &names).expect_err(source);
        assert_eq!(error.code, ErrorCode::Work, "{error}");
    }
    assert_eq!(evaluate_in("text|length", &names).unwrap(), json!(500_000));
    assert_eq!(evaluate_in("list|sum", &names).unwrap(), json!(100_000));
}

/// Small, fast and the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const ATOMS: &[&str] = &[
    "n",
    "half",
    "whole",
    "big",
    "text",
    "empty",
    "list",
    "words",
    "yes",
    "nothing",
    "object",
    "docs",
    "mixed",
    "nested",
    "input",
    "input.x",
    "missing",
    "0",
    "-1",
    "1e308",
    "9223372036854775807",
    "18446744073709551615",
    "170141183460469231731687303715884105727",
    "340282366920938463463374607431768211455",
    "0.5",
    "''",
    "'a\\n\u{e9}'",
    "[]",
    "{}",
    "true",
    "none",
    "[[1, 2], [3]]",
    "{'a': 1}",
];

fn random_expression(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return random.pick(ATOMS).to_owned();
    }
    let one = random_expression(random, depth - 1);
    let sub = random.below(depth);
    let two = random_expression(random, sub);
    match random.below(12) {
        0 | 1 => {
            let operators = [
                "+", "-", "*", "/", "//", "%", "==", "!=", "<", "<=", ">", ">=", "in", "and", "or", "not in",
            ];
            format!("({one} {} {two})", random.pick(&operators))
        }
        2 => format!("({one} < {two} >= {})", random.pick(ATOMS)),
        3 => format!("({one} if {two} else {})", random.pick(ATOMS)),
        4 => format!("({one}[{two}])"),
        5 => format!(
            "({one}[{}:{}:{}])",
            random.pick(&["", "1", "-1", "n"]),
            random.pick(&["", "2", "-9"]),
            random.pick(&["", "-1", "2", "big"])
        ),
        6 => format!("(-{one})"),
        7 => format!("[{one}, {two}]"),
        8 => {
            let names: Vec<_> = tests().filter(|name| name.chars().all(char::is_alphabetic)).collect();
            let name = random.pick(&names);
            let with = signature_of(name).is_some_and(|shown| shown.contains("other"));
            if with { format!("({one} is {name}({two}))") } else { format!("({one} is {name})") }
        }
        _ => {
            let names: Vec<_> = filters().collect();
            let name = random.pick(&names);
            let arguments = match random.below(4) {
                0 => String::new(),
                1 => format!("({two})"),
                2 => format!("({two}, {})", random.pick(ATOMS)),
                _ => random
                    .pick(&[
                        "(attribute='a')",
                        "('a')",
                        "('odd')",
                        "('length')",
                        "(case_sensitive=true)",
                        "(-3)",
                        "(2, 'floor')",
                    ])
                    .to_owned(),
            };
            format!("({one}|{name}{arguments})")
        }
    }
}

#[test]
fn random_expressions_never_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (names, templates) = (names(), BTreeMap::new());
    let scope = Scope {
        names: &names,
        templates: &templates,
        fuel: FUEL_DEFAULT,
        result_bytes_max: RESULT_BYTES_MAX,
    };
    let (mut compiled, mut succeeded) = (0, 0);
    for _ in 0..20_000 {
        let depth = 1 + random.below(4);
        let source = random_expression(&mut random, depth);
        let Ok(expression) = Expression::compile(&source, 1, 1) else {
            continue;
        };
        compiled += 1;
        let result = expression.evaluate(&scope);
        assert_eq!(result, expression.evaluate(&scope), "{source}");
        match result {
            Ok(value) => {
                succeeded += 1;
                let text = serde_json::to_string(&value).unwrap();
                assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), value, "{source}");
            }
            Err(error) => assert_ne!(error.code, ErrorCode::Other, "{error}"),
        }
    }
    // Without these the generator would test nothing.
    assert!(compiled > 8_000 && succeeded > 2_000, "{compiled} {succeeded}");
}

#[test]
fn random_text_never_panics() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let pieces = [
        "a",
        "nodes.x",
        " ",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "'",
        "\"",
        "\\",
        "|",
        "~",
        "**",
        "*",
        "+",
        "-",
        "not ",
        "is ",
        "in ",
        "if ",
        "else ",
        "and ",
        "or ",
        "defined",
        ".",
        ",",
        ":",
        "=",
        "==",
        "!",
        "&&",
        "${{",
        "}}",
        "{%",
        "%}",
        "{{",
        "1",
        "1e5",
        "0x",
        "1_",
        "\u{e9}",
        "\u{1f600}",
        "\n",
        "\t",
        "for ",
        "set ",
        "endfor ",
        "map('",
        "render(",
        "{#",
        "#}",
        "range(",
        "default",
        "$",
        "-%}",
        "{%-",
        "raw",
        "loop",
        "none",
        "true",
    ];
    for _ in 0..50_000 {
        let count = random.below(14);
        let source: String = (0..count).map(|_| random.pick(&pieces)).collect();
        let analysis = analyse(&source);
        for finding in &analysis.findings {
            assert!(
                source.get(finding.offset..finding.offset + finding.length).is_some(),
                "{source:?} {finding:?}"
            );
        }
        assert_eq!(analysis.findings.is_empty(), Expression::compile(&source, 0, 0).is_ok(), "{source:?}");
        let (findings, _) = analyse_template(&source);
        for finding in &findings {
            assert!(
                source.get(finding.offset..finding.offset + finding.length).is_some(),
                "{source:?} {finding:?}"
            );
        }
        assert_eq!(findings.is_empty(), TextTemplate::compile(&source).is_ok(), "{source:?}");
        let _ = split_text(&source);
    }
}
