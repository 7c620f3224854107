//! The agents of the licence review one after the other over real licence texts: each takes what the former gave.
// All of this file is a test; the lint knows functions marked as tests only.
#![allow(clippy::unwrap_used)]

// By path, since a crate that is a library besides cannot be optimised as a whole for wasm.
#[path = "../../agents/classify/src/lib.rs"]
mod classify;
#[path = "../../agents/definitions/src/lib.rs"]
mod definitions;
#[path = "../../agents/obligations/src/lib.rs"]
mod obligations;
#[path = "../../agents/report/src/lib.rs"]
mod report;
#[path = "../../agents/risk/src/lib.rs"]
mod risk;
#[path = "../../agents/split/src/lib.rs"]
mod split;

use bandstand_sdk::{Call, Failure, Reply};
use serde_json::{Value, json};

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../../../examples/06-licence-review/texts/", $name))
    };
}

fn call(agent: fn(&Call) -> Result<Reply, Failure>, input: Value) -> (Value, f64) {
    let reply = agent(&Call::with_input(input)).unwrap();
    (reply.output(), reply.confidence_value().unwrap())
}

struct Reviewed {
    family: String,
    family_confidence: f64,
    level: String,
    score: u64,
    risk_confidence: f64,
    markdown: String,
}

fn review(text: &str, purpose: &str) -> Reviewed {
    let (split, _) = call(split::run, json!({ "text": text, "text_in_sections": false }));
    let (classification, family_confidence) = call(classify::run, json!({ "text": text }));
    let (obligations, _) = call(obligations::run, json!({ "text": text }));
    let (definitions, _) = call(definitions::run, json!({ "text": text }));
    let parts = json!({ "classification": classification, "obligations": obligations, "definitions": definitions, "use": purpose });
    let (risk, risk_confidence) = call(risk::run, parts.clone());
    let mut input = parts;
    (input["risk"], input["split"]) = (risk.clone(), split);
    let (report, _) = call(report::run, input);
    Reviewed {
        family: classification["family"].as_str().unwrap().to_owned(),
        family_confidence,
        level: risk["level"].as_str().unwrap().to_owned(),
        score: risk["score"].as_u64().unwrap(),
        risk_confidence,
        markdown: report["markdown"].as_str().unwrap().to_owned(),
    }
}

#[test]
fn licences_come_out_in_the_order_of_their_demands() {
    let all = [
        ("mit", review(text!("mit.txt"), "distribute"), "permissive", "low"),
        ("bsd", review(text!("bsd-3-clause.txt"), "distribute"), "permissive", "low"),
        ("apache", review(text!("apache-2.0.txt"), "distribute"), "permissive", "low"),
        ("mpl", review(text!("mpl-2.0.txt"), "distribute"), "weak_copyleft", "medium"),
        ("lgpl", review(text!("lgpl-3.0.txt"), "distribute"), "weak_copyleft", "medium"),
        ("gpl", review(text!("gpl-3.0.txt"), "distribute"), "strong_copyleft", "high"),
    ];
    let shown: Vec<String> = all
        .iter()
        .map(|(name, one, ..)| {
            format!(
                "{name}: {} {:.3}, {} {} {:.2}",
                one.family, one.family_confidence, one.level, one.score, one.risk_confidence
            )
        })
        .collect();
    if let Some(folder) = std::env::var_os("BANDSTAND_SHOW_REPORTS") {
        all.iter().for_each(|(name, one, ..)| {
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.md")), &one.markdown).unwrap();
        });
        std::fs::write(std::path::Path::new(&folder).join("shown.txt"), shown.join("\n")).unwrap();
    }
    for (name, one, family, level) in &all {
        assert_eq!((one.family.as_str(), one.level.as_str()), (*family, *level), "{name}: {shown:#?}");
        assert!(one.family_confidence >= 0.75, "{name}: {shown:#?}");
        assert!(
            one.markdown.contains("## Risk") && one.markdown.contains("## What to do"),
            "{}",
            one.markdown
        );
    }
    let scores = |family: &str| {
        all.iter()
            .filter(|(_, one, ..)| one.family == family)
            .map(|(_, one, ..)| one.score)
            .collect::<Vec<_>>()
    };
    let (free, weak, strong) = (scores("permissive"), scores("weak_copyleft"), scores("strong_copyleft"));
    assert!(free.iter().max() < weak.iter().min() && weak.iter().max() < strong.iter().min(), "{shown:#?}");
}

#[test]
fn home_made_terms_are_left_to_a_person() {
    let one = review(text!("in-house-terms.txt"), "distribute");
    assert!(one.family_confidence < 0.75, "{}", one.family_confidence);
    assert_eq!(one.level, "high");
}

#[test]
fn the_use_matters() {
    let (shipped, inside) =
        (review(text!("gpl-3.0.txt"), "distribute"), review(text!("gpl-3.0.txt"), "internal"));
    assert!(inside.score * 2 < shipped.score, "{} {}", inside.score, shipped.score);
}
