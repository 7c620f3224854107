//! Which point of a run is meant by the words of `--from`: a number of events, a node or a visit that was entered, or a
//! checkpoint that was passed. Looks at events only; whether there is a point is the engine's business.

use bandstand_engine::Event;

/// Names that an error tells.
const NAMED_MAX: usize = 20;

/// Says that the checkpoint is meant, not the node of the same name.
const CHECKPOINT: &str = "checkpoint:";

/// Looks for a point, event by event.
#[derive(Debug)]
pub(super) struct Search<'a> {
    from: &'a str,
    /// A checkpoint's name, and which time it was passed; none: the last.
    checkpoint: (&'a str, Option<usize>),
    /// Only a checkpoint is meant.
    only_checkpoint: bool,
    seq: u64,
    /// Before which event the node or visit was entered first.
    entered: Option<u64>,
    /// After how many events the checkpoint was passed, in the run's own scope.
    passed: Vec<Passed>,
    /// The event before named that checkpoint.
    just_passed: bool,
    nodes: Vec<String>,
    checkpoints: Vec<String>,
}

/// A checkpoint that was passed.
#[derive(Clone, Copy, Debug)]
struct Passed {
    seq: u64,
    /// The run ended there.
    ends: bool,
}

/// No point is meant by that.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotFound {
    /// Nothing of that name; what there is.
    Nothing(String),
    /// A node and a checkpoint have that name.
    Both,
    /// It was not passed so often, but so many times.
    NotSoOften(usize),
    /// The run ended there.
    Ended,
}

impl<'a> Search<'a> {
    pub(super) fn new(from: &'a str) -> Search<'a> {
        let name = from.strip_prefix(CHECKPOINT);
        let text = name.unwrap_or(from);
        let numbered = text.split_once('@').and_then(|(name, number)| Some((name, number.parse().ok()?)));
        let checkpoint = numbered.map_or((text, None), |(name, number)| (name, Some(number)));
        Search {
            from,
            checkpoint,
            only_checkpoint: name.is_some(),
            seq: 0,
            entered: None,
            passed: Vec::new(),
            just_passed: false,
            nodes: Vec::new(),
            checkpoints: Vec::new(),
        }
    }

    /// Takes in the events of one row. A row's beginning is a point, whatever comes.
    pub(super) fn add(&mut self, events: &[Event]) {
        self.just_passed = false;
        for event in events {
            if self.just_passed
                && !matches!(event, Event::NodeStarted(_))
                && let Some(passed) = self.passed.last_mut()
            {
                passed.ends = true;
            }
            self.just_passed = false;
            match event {
                Event::NodeStarted(e) => {
                    let node = e.p.node_path();
                    if node == self.from || e.p.to_string() == self.from {
                        self.entered.get_or_insert(self.seq);
                    }
                    keep(&mut self.nodes, node);
                }
                Event::CheckpointNamed(e) if e.p.segments().len() == 1 => {
                    if e.name.as_str() == self.checkpoint.0 {
                        self.passed.push(Passed { seq: self.seq + 1, ends: false });
                        self.just_passed = true;
                    }
                    keep(&mut self.checkpoints, e.name.to_string());
                }
                _ => {}
            }
            self.seq += 1;
        }
    }

    /// How many events had happened at the point that is meant.
    pub(super) fn found(self) -> Result<u64, NotFound> {
        let entered = self.entered.filter(|_| !self.only_checkpoint);
        match (entered, self.passed.len(), self.checkpoint.1) {
            (Some(_), 1.., None) => Err(NotFound::Both),
            (Some(seq), _, _) => Ok(seq),
            (None, 0, _) => Err(NotFound::Nothing(self.names())),
            (None, times, number) => {
                let passed = number.unwrap_or(times).checked_sub(1).and_then(|index| self.passed.get(index));
                match passed {
                    None => Err(NotFound::NotSoOften(times)),
                    Some(Passed { ends: true, .. }) => Err(NotFound::Ended),
                    Some(Passed { seq, .. }) => Ok(*seq),
                }
            }
        }
    }

    fn names(&self) -> String {
        let listed = |what: &str, names: &[String]| {
            let more = if names.len() > NAMED_MAX { ", ..." } else { "" };
            let shown: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
            format!("{what}: {}{more}", shown.join(", "))
        };
        let mut names = match self.nodes.is_empty() {
            true => "it has not entered any node yet".to_owned(),
            false => listed("it entered", &self.nodes),
        };
        if !self.checkpoints.is_empty() {
            names = format!("{names}; {}", listed("it passed the checkpoints", &self.checkpoints));
        }
        names
    }
}

fn keep(names: &mut Vec<String>, name: String) {
    if names.len() <= NAMED_MAX && !names.contains(&name) {
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rows() -> Vec<Vec<Event>> {
        let entered = |p: &str| json!({ "type": "node.started", "p": p, "kind": "agent" });
        let passed = |name: &str, p: &str| json!({ "type": "checkpoint.named", "name": name, "p": p });
        let rows: [Vec<Value>; 5] = [
            vec![entered("draft@1"), passed("turn", "draft@1"), entered("draft@2")],
            vec![passed("turn", "draft@2"), entered("fan@1")],
            vec![entered("fan@1/law/ask@1"), passed("turn", "fan@1/law/ask@1")],
            vec![passed("fan", "fan@1")],
            vec![
                entered("last@1"),
                passed("done", "last@1"),
                json!({ "type": "stage.entered", "stage": "completion", "p": "" }),
            ],
        ];
        let events =
            |row: Vec<Value>| row.into_iter().map(|event| serde_json::from_value(event).unwrap()).collect();
        rows.into_iter().map(events).collect()
    }

    fn find(from: &str) -> Result<u64, NotFound> {
        let mut search = Search::new(from);
        rows().iter().for_each(|row| search.add(row));
        search.found()
    }

    // R5.5
    #[test]
    fn nodes_visits_and_checkpoints_are_found_by_name() {
        let found = ["draft", "draft@2", "fan/law/ask", "turn", "turn@1", "checkpoint:turn@2"].map(find);
        assert_eq!(found, [Ok(0), Ok(2), Ok(5), Ok(4), Ok(2), Ok(4)]);
        assert_eq!(find("fan"), Err(NotFound::Both));
        assert_eq!((find("fan@1"), find("checkpoint:fan")), (Ok(4), Ok(8)), "a row's beginning is a point");
        assert_eq!(find("turn@3"), Err(NotFound::NotSoOften(2)));
        assert_eq!(find("turn@0"), Err(NotFound::NotSoOften(2)));
        assert_eq!(find("done"), Err(NotFound::Ended));
        let names = "it entered: draft, fan, fan/law/ask, last; it passed the checkpoints: turn, fan, done";
        assert_eq!(find("checkpoint:draft"), Err(NotFound::Nothing(names.to_owned())));
        let none = "it has not entered any node yet";
        assert_eq!(
            Search::new("draft").found(),
            Err(NotFound::Nothing(none.to_owned())),
            "of a run that is queued"
        );
    }
}
