//! What agents and people of a generated world do.

use bandstand_engine::failure::Class;
use bandstand_engine::graph::{Retry, Strategy};
use bandstand_engine::input::{Choice, Verdict};
use serde_json::{Value, json};

use super::{Feature, Generator};
use crate::children::{ChildBehaviour, ChildEnd};
use crate::script::{AnswerPlan, AttemptEnd, Behaviour, ReviewPlan, Wish};

const REVIEWERS: [&str; 4] = ["ann", "bob", "cem", "dia"];

impl Generator<'_> {
    /// The behaviours of one agent. `goto`: nodes it might name; `options`: routes it might name.
    pub(super) fn behaviours(&mut self, place: &str, goto: &[String], options: &[String]) {
        let count = 1 + self.tape.below(4);
        let mut asks = false;
        let behaviours: Vec<Behaviour> = (0..count)
            .map(|_| {
                let end = self.attempt_end(goto, options);
                asks |= matches!(&end, AttemptEnd::Reply { next: Wish::Review { .. }, .. });
                Behaviour { duration_ms: self.tape.below(2_000), end }
            })
            .collect();
        self.script.agents.insert(place.to_owned(), behaviours);
        if asks {
            self.people(place);
        }
    }

    fn attempt_end(&mut self, goto: &[String], options: &[String]) -> AttemptEnd {
        if self.maybe(Feature::Failures, 45) {
            let (class, code, recoverable) = *self.tape.pick(&[
                (Class::Agent, "busy", true),
                (Class::Agent, "refused", false),
                (Class::Trap, "unreachable", true),
                (Class::Timeout, "attempt-timeout", true),
                (Class::Limit, "memory", true),
                (Class::Denied, "memory-facts", false),
            ]);
            let retry_after_ms = self.tape.chance(20).then(|| self.tape.below(20_000));
            return AttemptEnd::Failure { class, code: code.to_owned(), recoverable, retry_after_ms };
        }
        let wanted = !options.is_empty() && self.tape.chance(80);
        AttemptEnd::Reply {
            n: i64::try_from(self.tape.below(5)).unwrap_or(0),
            options: if wanted { Some(self.options(options)) } else { None },
            confidence: self.tape.chance(40).then(|| self.confidence()),
            next: self.wish(goto, options),
            broken: self.maybe(Feature::Failures, 8),
        }
    }

    fn wish(&mut self, goto: &[String], options: &[String]) -> Wish {
        let goes = self.maybe(Feature::Goto, 40);
        let chooses = self.maybe(Feature::Routes, 40);
        let asks = self.maybe(Feature::AskedReviews, 40);
        if goes && !goto.is_empty() {
            Wish::Goto(self.tape.pick(goto).clone())
        } else if chooses {
            Wish::Choose(self.choices(options))
        } else if asks {
            Wish::Review {
                propose: self.tape.chance(50).then(|| json!({ "n": 9 })),
                form: self.maybe(Feature::Schemas, 30).then(form),
                timeout_ms: self.tape.chance(70).then(|| 1 + self.tape.below(8_000)),
                quorum: u32::try_from(self.tape.below(3)).unwrap_or(0),
            }
        } else {
            Wish::Edges
        }
    }

    fn confidence(&mut self) -> f64 {
        *self.tape.pick(&[0.9, 0.1, 0.5, 0.7, 0.75, 1.0, 0.0, 0.123_456_789_012_345_68])
    }

    fn choices(&mut self, options: &[String]) -> Vec<Choice> {
        let mut names: Vec<String> = options.to_vec();
        if self.tape.chance(15) {
            names.push("nowhere".to_owned());
        }
        if self.tape.chance(10) {
            return Vec::new();
        }
        let reason = self.tape.chance(30).then(|| "because".to_owned());
        names
            .into_iter()
            .map(|name| Choice { name, confidence: self.confidence(), reason: reason.clone() })
            .collect()
    }

    /// What an `options` expression may give, in all its shapes.
    fn options(&mut self, options: &[String]) -> Value {
        let choices = self.choices(options);
        match self.tape.below(12) {
            11 => json!("left"),
            10 => json!({ options[0].clone(): 1.5 }),
            9 => json!([{ "confidence": 0.5 }]),
            shape if shape % 2 == 0 => choices
                .iter()
                .map(|choice| (choice.name.clone(), json!(choice.confidence)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            _ => json!(choices),
        }
    }

    /// What the scripted child runs of one node do.
    pub(super) fn child_behaviours(&mut self, place: &str) {
        let count = 1 + self.tape.below(4);
        let behaviours = (0..count)
            .map(|_| ChildBehaviour {
                // Some do not end before their timeout.
                duration_ms: if self.tape.chance(15) { 200_000 } else { self.tape.below(3_000) },
                end: self.child_end(),
            })
            .collect();
        self.script.children.insert(place.to_owned(), behaviours);
    }

    fn child_end(&mut self) -> ChildEnd {
        if self.maybe(Feature::Failures, 50) {
            return match self.tape.below(8) {
                0 => ChildEnd::Cancelled,
                1 => ChildEnd::Killed,
                _ => {
                    // Whether it may be tried again decides, whatever the class.
                    let (class, code) = *self.tape.pick(&[
                        (Class::Agent, "busy"),
                        (Class::State, "bad-value"),
                        (Class::Timeout, "run-timeout"),
                        (Class::Join, "all-failed"),
                        (Class::Workflow, "given-up"),
                        (Class::Limit, "max-steps"),
                    ]);
                    let data = if self.tape.chance(30) { json!({ "n": 4 }) } else { Value::Null };
                    let recoverable = self.tape.chance(60);
                    ChildEnd::Failed { class, code: code.to_owned(), recoverable, data }
                }
            };
        }
        let all =
            [json!({ "n": 3 }), json!([1, 2]), json!("done"), Value::Null, json!({ "total": 2 }), json!(7)];
        ChildEnd::Succeeded(self.tape.pick(&all).clone())
    }

    /// What people answer to the reviews of one node.
    pub(super) fn people(&mut self, place: &str) {
        let count = 1 + self.tape.below(3);
        let plans = (0..count).map(|_| ReviewPlan { answers: self.answers() }).collect();
        self.script.reviews.insert(place.to_owned(), plans);
    }

    fn answers(&mut self) -> Vec<AnswerPlan> {
        let nobody = self.maybe(Feature::Expiry, 40);
        let count = if nobody { 0 } else { 1 + self.tape.below(4) };
        (0..count)
            .map(|_| {
                let edits = self.tape.chance(30);
                AnswerPlan {
                    delay_ms: self.tape.below(4_000),
                    reviewer: (*self.tape.pick(&REVIEWERS)).to_owned(),
                    verdict: if self.tape.chance(25) { Verdict::Rejected } else { Verdict::Approved },
                    changes: edits.then(|| self.changes()),
                    looks: !self.tape.chance(30),
                    confidence: self.tape.chance(40).then(|| self.confidence()),
                }
            })
            .collect()
    }

    fn changes(&mut self) -> Value {
        let all =
            [json!({ "n": 5 }), json!({ "n": "text" }), json!({ "n": null, "x": { "y": [1] } }), json!(8)];
        self.tape.pick(&all).clone()
    }

    pub(super) fn retry(&mut self) -> Retry {
        if !self.on(Feature::Retries) {
            return Retry { strategy: Strategy::None, max_retries: 0, ..Retry::default() };
        }
        let strategy =
            *self.tape.pick(&[Strategy::Immediate, Strategy::Fixed, Strategy::Exponential, Strategy::None]);
        let mut retry = Retry {
            strategy,
            max_retries: u32::try_from(self.tape.below(4)).unwrap_or(0),
            base_delay_ms: self.tape.below(3_000),
            factor: *self.tape.pick(&[2.0, 1.0, 1.5]),
            max_delay_ms: *self.tape.pick(&[Retry::DELAY_MS_MAX, 1_000]),
            jitter: *self.tape.pick(&[0.0, 0.5, 1.0]),
            ..Retry::default()
        };
        if self.tape.chance(20) {
            retry.retry_on.insert(Class::Limit);
        }
        if self.tape.chance(20) {
            retry.retry_on.remove(&Class::Agent);
        }
        retry
    }
}

/// Approved values have a numeric `n`.
pub(super) fn form() -> Value {
    json!({ "type": "object", "required": ["n"], "properties": { "n": { "type": "number" } } })
}
