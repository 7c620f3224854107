//! `transform`: JSON of JSON, by a filter of jq. It comes with the host as a builtin and needs no grant.
//!
//! Input: `filter` (a program of jq), `value` (what it is given; default `null`), `vars` (an object: each member is
//! a variable of the filter, `limit` is `$limit`), `all` (default `false`: the filter must have exactly one result).
//!
//! Output: `value`, the result; with `all: true` instead `values`, the list of all results, which may be empty.
//!
//! The language is that of jaq 3. Left out is what the sandbox does not give: the time (`now`), an environment (`env`, `$ENV`,
//! time zones), further inputs (`input`), modules, `halt`. `debug` and `stderr` write to the log of the attempt. As in jq, `nan` becomes
//! `null` and `infinite` the largest number.
//!
//! Confidence: none. Failures, all permanent: `input-invalid`; `filter-invalid` (with `line`, `column`, `found` as
//! data); `filter-failed` (`error(X)` gives `value: X` as data); `no-result`; `several-results`; `result-not-json`;
//! `result-too-deep`. A filter without end comes to the limits of processor time or memory, one that recurses too deep to
//! a trap; both end the attempt only.

mod filter;
mod value;

use std::collections::BTreeMap;

use bandstand_sdk::{Call, Failure, Reply, agent};
use serde::Deserialize;
use serde_json::{Value, json};

agent!(run);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    filter: String,
    #[serde(default)]
    value: Value,
    #[serde(default)]
    vars: BTreeMap<String, Value>,
    #[serde(default)]
    all: bool,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let Input { filter, value, vars, all } = call.input()?;
    if all {
        let values = filter::results(&filter, value, vars, usize::MAX)?;
        return Ok(Reply::new(json!({ "values": values })));
    }
    // One more than is wanted tells that there are several, and an endless filter still ends.
    let mut values = filter::results(&filter, value, vars, 2)?.into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(Reply::new(json!({ "value": value }))),
        (None, _) => Err(Failure::permanent(
            "no-result",
            "the filter has no result; with `all: true` that is an empty list, and `first(F) // null` always has one",
        )),
        (Some(_), Some(_)) => Err(Failure::permanent(
            "several-results",
            "the filter has more than one result; with `all: true` the output is the list of them, `[F]` is one list, and \
             `first(F)` is the first",
        )),
    }
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::{FailureKind, fake};

    use super::*;

    fn transform(input: Value) -> Result<Value, Failure> {
        fake::reset();
        run(&Call::with_input(input)).map(|reply| reply.output())
    }

    fn one(filter: &str, value: Value) -> Value {
        match transform(json!({ "filter": filter, "value": value })) {
            Ok(output) => output["value"].clone(),
            Err(failure) => json!(failure.to_string()),
        }
    }

    fn fails(input: Value) -> Failure {
        let failure = transform(input.clone()).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Permanent, "{input}");
        failure
    }

    #[test]
    fn a_filter_gives_one_value_or_all() {
        let orders = json!([{ "id": 1, "sum": 5 }, { "id": 2, "sum": 70 }, { "id": 3, "sum": 80.5 }]);
        let filter = "map(select(.sum > $least)) | { ids: map(.id), sum: (map(.sum) | add) }";
        let input = json!({ "filter": filter, "value": orders, "vars": { "least": 10 } });
        assert_eq!(transform(input).unwrap(), json!({ "value": { "ids": [2, 3], "sum": 150.5 } }));
        let all = json!({ "filter": ".[] | .id", "value": orders, "all": true });
        assert_eq!(transform(all).unwrap(), json!({ "values": [1, 2, 3] }));
        assert_eq!(transform(json!({ "filter": "empty", "all": true })).unwrap(), json!({ "values": [] }));
        assert_eq!(transform(json!({ "filter": "." })).unwrap(), json!({ "value": null }));
    }

    // What users of jq write must mean the same here.
    #[test]
    fn the_usual_filters_are_there() {
        for (filter, value, expected) in [
            ("4 / 2", json!(null), json!(2)),
            (".a.b[0] // \"none\"", json!({ "a": {} }), json!("none")),
            (
                "to_entries | map(\"\\(.key)=\\(.value)\") | join(\"&\")",
                json!({ "a": 1, "b": "x" }),
                json!("a=1&b=x"),
            ),
            (
                "group_by(.k) | map({ (.[0].k): length }) | add",
                json!([{ "k": "x" }, { "k": "x" }]),
                json!({ "x": 2 }),
            ),
            ("reduce .[] as $n (0; . + $n)", json!([1, 2, 3]), json!(6)),
            ("[limit(3; repeat(1))]", json!(null), json!([1, 1, 1])),
            ("test(\"^A\"; \"i\")", json!("abc"), json!(true)),
            (
                "capture(\"(?<year>[0-9]+)-(?<month>[0-9]+)\")",
                json!("2026-11"),
                json!({ "year": "2026", "month": "11" }),
            ),
            ("gsub(\" +\"; \"-\")", json!("a  b c"), json!("a-b-c")),
            ("fromdate | todate", json!("2040-03-05T23:51:47Z"), json!("2040-03-05T23:51:47Z")),
            (
                "walk(if type == \"number\" then . + 1 else . end)",
                json!([1, { "a": 2 }]),
                json!([2, { "a": 3 }]),
            ),
            ("@base64 | @base64d", json!("h\u{e4}user"), json!("h\u{e4}user")),
            ("@csv", json!([1, "a\"b", null, true]), json!("1,\"a\"\"b\",,true")),
            ("@tsv", json!([1, "a\tb", null]), json!("1\ta\\tb\t")),
            ("@uri", json!("a b&c"), json!("a%20b%26c")),
            ("tojson | fromjson", json!({ "a": [1, 2.5] }), json!({ "a": [1, 2.5] })),
            ("try error(\"x\") catch .", json!(null), json!("x")),
            ("[paths(type == \"number\")]", json!({ "a": [1] }), json!([["a", 0]])),
            ("[leaf_paths] | length", json!({ "a": [1] }), json!(1)),
            ("del(.a) | .b |= . + 1", json!({ "a": 1, "b": 2 }), json!({ "b": 3 })),
            ("INDEX(.id) | keys", json!([{ "id": 7 }, { "id": 9 }]), json!(["7", "9"])),
            (".[] | select(.a | IN(2, 3)) | .a", json!([{ "a": 1 }, { "a": 3 }]), json!(3)),
            ("[.[] | toarray] | flatten", json!([1, [2]]), json!([1, 2])),
            ("def f(x): x * 2; f(.)", json!(4), json!(8)),
            ("nan", json!(null), json!(null)),
            ("infinite", json!(null), json!(f64::MAX)),
            (". + 1", json!(4_294_967_295_u32), json!(4_294_967_296_u64)),
            (".", json!(u64::MAX), json!(u64::MAX)),
            (".", json!(i64::MIN), json!(i64::MIN)),
            ("sort_by(.b) | .[0].a", json!([{ "a": 1, "b": 2 }, { "a": 2, "b": 1 }]), json!(2)),
            ("splits(\", *\") | select(. == \"b\")", json!("a, b"), json!("b")),
            ("[.[] as [$a, $b] | $a + $b]", json!([[1, 2], [3, 4]]), json!([3, 7])),
            ("ascii_downcase | ltrimstr(\"a\") | length", json!("ABC"), json!(2)),
            ("getpath([\"a\", \"b\"])", json!({ "a": { "b": 5 } }), json!(5)),
        ] {
            assert_eq!(one(filter, value), expected, "{filter}");
        }
    }

    #[test]
    fn none_and_several_results_are_told() {
        assert_eq!(fails(json!({ "filter": "empty" })).code(), "no-result");
        assert_eq!(fails(json!({ "filter": "1, 2" })).code(), "several-results");
        // The rest of an endless filter is not asked for.
        assert_eq!(fails(json!({ "filter": "repeat(1)" })).code(), "several-results");
    }

    #[test]
    fn a_wrong_filter_is_told_with_its_place() {
        for (filter, line, column, words) in [
            (".a\n| map(.b", 2, 6, "`(` is not closed"),
            (".a | nosuch(1)", 1, 6, "there is no filter `nosuch/1`"),
            ("$missing", 1, 1, "there is no variable `$missing`; what `vars` holds is there"),
            ("\"\u{e9}\" | .[", 1, 8, "`[` is not closed"),
            ("if . then 1", 1, 12, "expected else or end"),
            ("1 +", 1, 4, "expected term"),
            ("", 1, 1, "expected term"),
            ("now", 1, 1, "an agent has no clock"),
            ("$ENV.HOME", 1, 1, "no environment"),
            ("env", 1, 1, "no environment"),
            ("[inputs]", 1, 2, "one input"),
            ("1 | halt_error", 1, 5, "error(X)"),
            ("localtime", 1, 1, "UTC"),
            ("import \"a\" as a; 1", 1, 9, "module"),
            ("\"\\x\"", 1, 3, "string escape sequence"),
        ] {
            let failure = fails(json!({ "filter": filter }));
            assert_eq!(failure.code(), "filter-invalid", "{filter}: {failure}");
            assert!(failure.message().contains(words), "{filter}: {failure}");
            let data = failure.data_value().unwrap();
            assert_eq!(
                (&data["line"], &data["column"]),
                (&json!(line), &json!(column)),
                "{filter}: {failure}"
            );
        }
    }

    #[test]
    fn a_filter_that_nests_too_deep_is_refused_before_it_is_read() {
        for filter in ["[".repeat(20_000), "(".repeat(20_000), "{a:".repeat(20_000), "\"\\(".repeat(20_000)] {
            assert_eq!(fails(json!({ "filter": filter })).code(), "filter-invalid");
        }
        let in_text = format!("\"{}\" # {}", "(".repeat(20_000), "[".repeat(20_000));
        assert_eq!(one(&in_text, Value::Null), json!("(".repeat(20_000)));
    }

    #[test]
    fn an_error_of_the_filter_is_a_failure_with_its_value() {
        let failure = fails(json!({ "filter": ".a | error({ code: 7 })", "value": {} }));
        assert_eq!(
            (failure.code(), failure.data_value()),
            ("filter-failed", Some(&json!({ "value": { "code": 7 } })))
        );
        let failure = fails(json!({ "filter": ".a.b", "value": { "a": 1 } }));
        assert_eq!(failure.code(), "filter-failed");
        assert!(failure.message().contains("cannot index 1 with \"b\""), "{failure}");
        let long = fails(json!({ "filter": "error", "value": "x".repeat(100_000) }));
        assert!(long.message().len() < 1_000);
    }

    #[test]
    fn what_no_json_can_hold_is_told() {
        for filter in ["{ (1|tobytes): 2 }", "18446744073709551616", "[1] | tobytes"] {
            let failure = fails(json!({ "filter": filter }));
            assert_eq!(failure.code(), "result-not-json", "{filter}: {failure}");
        }
        let failure = fails(json!({ "filter": "reduce range(200000) as $i (null; [.])" }));
        assert_eq!(failure.code(), "result-too-deep");
    }

    #[test]
    fn a_wrong_input_fails_for_good() {
        for input in [
            json!({}),
            json!({ "filter": 1 }),
            json!({ "filter": ".", "values": [] }),
            json!({ "filter": ".", "vars": { "a b": 1 } }),
            json!({ "filter": ".", "vars": { "$a": 1 } }),
        ] {
            assert_eq!(fails(input.clone()).code(), "input-invalid", "{input}");
        }
    }

    #[test]
    fn debug_goes_to_the_log() {
        assert_eq!(one("debug | debug(\"n is \\(.)\")", json!([1])), json!([1]));
        assert_eq!(fake::logged(), ["debug [1]", "debug \"n is [1]\""]);
        assert_eq!(one("stderr", json!("seen")), json!("seen"));
        assert_eq!(fake::logged(), ["info seen"]);
    }
}
