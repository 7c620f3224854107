//! What `check` is told: places, references, guards, templates; and the corpus of the guide.

use super::*;

fn places(source: &str) -> Vec<(FindingKind, &str)> {
    analyse(source)
        .findings
        .iter()
        .map(|finding| (finding.kind, &source[finding.offset..finding.offset + finding.length]))
        .collect()
}

#[track_caller]
fn finds(source: &str, kind: FindingKind, at: usize, piece: &str) {
    let findings = analyse(source).findings;
    let found: Vec<_> =
        findings.iter().map(|f| (f.kind, f.offset, &source[f.offset..f.offset + f.length])).collect();
    assert_eq!(found, [(kind, at, piece)], "{source}: {findings:?}");
    assert!(Expression::compile(source, 1, 1).is_err(), "{source}");
}

#[test]
fn findings_have_exact_places() {
    use FindingKind::*;
    finds("input.text + * 2", Syntax, 13, "*");
    finds("input.text +", Syntax, 12, "");
    finds("", Syntax, 0, "");
    finds("  ", Syntax, 0, "");
    finds("(1", Syntax, 2, "");
    finds("1 2", Syntax, 2, "2");
    finds("a b", Syntax, 2, "b");
    finds("a.", Syntax, 2, "");
    finds("a ? b : c", Syntax, 2, "?");
    finds("'abc", Syntax, 4, "");
    finds("input.list|size", UnknownFilter, 11, "size");
    finds("a|map('nope')", UnknownFilter, 6, "'nope'");
    finds("a is nope", UnknownTest, 5, "nope");
    finds("a|select('nope')", UnknownTest, 9, "'nope'");
    finds("size(output.list) == 0", UnknownFunction, 0, "size");
    finds("input.text.upper()", MethodCall, 11, "upper");
    finds("a['b'].get('c')", MethodCall, 7, "get");
    finds("a ~ b", Operator, 2, "~");
    finds("2 ** 3", Operator, 2, "**");
    finds("a && b", Operator, 2, "&&");
    finds("a || b", Operator, 2, "||");
    finds("!a", Operator, 0, "!");
    finds("(1, 2)", Operator, 0, "(");
    finds("range(*a)", Operator, 6, "*");
    finds("a|sort(**b)", Operator, 7, "**");
    finds("'a' * 3", Operator, 4, "*");
    finds("3 * ('a')", Operator, 2, "*");
    finds("[1] * n", Operator, 4, "*");
    finds("{1: 2}", Operator, 1, "1");
    finds("a|round(1, 'ceil', 2)", Arguments, 2, "round");
    finds("a|sort(true)", Arguments, 2, "sort");
    finds("a|sort(up=true)", Arguments, 2, "sort");
    finds("a|replace('b')", Arguments, 2, "replace");
    finds("a is defined(1)", Arguments, 5, "defined");
    finds("a is gt", Arguments, 5, "gt");
    finds("range()", Arguments, 0, "range");
    finds("a|map", Arguments, 2, "map");
    finds("a|select('gt')", Arguments, 9, "'gt'");
    finds("${{ input.a }}", BracesInExpression, 0, "${{");
    finds("{{ input.a }}", BracesInExpression, 0, "{{");
    finds("{% if a %}1{% endif %}", Statement, 0, "{%");
    finds("a|map(b)", NotLiteral, 6, "b");
    finds("a|selectattr('b', c.d)", NotLiteral, 18, "c.d");
    finds("render(a.b)", RenderName, 7, "a.b");
    assert_eq!(places("'&& || ! {% ${{' ~ 1"), [(Operator, "~")]);
    assert_eq!(places("a|x + b.y() ~ c is z").len(), 4);
}

#[test]
fn length_and_depth_are_bounded() {
    let long = format!("1{}", " + 1".repeat(2000));
    let many = format!("1{}", "+1".repeat(300));
    let brackets = format!("{}1{}", "(".repeat(33), ")".repeat(33));
    let minus = format!("{}1", "-".repeat(4000));
    let not = format!("{}1", "not ".repeat(1000));
    let steps = format!("a{}", ".a".repeat(2000));
    let choices = format!("{}1", "1 if 1 else ".repeat(300));
    for source in [long, many, brackets, minus, not, steps, choices] {
        let findings = analyse(&source).findings;
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].kind, FindingKind::TooLong, "{source}");
        assert!(Expression::compile(&source, 1, 1).is_err());
    }
    let allowed = format!("{}1{}", "(".repeat(32), ")".repeat(32));
    assert_eq!(analyse(&allowed).findings, []);
    assert_eq!(evaluate(&allowed).unwrap(), json!(1));
    for (source, result) in [
        (format!("1{}", " + 1".repeat(256)), json!(257)),
        (format!("{}1{}", "[".repeat(32), "][0]".repeat(32)), json!(1)),
        (format!("{}1", "0 if 0 else ".repeat(60)), json!(1)),
        (format!("-1{}", "|abs".repeat(250)), json!(1)),
        (format!("{}1{}", "(0 if 0 else ".repeat(32), ")".repeat(32)), json!(1)),
        (format!("{}true", "not ".repeat(32)), json!(true)),
        (format!("1 < 2{}", " < 3 > 2".repeat(60)), json!(true)),
    ] {
        assert_eq!(evaluate(&source).unwrap(), result, "{source}");
    }
    let elifs = format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(50_000));
    assert_eq!(analyse_template(&elifs).0[0].kind, FindingKind::TooLong);
    let ifs = format!("{}{}", "{% if a %}".repeat(50_000), "{% endif %}".repeat(50_000));
    assert_eq!(analyse_template(&ifs).0[0].kind, FindingKind::TooLong);
    let fors =
        |count: usize| format!("{}{}", "{% for a in [1] %}".repeat(count), "{% endfor %}".repeat(count));
    assert_eq!(analyse_template(&fors(50_000)).0[0].kind, FindingKind::TooLong);
    assert!(TextTemplate::compile(&fors(100)).is_ok());
    let ifs = format!("{}x{}", "{% if 1 %}".repeat(100), "{% endif %}".repeat(100));
    assert!(TextTemplate::compile(&ifs).is_ok());
    let list = format!("[{}]", "1, ".repeat(1000));
    assert_eq!(analyse(&list).findings, []);
}

#[test]
fn references_have_paths_and_guards() {
    let source =
        "nodes.a.output.text if nodes.a is defined and nodes.a.output is defined else docs[:3]|length";
    let analysis = analyse(source);
    let found: Vec<_> = analysis
        .references
        .iter()
        .map(|r| (&source[r.offset..r.offset + r.length], r.path.join("."), r.tested, r.guards.len()))
        .collect();
    assert_eq!(
        found,
        [
            ("nodes.a.output.text", "a.output.text".to_owned(), false, 2),
            ("nodes.a", "a".to_owned(), true, 0),
            ("nodes.a.output", "a.output".to_owned(), true, 1),
            ("docs", String::new(), false, 0),
        ]
    );
    let guard = |source: &str| analyse(source).references.last().unwrap().guards.clone();
    let a = |defined| Guard { root: "nodes".to_owned(), path: vec!["a".to_owned()], defined };
    assert_eq!(guard("1 if nodes.a is defined else nodes.b"), [a(false)]);
    assert_eq!(guard("1 if nodes.a is not defined else nodes.a"), [a(true)]);
    assert_eq!(guard("1 if nodes.a is undefined else nodes.a"), [a(true)]);
    assert_eq!(guard("nodes.a is undefined or nodes.a.x"), [a(true)]);
    assert_eq!(guard("nodes.a is defined and nodes.a.x"), [a(true)]);
    assert_eq!(guard("not (nodes.a is undefined) and nodes.a.x"), [a(true)]);
    assert_eq!(guard("nodes.a is defined or nodes.b.x"), [a(false)]);
    assert_eq!(guard("(nodes.a is defined or 1) and nodes.a.x"), []);
    assert!(analyse("nodes.a.x|default(1)").references[0].tested);
    assert!(analyse("nodes.a.x|d").references[0].tested);
    let analysis = analyse("state['x'].y[n].z + input[k]");
    let found: Vec<_> =
        analysis.references.iter().map(|r| (r.root.as_str(), r.path.join("."), r.length)).collect();
    assert_eq!(
        found,
        [
            ("state", "x.y".to_owned(), 12),
            ("n", String::new(), 1),
            ("input", String::new(), 5),
            ("k", String::new(), 1)
        ]
    );
    let names: Vec<_> =
        Expression::compile("a + b.c|default(d)", 1, 1).unwrap().names().iter().cloned().collect();
    assert_eq!(names, ["a", "b", "d"]);
}

#[test]
fn literals_and_renders() {
    assert_eq!(analyse("[1, {'a': -2.0, 'b': none}]").literal, Some(json!([1, {"a": -2, "b": null}])));
    assert_eq!(analyse("'x'").literal, Some(json!("x")));
    assert_eq!(analyse("1 + 1").literal, None);
    assert_eq!(analyse("[a]").literal, None);
    let renders = analyse("render('t', {'a': 1, 'b': x}) + render('u') + render('v', y)").renders;
    let keys: Vec<_> = renders
        .iter()
        .map(|r| (r.name.clone().unwrap(), r.keys.clone().map(|k| k.len()), r.offset))
        .collect();
    assert_eq!(
        keys,
        [("t".to_owned(), Some(2), 7), ("u".to_owned(), Some(0), 39), ("v".to_owned(), None, 53)]
    );
}

#[test]
fn templates_are_analysed() {
    let (findings, names) = analyse_template(
        "{% for a, b in xs|items if b > low %}{{ loop.index }} {{ a }} {{ c.d }}{% else %}{{ e }}{% endfor %}\
         {% set f = g %}{{ f }}{% with h = 1 %}{{ h }}{% endwith %}{% filter upper %}{{ i }}{% endfilter %}",
    );
    assert_eq!(findings, []);
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["c", "e", "g", "i", "low", "xs"]);
    let kinds = |source: &str| analyse_template(source).0.iter().map(|f| f.kind).collect::<Vec<_>>();
    assert_eq!(kinds("{% include 'x' %}"), [FindingKind::Statement]);
    assert_eq!(kinds("{% macro x() %}{% endmacro %}"), [FindingKind::Statement]);
    assert_eq!(kinds("{% do x() %}"), [FindingKind::Statement]);
    assert_eq!(kinds("{% autoescape true %}{% endautoescape %}"), [FindingKind::Statement]);
    assert_eq!(kinds("{% set a.b = 1 %}"), [FindingKind::Statement]);
    assert_eq!(kinds("{% for a in b recursive %}{% endfor %}"), [FindingKind::Statement]);
    assert_eq!(kinds("{{ a|nope }}"), [FindingKind::UnknownFilter]);
    assert_eq!(kinds("{{ render('x') }}"), [FindingKind::UnknownFunction]);
    assert_eq!(kinds("{{ a"), [FindingKind::Syntax]);
    assert_eq!(kinds("{% if a %}"), [FindingKind::Syntax]);
    assert_eq!(kinds("{{ loop.cycle(1) }}{% for a in b %}{{ loop.cycle(1) }}{% endfor %}").len(), 2);
}

#[test]
fn unknown_names_get_a_proposal() {
    let help = |source: &str| analyse(source).findings[0].help.clone();
    assert!(help("a|lenght").contains("`length`"), "{}", help("a|lenght"));
    assert!(help("a|size").contains("`length`"));
    assert!(help("size(a)").contains("x|length"));
    assert!(help("has(a)").contains("is defined"));
    assert!(help("a is definned").contains("`defined`"));
    assert!(help("a.upper()").contains("value|upper"));
    assert!(help("a|round(1, 2, 3)").contains("round(precision=0, method='common')"));
}

#[test]
fn the_table_is_the_language() {
    let listed = |names: &mut dyn Iterator<Item = &'static str>| names.collect::<Vec<_>>().join(" ");
    assert_eq!(
        listed(&mut filters()),
        "abs all any batch bool capitalize chain count d default dictsort first flatten float groupby indent int items \
         join keys last length lines list lower map max merge min reject rejectattr replace reverse round select \
         selectattr slice sort split string sum title tojson top trim unique upper values zip"
    );
    assert_eq!(
        listed(&mut tests()),
        "!= < <= == > >= boolean defined divisibleby endingwith eq equalto even false float ge greaterthan gt in int \
         integer le lessthan lower lt mapping ne none number odd sequence startingwith string true undefined upper"
    );
    assert_eq!(listed(&mut functions()), "range render");
    assert_eq!(signature_of("sort"), Some("sort(; attribute=none, case_sensitive=false, reverse=false)"));
}
