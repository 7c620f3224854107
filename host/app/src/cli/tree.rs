//! The live tree: what stands on a terminal while a run goes on. Folds events into rows and makes lines of them;
//! moving the cursor is [`super::follow`]'s business.

use std::collections::BTreeMap;

use bandstand_engine::event::{BranchKey, BranchOutcome, Event};
use bandstand_engine::path::Segment;
use bandstand_engine::{Path, Timestamp};

use super::history::{self, error_line};
use super::term::out::{Out, Tone};
use super::term::{safe, words};

/// Items of one map that are shown at once; of the others there is only a count.
const ITEMS_SHOWN_MAX: usize = 8;
/// Ended visits of one scope that are kept; older ones are forgotten, so that a long loop stays cheap.
const ENDED_KEPT_MAX: usize = 200;

/// What is known of a run, row by row.
#[derive(Debug, Default)]
pub struct Tree {
    rows: BTreeMap<Path, Row>,
    /// The rows of each scope and block in order of appearance.
    children: BTreeMap<Path, Vec<Path>>,
}

#[derive(Clone, Debug)]
struct Row {
    label: String,
    kind: String,
    state: State,
    since: Timestamp,
    took_ms: Option<u64>,
    /// What the attempt says, or what is waited for.
    note: String,
    /// Items of a map: all, ended well, ended badly.
    items: Option<(usize, usize, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Running,
    Waiting,
    Succeeded,
    Failed,
    Stopped,
}

impl State {
    fn ended(self) -> bool {
        matches!(self, State::Succeeded | State::Failed | State::Stopped)
    }

    /// The sign and the tone; a word stands beside them.
    fn look(self) -> (&'static str, Tone) {
        match self {
            State::Queued => (".", Tone::Faint),
            State::Running => (">", Tone::Busy),
            State::Waiting => ("?", Tone::Attention),
            State::Succeeded => ("+", Tone::Good),
            State::Failed => ("x", Tone::Bad),
            State::Stopped => ("-", Tone::Faint),
        }
    }

    fn word(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Waiting => "waiting",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Stopped => "stopped",
        }
    }
}

impl Tree {
    /// Takes in one event.
    pub fn add(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::NodeStarted(e) => {
                let key = row_of(&e.p);
                let state = if e.kind == "agent" { State::Queued } else { State::Running };
                let row = self.row(&key, at);
                row.kind.clone_from(&e.kind);
                row.state = state;
            }
            Event::NodeSucceeded(e) => {
                let note = e.cached_from.as_ref().map_or(String::new(), |_| "cached".to_owned());
                self.end(&e.p, at, State::Succeeded, Some(e.took_ms), note);
            }
            Event::NodeFailed(e) => {
                let caught = if e.caught { "caught: " } else { "" };
                self.end(
                    &e.p,
                    at,
                    State::Failed,
                    Some(e.took_ms),
                    format!("{caught}{}", error_line(&e.error)),
                );
            }
            Event::NodeCancelled(e) => self.end(&e.p, at, State::Stopped, None, String::new()),
            Event::AttemptScheduled(e) => {
                let row = self.row(&row_of(&e.p), at);
                match e.due {
                    Some(due) => {
                        row.state = State::Waiting;
                        row.note = format!("attempt {} at {}", e.attempt, words::instant(due));
                    }
                    None => {
                        row.state = State::Queued;
                        row.note = match &e.child {
                            Some(child) => format!("run {child}"),
                            None if e.attempt > 1 => format!("attempt {}", e.attempt),
                            None => String::new(),
                        };
                    }
                }
            }
            Event::AttemptDue(e) => {
                let row = self.row(&row_of(&e.p), at);
                row.state = State::Queued;
                row.note = format!("attempt {}", e.attempt);
            }
            Event::AttemptFailed(e) => {
                let note = format!("attempt {} of {}: {}", e.attempt, e.error.attempts, error_line(&e.error));
                self.row(&row_of(&e.p), at).note = note;
            }
            Event::AttemptInterrupted(e) => {
                self.row(&row_of(&e.p), at).note =
                    format!("attempt {} repeated after an interruption", e.attempt);
            }
            Event::RouteDecided(e) => self.row(&row_of(&e.p), at).note = history::route_line(e),
            Event::BranchesOpened(e) => {
                if let Some(items) = e.items.as_ref().and_then(|items| items.value()) {
                    let all = items.as_array().map_or(0, Vec::len);
                    self.row(&row_of(&e.p), at).items = Some((all, 0, 0));
                }
            }
            Event::BranchesStarted(e) => {
                for branch in &e.branches {
                    self.row(&e.p.join(segment(branch)), at);
                }
            }
            Event::BranchEnded(e) => {
                let state = match e.outcome {
                    BranchOutcome::Succeeded => State::Succeeded,
                    BranchOutcome::Failed => State::Failed,
                    BranchOutcome::Skipped | BranchOutcome::Cancelled => State::Stopped,
                };
                if let Some((_, succeeded, failed)) = &mut self.row(&row_of(&e.p), at).items {
                    *if state == State::Succeeded { succeeded } else { failed } += 1;
                }
                let note = e.error.as_ref().map(error_line).unwrap_or_default();
                self.end(&e.p.join(segment(&e.branch)), at, state, e.took_ms, note);
            }
            Event::ReviewOpened(e) => {
                let row = self.row(&row_of(&e.p), at);
                row.state = State::Waiting;
                row.note = format!("review {}: {}", e.review_id, e.title);
            }
            Event::ReviewDecided(e) => self.row(&row_of(&e.p), at).note = e.outcome.name().to_owned(),
            Event::WaitStarted(e) => {
                let row = self.row(&row_of(&e.p), at);
                row.state = State::Waiting;
                row.note = history::waits_for(e);
            }
            _ => {}
        }
    }

    /// An attempt has its instance and works.
    pub fn running(&mut self, command_id: &str, at: Timestamp) {
        if let Some(row) = self.of_command(command_id)
            && !row.state.ended()
        {
            row.state = State::Running;
            row.since = at;
        }
    }

    /// What an attempt says of itself.
    pub fn says(&mut self, command_id: &str, note: String) {
        if let Some(row) = self.of_command(command_id) {
            row.note = note;
        }
    }

    /// Whether nothing is queued or running, blocks aside.
    pub fn only_waits(&self) -> bool {
        let busy = |row: &Row| matches!(row.state, State::Queued | State::Running);
        !self.rows.is_empty()
            && !self.rows.iter().any(|(path, row)| busy(row) && !self.children.contains_key(path))
    }

    /// The tree as it stands, at most so many lines, the newest kept.
    pub fn lines(&self, out: &Out, now: Timestamp, lines_max: usize, width: usize) -> Vec<String> {
        let mut lines = Vec::new();
        self.scope(&Path::root(), 0, out, now, width, &mut lines);
        let hidden = lines.len().saturating_sub(lines_max);
        if hidden > 0 {
            lines.drain(..=hidden);
            lines.insert(
                0,
                out.paint_err(Tone::Faint, &format!("  ({} above)", words::count(hidden + 1, "line"))),
            );
        }
        lines
    }

    fn scope(
        &self,
        path: &Path,
        depth: usize,
        out: &Out,
        now: Timestamp,
        width: usize,
        lines: &mut Vec<String>,
    ) {
        let mut ended_items = 0_usize;
        let mut shown_items = 0_usize;
        for child in self.children.get(path).into_iter().flatten() {
            let Some(row) = self.rows.get(child) else { continue };
            if matches!(child.last(), Some(Segment::Item(_))) {
                let quiet = matches!(row.state, State::Succeeded | State::Stopped);
                if quiet || shown_items == ITEMS_SHOWN_MAX {
                    ended_items += usize::from(!quiet);
                    continue;
                }
                shown_items += 1;
            }
            lines.push(row.line(depth, out, now, width));
            self.scope(child, depth + 1, out, now, width, lines);
        }
        if ended_items > 0 {
            lines.push(format!("{}{} more", "  ".repeat(depth + 1), words::count(ended_items, "item")));
        }
    }

    fn of_command(&mut self, command_id: &str) -> Option<&mut Row> {
        let (path, _) = command_id.rsplit_once('#')?;
        self.rows.get_mut(&row_of(&path.parse().ok()?))
    }

    fn row(&mut self, key: &Path, at: Timestamp) -> &mut Row {
        if !self.rows.contains_key(key) {
            let parent = key.parent().unwrap_or_default();
            let siblings = self.children.entry(parent).or_default();
            siblings.push(key.clone());
            if siblings.len() > ENDED_KEPT_MAX {
                let old =
                    siblings.iter().position(|path| self.rows.get(path).is_some_and(|row| row.state.ended()));
                if let Some(old) = old {
                    let path = siblings.remove(old);
                    self.forget(&path);
                }
            }
        }
        self.rows.entry(key.clone()).or_insert_with(|| Row {
            label: label(key),
            kind: String::new(),
            state: State::Running,
            since: at,
            took_ms: None,
            note: String::new(),
            items: None,
        })
    }

    fn forget(&mut self, path: &Path) {
        self.rows.remove(path);
        for child in self.children.remove(path).unwrap_or_default() {
            self.forget(&child);
        }
    }

    fn end(&mut self, path: &Path, at: Timestamp, state: State, took_ms: Option<u64>, note: String) {
        let key = row_of(path);
        let row = self.row(&key, at);
        row.state = state;
        row.took_ms = took_ms.or(row.took_ms);
        if !note.is_empty() {
            row.note = note;
        } else if state == State::Succeeded && row.kind == "agent" && !row.note.starts_with("route") {
            row.note.clear();
        }
        // What went well inside an item is nobody's concern once it is over.
        if state == State::Succeeded && matches!(key.last(), Some(Segment::Item(_))) {
            for child in self.children.remove(&key).unwrap_or_default() {
                self.forget(&child);
            }
        }
    }
}

impl Row {
    fn line(&self, depth: usize, out: &Out, now: Timestamp, width: usize) -> String {
        let (sign, tone) = self.state.look();
        let time = match (self.took_ms, self.state) {
            (Some(took_ms), _) => words::span(took_ms),
            (None, State::Running | State::Waiting) => words::span(now.since_ms(self.since) / 100 * 100),
            (None, _) => String::new(),
        };
        let kind = if self.kind.is_empty() || self.kind == "step" {
            String::new()
        } else {
            format!(" {}", self.kind)
        };
        let items = self.items.map_or(String::new(), |(all, succeeded, failed)| {
            let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            format!(" {succeeded} of {all}{failed}")
        });
        let note = if self.note.is_empty() { String::new() } else { format!("  {}", self.note) };
        let head = format!("{}{sign} {}", "  ".repeat(depth), self.label);
        let rest = format!("{kind} {}{items} {time}{note}", self.state.word());
        let room = width.saturating_sub(head.chars().count()).max(10);
        format!("{}{}", out.paint_err(tone, &head), safe::short(rest.trim_end(), room))
    }
}

/// Where a visit is shown: the node of a one-node body in the row of its branch or item.
fn row_of(path: &Path) -> Path {
    match path.last() {
        Some(Segment::Sole(_)) => path.parent().unwrap_or_default(),
        _ => path.clone(),
    }
}

fn segment(key: &BranchKey) -> Segment {
    match key {
        BranchKey::Item(index) => Segment::Item(*index),
        BranchKey::Name(id) => Segment::Branch(id.clone()),
    }
}

fn label(path: &Path) -> String {
    match path.last() {
        Some(Segment::Node(id, 1)) => id.to_string(),
        Some(Segment::Node(id, visit)) => format!("{id}@{visit}"),
        Some(Segment::Branch(id)) => id.to_string(),
        Some(Segment::Item(index)) => format!("[{index}]"),
        Some(Segment::Sole(_)) | None => path.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(value: serde_json::Value) -> Event {
        serde_json::from_value(value).unwrap()
    }

    fn shown(tree: &Tree, lines_max: usize) -> Vec<String> {
        let out = Out::plain();
        tree.lines(&out, Timestamp(5_000), lines_max, 60)
    }

    // R8.1
    #[test]
    fn rows_follow_the_events() {
        let mut tree = Tree::default();
        let events = [
            json!({"type": "node.started", "p": "ask@1", "kind": "agent"}),
            json!({"type": "node.succeeded", "p": "ask@1", "output": {"v": {}}, "took_ms": 12}),
            json!({"type": "node.started", "p": "known@1", "kind": "agent"}),
            json!({"type": "node.succeeded", "p": "known@1", "output": {"v": {}}, "took_ms": 0,
                "cached_from": {"run": "r-0", "p": "known@1"}}),
            json!({"type": "node.started", "p": "fan@1", "kind": "parallel"}),
            json!({"type": "branches.opened", "p": "fan@1", "names": ["law", "tax"]}),
            json!({"type": "branches.started", "p": "fan@1", "branches": ["law", "tax"]}),
            json!({"type": "node.started", "p": "fan@1/law@1", "kind": "agent"}),
            json!({"type": "attempt.scheduled", "p": "fan@1/law@1", "attempt": 1, "because": "first"}),
        ];
        for value in events {
            tree.add(Timestamp(1_000), &event(value));
        }
        tree.running("fan@1/law@1#1", Timestamp(2_000));
        tree.says("fan@1/law@1#1", "reading\u{1b}[2J".to_owned());
        assert_eq!(
            shown(&tree, 10),
            [
                "+ ask agent succeeded 12 ms",
                "+ known agent succeeded 0 ms  cached",
                "> fan parallel running 4.00 s",
                "  > law agent running 3.00 s  reading",
                "  > tax running 4.00 s",
            ]
        );
        assert_eq!(shown(&tree, 2), ["  (4 lines above)", "  > tax running 4.00 s"]);
    }

    #[test]
    fn a_long_loop_stays_small() {
        let mut tree = Tree::default();
        for visit in 1..2_000 {
            let path = format!("think@{visit}");
            tree.add(Timestamp(0), &event(json!({"type": "node.started", "p": path, "kind": "agent"})));
            tree.add(
                Timestamp(0),
                &event(json!({"type": "node.succeeded", "p": path, "output": {"v": {}}, "took_ms": 1})),
            );
        }
        assert!(tree.rows.len() <= ENDED_KEPT_MAX + 1, "{}", tree.rows.len());
        assert_eq!(shown(&tree, 1).len(), 1);
    }
}
