//! Expressions and templates as text, fitting the place they stand in, now and then failing on purpose.

use serde_json::{Value, json};

use super::{Feature, Generator, OutputShape, Place};

impl Generator<'_> {
    /// A number.
    pub(super) fn number(&mut self, place: &Place) -> String {
        if self.maybe(Feature::BadExpressions, 8) {
            let bad = ["input.missing", "1 // 0", "1 + 'a'", "input", "[1][5]"];
            return (*self.tape.pick(&bad)).to_owned();
        }
        let node = self.some_node(place);
        let mut all = vec![
            "1".to_owned(),
            "2".to_owned(),
            "input.n".to_owned(),
            "state.total".to_owned(),
            "state.own".to_owned(),
            "(state.log|length)".to_owned(),
            "constants.c".to_owned(),
            "(error.attempts if error else 0)".to_owned(),
            "(1 if review and review.decision == 'approved' else 2)".to_owned(),
        ];
        if place.visit {
            all.push("visit".to_owned());
        }
        if let Some(node) = node {
            all.push(format!("(nodes.{node}.output.n if nodes.{node} is defined and nodes.{node}.output is defined and nodes.{node}.output is mapping and nodes.{node}.output.n is defined else 7)"));
            all.push(format!("(nodes.{node}.visits if nodes.{node} is defined else 0)"));
        }
        for item in &place.items {
            all.push(format!("{item}_index"));
        }
        if matches!(place.output, Some(OutputShape::Numbered | OutputShape::Agent)) {
            all.push("output.n".to_owned());
            all.push("output.n".to_owned());
        }
        self.tape.pick(&all).clone()
    }

    /// A boolean; now and then something else.
    pub(super) fn condition(&mut self, place: &Place) -> String {
        if self.maybe(Feature::BadExpressions, 6) {
            return "1".to_owned();
        }
        let number = self.number(place);
        let bound = self.tape.below(4);
        let operator = *self.tape.pick(&["<", ">", "==", "!="]);
        format!("{number} {operator} {bound}")
    }

    /// Anything small.
    pub(super) fn anything(&mut self, place: &Place) -> String {
        let mut all = vec![
            "none".to_owned(),
            "error.code if error else 'fine'".to_owned(),
            "error.class if error else 'fine'".to_owned(),
            "error.path if error else 'fine'".to_owned(),
            "review.decision if review else 'none'".to_owned(),
            "review.decided_by if review else 'none'".to_owned(),
            "state.last".to_owned(),
            "state.best".to_owned(),
            "state.facts|length".to_owned(),
            "input".to_owned(),
        ];
        if let Some(node) = self.some_node(place) {
            all.push(format!("nodes.{node}.status if nodes.{node} is defined else 'unvisited'"));
            all.push(format!("nodes.{node}.confidence if nodes.{node} is defined else 'unvisited'"));
            all.push(format!(
                "nodes.{node}.routing if nodes.{node} is defined and nodes.{node}.routing is defined else 'none'"
            ));
            all.push(format!(
                "nodes.{node}.error.code if nodes.{node} is defined and nodes.{node}.error is defined else 'none'"
            ));
        }
        for name in &place.items {
            all.push(name.clone());
        }
        for name in &place.after {
            all.push(format!("branches.{name}.result"));
            all.push(format!("branches.{name}.result"));
        }
        let which = self.tape.index(all.len() + 1);
        all.get(which).cloned().unwrap_or_else(|| self.number(place))
    }

    /// An object with `n`.
    pub(super) fn object(&mut self, place: &Place) -> Value {
        let number = self.number(place);
        let mut object = json!({ "n": format!("${{{{ {number} }}}}") });
        if self.tape.chance(40) {
            object["v"] = json!(format!("${{{{ {} }}}}", self.anything(place)));
        }
        if self.tape.chance(20) {
            object["text"] = json!(format!("n is ${{{{ {number} }}}} of $${{{{ all }}}}"));
        }
        object
    }

    /// What only goes into a call, where its size is bounded: larger things too.
    pub(super) fn call_input(&mut self, place: &Place) -> Value {
        let mut object = self.object(place);
        let mut all = vec!["error".to_owned(), "review".to_owned(), "state".to_owned()];
        if let Some(node) = self.some_node(place) {
            all.push(format!("nodes.{node} if nodes.{node} is defined else none"));
        }
        if self.tape.chance(50) {
            object["whole"] = json!(format!("${{{{ {} }}}}", self.tape.pick(&all)));
        }
        object
    }

    /// A list.
    pub(super) fn list(&mut self, place: &Place) -> String {
        if self.maybe(Feature::BadExpressions, 10) {
            return "input.n".to_owned();
        }
        let number = self.number(place);
        let all = ["input.list", "[1, 2, 3]", "[]", "['a']", "state.log[:3]", "range(4)"];
        let which = self.tape.index(all.len() + 1);
        all.get(which).map_or_else(|| format!("[{number}, 'x']"), |list| (*list).to_owned())
    }

    fn some_node(&mut self, place: &Place) -> Option<String> {
        if place.nodes.is_empty() { None } else { Some(self.tape.pick(&place.nodes).clone()) }
    }
}
