//! What an agent answers, split into lines: how it goes on, then its output, then what goes with that. The sandbox checks
//! it, the engine takes it, and the journal folds to the same run.

use bandstand_engine::Input;
use bandstand_engine::Payload;
use bandstand_engine::input::{Choice, Reply, ReplyNext, ReviewRequest, Usage};
use bandstand_rules::Table;
use serde_json::{Value, json};

const WORKFLOW: &str = "
format: 1
name: fuzzed
version: 1
plugins: { p: { builtin: echo } }
state:
  total: { reduce: sum, schema: { type: number } }
  log: { reduce: append }
  facts: { reduce: merge }
nodes:
  a:
    agent: p
    goto: [b]
    update: \"${{ output }}\"
    retry: { max-retries: 2, strategy: immediate }
    route: { threshold: 0.5, to: { left: b, right: end }, below: b, default: b }
    on-failure: b
  b:
    agent: p
    input: { log: \"${{ state.log }}\" }
    update: { log: [\"${{ output }}\"] }
    next: end
    approved: end
    rejected: end
result: { total: \"${{ state.total }}\", log: \"${{ state.log }}\", facts: \"${{ state.facts }}\" }
";

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let how = lines.next().unwrap_or_default();
    let output = lines.next().unwrap_or_default();
    let rest: Vec<&str> = lines.take(64).collect();
    #[cfg(feature = "sandbox")]
    if bandstand_sandbox::check_texts(how, output, &rest).is_err() {
        return;
    }
    let Ok(output) = serde_json::from_str::<Value>(output) else { return };
    if !output.is_object() {
        return;
    }
    let number = |text: &str| text.parse::<f64>().ok();
    let payload = |text: Option<&&str>| {
        text.and_then(|text| serde_json::from_str::<Value>(text).ok()).map(Payload::new)
    };
    let next = match how {
        "goto" => ReplyNext::Goto(rest.first().copied().unwrap_or_default().to_owned()),
        "choose" => {
            let choice = |pair: &[&str]| {
                let [name, confidence] = pair else { return None };
                let confidence = number(confidence)?;
                Some(Choice { name: (*name).to_owned(), confidence, reason: None })
            };
            ReplyNext::Choose(rest.chunks(2).filter_map(choice).collect())
        }
        "review" => ReplyNext::Review(Box::new(ReviewRequest {
            title: rest.first().copied().unwrap_or_default().to_owned(),
            reason: rest.get(1).copied().unwrap_or_default().to_owned(),
            form: payload(rest.get(2)),
            propose: payload(rest.get(3)),
            timeout_ms: rest.get(4).and_then(|text| text.parse().ok()),
            reviewers: rest.iter().skip(6).map(|name| (*name).to_owned()).collect(),
            quorum: rest.get(5).and_then(|text| text.parse().ok()).unwrap_or(1),
        })),
        _ => ReplyNext::Edges,
    };
    let confidence = rest.last().copied().and_then(number).filter(|sure| (0.0..=1.0).contains(sure));
    let reply = Reply { output: output.into(), confidence, next };
    // After each input the table folds the journal again, through JSON, and compares.
    let mut table = Table::start(WORKFLOW, json!({}));
    for _ in 0..3 {
        let Some(id) = table.run.owed().next().map(|command| command.id.clone()) else { return };
        let input = Input::Done { id, reply: reply.clone(), usage: Usage::default() };
        table.handle(input).unwrap_or_else(|refused| panic!("an owed attempt's reply is refused: {refused}"));
    }
}
