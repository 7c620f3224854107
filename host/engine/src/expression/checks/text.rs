//! Mixed strings, template values, template constants, and how they are written down.

use std::sync::Arc;

use super::*;

fn with_templates<T>(sources: &[(&str, &str)], run: impl FnOnce(&Scope) -> T) -> T {
    let names = names();
    let templates = sources
        .iter()
        .map(|(name, source)| {
            let template = TextTemplate::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
            ((*name).to_owned(), template)
        })
        .collect();
    run(&Scope {
        names: &names,
        templates: &templates,
        fuel: FUEL_DEFAULT,
        result_bytes_max: RESULT_BYTES_MAX,
    })
}

fn template(json: Json) -> Result<Json, EvaluateError> {
    let template = Template::from_json(&json).unwrap();
    let written = serde_json::to_string(&template).unwrap();
    let read: Template = serde_json::from_str(&written).unwrap();
    assert_eq!(read, template, "{written}");
    assert_eq!(serde_json::to_string(&read).unwrap(), written);
    with_templates(&[], |scope| template.evaluate(scope))
}

fn rendered(source: &str, values: &str) -> Result<Json, EvaluateError> {
    let expression = Expression::compile(&format!("render('t', {values})"), 3, 4).unwrap();
    with_templates(&[("t", source)], |scope| expression.evaluate(scope))
}

#[test]
fn strings_are_split() {
    let shown = |text: &str| -> Vec<String> {
        split_text(text)
            .unwrap()
            .iter()
            .map(|part| match part {
                RawPart::Text { text, offset } => format!("{offset}:{text}"),
                RawPart::Expression { source, offset, start, end } => {
                    format!("{start}<{offset}:{source}>{end}")
                }
            })
            .collect()
    };
    assert_eq!(shown(""), ["0:"]);
    assert_eq!(shown("a } b"), ["0:a } b"]);
    assert_eq!(shown("${{ a }}"), ["0<4:a>8"]);
    assert_eq!(shown("try ${{ n }} of ${{m}}!"), ["0:try ", "4<8:n>12", "12: of ", "16<19:m>22", "22:!"]);
    assert_eq!(shown("$${{ kept }}"), ["0:${{ kept }}"]);
    assert_eq!(shown("x$${{ ${{ a }}"), ["0:x${{ ", "6<10:a>14"]);
    assert_eq!(shown("${{ '}}' }}"), ["0<4:'}}'>11"]);
    assert_eq!(shown("${{ \"}}\\\"}}\" }}"), ["0<4:\"}}\\\"}}\">15"]);
    assert_eq!(shown("${{ {'a': {}} }}"), ["0<4:{'a': {}}>16"]);
    assert_eq!(shown("${{{'a': {'b': 1}}}}"), ["0<3:{'a': {'b': 1}}>20"]);
    assert_eq!(shown("$x ${ {{ a }}"), ["0:$x ${ {{ a }}"]);
    assert_eq!(shown("\u{e9} ${{ a }}"), ["0:\u{e9} ", "3<7:a>11"]);
    assert_eq!(split_text("a ${{ b }"), Err(Unclosed { offset: 2 }));
    assert_eq!(split_text("${{ (b }}"), Err(Unclosed { offset: 0 }));
    assert_eq!(split_text("${{ 'b }}"), Err(Unclosed { offset: 0 }));
}

#[test]
fn template_values_keep_types_or_make_text() {
    assert_eq!(
        template(json!({"n": "${{ n }}", "text": "try ${{ n }} of 3", "raw": "$${{ kept }}"})).unwrap(),
        json!({"n": 3, "text": "try 3 of 3", "raw": "${{ kept }}"})
    );
    assert_eq!(template(json!(" ${{ n }}")).unwrap(), json!(" 3"));
    assert_eq!(
        template(json!("${{ whole }} ${{ half }} ${{ yes }} ${{ list }} ${{ object }} ${{ text }}<"))
            .unwrap(),
        json!("4 0.5 true [3,1,2] {\"a\":{\"c\":[10,20]},\"b\":1} h\u{e9}llo<")
    );
    assert_eq!(
        template(json!(["${{ nothing }}", 4.0, 1e22, {"a": []}])).unwrap().to_string(),
        "[null,4,1e+22,{\"a\":[]}]"
    );
    assert_eq!(template(json!("x${{ [1e22, 1e-7] }}")).unwrap(), json!("x[1e22,1e-7]"));
    assert_eq!(template(json!("x${{ nothing }}")).unwrap_err().code, ErrorCode::NullInText);
    assert_eq!(template(json!("x${{ nothing|default('', true) }}")).unwrap(), json!("x"));
    assert_eq!(template(json!("x${{ input.x }}")).unwrap_err().code, ErrorCode::Undefined);
    assert_eq!(template(json!("x${{ [input.x] }}")).unwrap_err().code, ErrorCode::Undefined);
}

#[test]
fn literals_collapse_and_expressions_are_listed() {
    let literal = Template::from_json(&json!({"a": [1, {"b": "c"}]})).unwrap();
    assert_eq!(serde_json::to_string(&literal).unwrap(), r#"{"lit":{"a":[1,{"b":"c"}]}}"#);
    let mixed = Template::from_json(&json!({"a": [1, "${{ n }}"], "b": "x ${{ list }}"})).unwrap();
    assert_eq!(
        serde_json::to_string(&mixed).unwrap(),
        r#"{"object":{"a":{"list":[{"lit":1},{"expr":{"expr":"n","at":[0,0]}}]},"b":{"text":["x ",{"expr":"list","at":[0,0]}]}}}"#
    );
    assert_eq!(mixed.expressions().map(Expression::source).collect::<Vec<_>>(), ["n", "list"]);
    assert!(serde_json::from_str::<Expression>(r#"{"expr":"1 +","at":[1,2]}"#).is_err());
    assert!(matches!(Template::from_json(&json!("${{ a")), Err(TemplateError::Unclosed(_))));
    assert!(matches!(Template::from_json(&json!("${{ a| }}")), Err(TemplateError::Syntax(_))));
}

#[test]
fn texts_for_people() {
    let text =
        |json: Json| with_templates(&[], |scope| Template::from_json(&json).unwrap().evaluate_text(scope));
    assert_eq!(text(json!("plain")).unwrap(), "plain");
    assert_eq!(text(json!("n ${{ n }}")).unwrap(), "n 3");
    assert_eq!(text(json!("${{ object.a }}")).unwrap(), r#"{"c":[10,20]}"#);
    assert_eq!(text(json!({"a": "${{ n }}"})).unwrap(), r#"{"a":3}"#);
    assert_eq!(text(json!("${{ nothing }}")).unwrap_err().code, ErrorCode::NullInText);
    assert_eq!(text(json!(null)).unwrap_err().code, ErrorCode::NullInText);
}

#[test]
fn the_bound_holds_for_the_whole_template_value() {
    let names = BTreeMap::from([("big".to_owned(), Visible::from(json!("x".repeat(600_000))))]);
    let templates = BTreeMap::new();
    let scope = Scope {
        names: &names,
        templates: &templates,
        fuel: FUEL_DEFAULT,
        result_bytes_max: RESULT_BYTES_MAX,
    };
    let evaluate = |json: Json| Template::from_json(&json).unwrap().evaluate(&scope);
    assert!(evaluate(json!({"a": "${{ big }}"})).is_ok());
    for json in [
        json!({"a": "${{ big }}", "b": "${{ big }}"}),
        json!(["${{ big }}", "${{ big }}"]),
        json!("${{ big }}${{ big }}"),
        json!("${{ [big, big] }}"),
    ] {
        assert_eq!(evaluate(json).unwrap_err().code, ErrorCode::ResultTooLarge);
    }
}

#[test]
fn templates_render() {
    for (source, values, expected) in [
        ("Hello {{ name }}!", "{'name': text}", "Hello h\u{e9}llo!"),
        ("a\n{% if x %}\nb\n{% endif %}\nc\n", "{'x': true}", "a\nb\nc"),
        ("{% for i in xs %}\n- {{ i }}\n{% else %}\nnone\n{% endfor %}\n", "{'xs': list}", "- 3\n- 1\n- 2\n"),
        ("{% for i in xs %}\n- {{ i }}\n{% else %}\nnone\n{% endfor %}\n", "{'xs': []}", "none\n"),
        (
            "{% for i in xs if i > 1 %}{{ loop.index }}{{ i }}{% if not loop.last %},{% endif %}{% endfor %}",
            "{'xs': list}",
            "13,22",
        ),
        ("{% for k, v in o|items %}{{ k }}={{ v }};{% endfor %}", "{'o': object}", "a={\"c\":[10,20]};b=1;"),
        ("{% for k in o %}{{ k }}{% endfor %}", "{'o': object}", "ab"),
        ("{% set a = 1 + 1 %}{% set b %}<{{ a }}>{% endset %}{{ b }}{{ b|length }}", "{}", "<2>3"),
        ("{% set b | upper %}x{% endset %}{{ b }}", "{}", "X"),
        ("{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}", "{'n': 5}", "15"),
        ("{% filter upper %}a{{ n }}{% endfilter %}", "{'n': 5}", "A5"),
        ("{% raw %}{{ a }}{% endraw %}{# gone #}", "{}", "{{ a }}"),
        ("{{ '<&>' }}{{ [1, none] }}{{ 4 / 2 }}{{ true }}", "{}", "<&>[1,null]2true"),
        ("{{ a if a is defined else 'no' }}{{ b|default('d') }}", "{}", "nod"),
        ("{% if a %}1{% elif b %}2{% else %}3{% endif %}", "{'a': 0, 'b': 1}", "2"),
        ("{% for x in xs %}{% for y in x %}{{ y }}{% endfor %}|{% endfor %}", "{'xs': nested}", "1|23||"),
        ("{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 3 not in [1] }}", "{}", "truefalsetrue"),
        ("plain", "{}", "plain"),
        ("", "{}", ""),
    ] {
        assert_eq!(
            rendered(source, values).unwrap_or_else(|e| panic!("{source}: {e}")),
            json!(expected),
            "{source}"
        );
    }
    let render = Expression::compile("render('t')", 1, 1).unwrap();
    assert_eq!(with_templates(&[("t", "x")], |scope| render.evaluate(scope)).unwrap(), json!("x"));
}

#[test]
fn templates_fail_with_codes() {
    for (source, values, code) in [
        ("{{ a }}", "{}", "undefined"),
        ("{{ a }}", "{'a': none}", "null-in-text"),
        ("{{ a }}", "1", "type"),
        ("{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}", "{}", "fuel"),
        ("{% for i in range(10000) %}{{ t }}{% endfor %}", "{'t': range(200)|join}", "result-too-large"),
        (
            "{% for i in range(10000) %}{% set x %}{{ t }}{% endset %}{% endfor %}",
            "{'t': range(1000)|join}",
            "result-too-large",
        ),
        ("{% for i in range(10000) %}{% set x = t|upper %}{% endfor %}", "{'t': range(1000)|join}", "work"),
        ("{% for i in 5 %}{% endfor %}", "{}", "type"),
        ("{% for a, b in [[1]] %}{% endfor %}", "{}", "type"),
        ("{{ 1 / 0 }}", "{}", "number"),
        ("{{ n }}", "{'m': 1}", "undefined"),
    ] {
        let error = rendered(source, values).expect_err(source);
        assert_eq!(error.code.as_str(), code, "{error}");
        assert_eq!((error.line, error.column), (3, 4));
        assert!(error.message.contains("in template `t`") || values == "1", "{error}");
    }
    let error = rendered("a\nb\n{{ 1 + 'a' }}", "{}").unwrap_err();
    assert!(error.message.contains("line 3") && error.message.contains("text"), "{error}");
    let render = Expression::compile("render('nope')", 1, 1).unwrap();
    assert_eq!(with_templates(&[], |scope| render.evaluate(scope)).unwrap_err().code, ErrorCode::Other);
}

#[test]
fn a_template_sees_nothing_else() {
    for source in ["{{ input }}", "{{ state }}", "{{ n }}"] {
        assert_eq!(rendered(source, "{'x': 1}").unwrap_err().code, ErrorCode::Undefined);
    }
    let template = TextTemplate::compile("{{ a }}").unwrap();
    assert_eq!(serde_json::to_string(&template).unwrap(), "\"{{ a }}\"");
    assert_eq!(serde_json::from_str::<TextTemplate>("\"{{ a }}\"").unwrap(), template);
    assert!(serde_json::from_str::<TextTemplate>("\"{{ a\"").is_err());
    assert_eq!(template.names().iter().cloned().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn values_are_seen_through_every_kind_of_visible() {
    struct Counted;
    impl Fields for Counted {
        fn get(&self, name: &str) -> Option<Visible> {
            (name != "none").then(|| Visible::from(json!({"output": name})))
        }
        fn names(&self) -> Vec<String> {
            vec!["b".to_owned(), "a".to_owned()]
        }
    }
    let names = BTreeMap::from([
        ("lazy".to_owned(), Visible::Lazy(Arc::new(Counted))),
        (
            "members".to_owned(),
            Visible::Members(BTreeMap::from([(
                "x".to_owned(),
                Visible::List(vec![json!(1).into(), json!([2]).into()]),
            )])),
        ),
    ]);
    for (source, expected) in [
        ("lazy.q.output", json!("q")),
        ("lazy.none is defined", json!(false)),
        ("lazy", json!({"a": {"output": "a"}, "b": {"output": "b"}})),
        ("lazy|length", json!(2)),
        ("members", json!({"x": [1, [2]]})),
        ("members.x[1][0]", json!(2)),
        ("members.x[-1]", json!([2])),
        ("members == {'x': [1, [2]]}", json!(true)),
        ("members.x + lazy|keys", json!([1, [2], "a", "b"])),
    ] {
        assert_eq!(evaluate_in(source, &names).unwrap_or_else(|e| panic!("{e}")), expected, "{source}");
    }
}
