//! How an agent says that it is done, how sure it is, and where the run should go.

use serde::Serialize;
use serde_json::Value;

use crate::Failure;

/// The attempt succeeded. The output must be a JSON object; anything else fails the attempt with `output-invalid`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    output: Result<Value, String>,
    confidence: Option<f64>,
    next: Next,
}

/// Where the run goes: one of these.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// To the choice with the highest confidence.
    Choose(Vec<Choice>),
    /// As the workflow file says.
    Edges,
    /// To this node, which the file must allow.
    Goto(String),
    /// To a person first.
    Review(Review),
}

impl Reply {
    /// Done, with this output.
    ///
    /// ```
    /// # use bandstand_sdk::Reply;
    /// # use serde_json::json;
    /// let reply = Reply::new(json!({ "kind": "invoice" })).confidence(0.8).choose([("pay", 0.8), ("ask", 0.2)]);
    /// assert_eq!(reply.output(), json!({ "kind": "invoice" }));
    /// ```
    pub fn new(output: impl Serialize) -> Reply {
        let output = match serde_json::to_value(output) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(other) => Err(format!("an output must be a JSON object, not {other}")),
            Err(error) => Err(format!("the output is no JSON: {error}")),
        };
        Reply { output, confidence: None, next: Next::Edges }
    }

    /// How sure the agent is of its output, 0 to 1; what lies outside is moved to the nearer end, NaN to 0.
    #[must_use]
    pub fn confidence(mut self, confidence: f64) -> Reply {
        self.confidence = Some(in_unit(confidence));
        self
    }

    /// Asks to go to this node, which must be in the node's `goto` list.
    #[must_use]
    pub fn goto(mut self, node: impl Into<String>) -> Reply {
        self.next = Next::Goto(node.into());
        self
    }

    /// Offers options for the node's `route`.
    #[must_use]
    pub fn choose<C: Into<Choice>>(mut self, choices: impl IntoIterator<Item = C>) -> Reply {
        self.next = Next::Choose(choices.into_iter().map(Into::into).collect());
        self
    }

    /// Asks for a person's decision before the run goes on.
    #[must_use]
    pub fn review(mut self, review: Review) -> Reply {
        self.next = Next::Review(review);
        self
    }

    /// The output; `null` where it was none.
    #[must_use]
    pub fn output(&self) -> Value {
        self.output.clone().unwrap_or(Value::Null)
    }

    /// See [`Reply::confidence`].
    #[must_use]
    pub fn confidence_value(&self) -> Option<f64> {
        self.confidence
    }

    /// Where the run goes.
    #[must_use]
    pub fn next(&self) -> &Next {
        &self.next
    }

    /// The parts that cross to the host; a bad output becomes a failure here.
    #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
    pub(crate) fn into_parts(self) -> Result<(String, Option<f64>, Next), Failure> {
        let output = self.output.map_err(|message| Failure::permanent("output-invalid", message))?;
        Ok((output.to_string(), self.confidence, self.next))
    }
}

/// Into 0..=1.
fn in_unit(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number.clamp(0.0, 1.0) }
}

/// One of the ways an agent sees to go on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// A key of the node's `route`.
    pub name: String,
    /// 0 to 1.
    pub confidence: f64,
    /// For the routing record; shown to people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Choice {
    /// A choice without a reason. The confidence is moved into 0..=1.
    pub fn new(name: impl Into<String>, confidence: f64) -> Choice {
        Choice { name: name.into(), confidence: in_unit(confidence), reason: None }
    }

    /// Adds the reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Choice {
        self.reason = Some(reason.into());
        self
    }
}

impl<T: Into<String>> From<(T, f64)> for Choice {
    fn from((name, confidence): (T, f64)) -> Choice {
        Choice::new(name, confidence)
    }
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    pub(crate) title: String,
    pub(crate) reason: String,
    pub(crate) form: Option<Value>,
    pub(crate) propose: Option<Value>,
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) reviewers: Vec<String>,
    pub(crate) quorum: u32,
}

impl Review {
    /// One line that says what is to be decided, and why the agent does not decide it alone.
    pub fn new(title: impl Into<String>, reason: impl Into<String>) -> Review {
        Review {
            title: title.into(),
            reason: reason.into(),
            form: None,
            propose: None,
            timeout_ms: None,
            reviewers: Vec::new(),
            quorum: 1,
        }
    }

    /// JSON Schema of a form for the reviewer.
    #[must_use]
    pub fn form(mut self, schema: Value) -> Review {
        self.form = Some(schema);
        self
    }

    /// What is to be approved; left out, the whole output.
    #[must_use]
    pub fn propose(mut self, proposal: Value) -> Review {
        self.propose = Some(proposal);
        self
    }

    /// How long the review stays open.
    #[must_use]
    pub fn timeout_ms(mut self, span_ms: u32) -> Review {
        self.timeout_ms = Some(span_ms);
        self
    }

    /// Who may answer; nobody named: anyone whom the workflow allows.
    #[must_use]
    pub fn reviewers<T: Into<String>>(mut self, reviewers: impl IntoIterator<Item = T>) -> Review {
        self.reviewers = reviewers.into_iter().map(Into::into).collect();
        self
    }

    /// How many approvals it takes; 0 counts as 1.
    #[must_use]
    pub fn quorum(mut self, approvals: u32) -> Review {
        self.quorum = approvals.max(1);
        self
    }

    /// The title.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_objects_are_outputs() {
        assert_eq!(Reply::new(json!([1])).into_parts().unwrap_err().code(), "output-invalid");
        let (output, confidence, next) =
            Reply::new(json!({ "a": 1 })).confidence(f64::NAN).into_parts().unwrap();
        assert_eq!((output.as_str(), confidence, next), ("{\"a\":1}", Some(0.0), Next::Edges));
        assert_eq!(Reply::new(json!({})).confidence(7.0).confidence_value(), Some(1.0));
    }

    #[test]
    fn the_last_word_on_where_to_go_counts() {
        let reply = Reply::new(json!({})).goto("a").review(Review::new("t", "r").quorum(0));
        let Next::Review(review) = reply.next() else { unreachable!("a review was asked for") };
        assert_eq!((review.title(), review.reason(), review.quorum), ("t", "r", 1));
    }
}
