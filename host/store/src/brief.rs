//! A run's journal in brief, for whoever shows a run: what its plain steps come to, added up without making events of
//! them, and the rows that tell more, whole.
//!
//! A plain step is entered, tried once, succeeds and takes an edge; of a hundred thousand of them only sums are shown.
//! Of changes of the stage and of choices by confidence, of which a loop makes as many, the newest are shown and the
//! others counted.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bandstand_engine::Path;
use bandstand_engine::event::{Event, Payload};
use bandstand_engine::input::{Spent, ToolUse, Usage};
use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::codec;
use crate::effect_apply::{signed, unsigned};
use crate::history::{HistoryRow, unreadable};
use crate::open_run::load_blob;
use crate::reader::{ReadError, Reader};

/// Rows that are looked through in one read.
const PAGE_ROWS: u32 = 10_000;

/// What the rows come to that are not given whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// Events of the whole run, those of rows that are given too.
    pub events: u64,
    /// When the latest of them happened.
    pub last_at: Timestamp,
    /// By the node's place in the file.
    pub nodes: BTreeMap<String, NodeSums>,
    /// Of all attempts.
    pub usage: Usage,
    /// Calls of tools, by the node's place in the file and the tool's name.
    pub tools: BTreeMap<(String, String), ToolSums>,
    /// Changes of the stage that are older than those that are given.
    pub stages_left_out: usize,
    /// Choices by confidence that are older than those that are given.
    pub routes_left_out: usize,
}

/// What visits of one node come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSums {
    /// Visits begun.
    pub visits: u32,
    /// Attempts made.
    pub attempts: u32,
    /// All ended visits together.
    pub total_ms: u64,
    /// The longest visit.
    pub longest_ms: u64,
    /// Processor time in the guest.
    pub cpu_us: u64,
    /// Calls of models.
    pub model_calls: u64,
    /// Waiting for models.
    pub model_ms: u64,
    /// What models cost.
    pub spent: Spent,
}

/// What calls of one tool by one node come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolSums {
    /// Calls made.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// All of them together.
    pub took_ms: u64,
}

/// Adds the tools that attempts of a node called. One that a tool called has the names of both: `search/fetch`.
pub fn add_tools(sums: &mut BTreeMap<(String, String), ToolSums>, node: &str, tools: &[ToolUse]) {
    let mut open: Vec<(String, &ToolUse)> = tools.iter().map(|tool| (tool.name.clone(), tool)).collect();
    while let Some((name, tool)) = open.pop() {
        open.extend(tool.tools.iter().map(|inner| (format!("{name}/{}", inner.name), inner)));
        let sum = sums.entry((node.to_owned(), name)).or_default();
        sum.calls += 1;
        sum.failed += u64::from(tool.failed.is_some());
        sum.took_ms = sum.took_ms.saturating_add(tool.took_ms);
    }
}

/// Something that is given, in the journal's order.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A row that is in no sum.
    Row(HistoryRow),
    /// A row whose plain events are in the sums: only its changes of the stage count, or its choices by confidence.
    Listed {
        /// The row.
        row: HistoryRow,
        /// Whether changes of the stage count.
        stages: bool,
        /// Whether choices by confidence do.
        routes: bool,
    },
    /// An earlier row whose outputs the next one names. It counts elsewhere.
    Named(HistoryRow),
}

/// An event, as far as sums need it. Text that JSON had to escape does not fit: then it is no plain step.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    p: Option<&'a str>,
    attempt: Option<u32>,
    due: Option<IgnoredAny>,
    took_ms: Option<u64>,
    usage: Option<Usage>,
}

/// What kind of row it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Listed { stages: usize, routes: usize },
    Rare,
}

impl Glance<'_> {
    fn is_plain(&self) -> bool {
        match self.kind {
            "node.started" | "attempt.succeeded" | "node.succeeded" | "edge.taken" | "branches.started" => {
                true
            }
            "attempt.scheduled" => self.attempt == Some(1) && self.due.is_none(),
            _ => false,
        }
    }
}

fn kind(events: &[Glance<'_>]) -> Kind {
    let (mut stages, mut routes) = (0, 0);
    for event in events {
        match event.kind {
            "stage.entered" => stages += 1,
            "route.decided" => routes += 1,
            _ if event.is_plain() => {}
            _ => return Kind::Rare,
        }
    }
    if stages + routes > 0 { Kind::Listed { stages, routes } } else { Kind::Plain }
}

/// Of a row that is given, for which lists; for none, whole.
#[derive(Clone, Copy, Default)]
struct Given {
    stages: bool,
    routes: bool,
}

#[derive(Default)]
struct Looked {
    sums: Sums,
    /// First events of the rows that are given whole.
    rare: Vec<u64>,
    /// The newest rows with changes of the stage, or choices: first event, and how many of each.
    stages: VecDeque<(u64, usize)>,
    routes: VecDeque<(u64, usize)>,
    /// In which row a visit's output stands; and a scope's, which is that of its last node.
    outputs: HashMap<String, u64>,
}

impl Looked {
    fn row(&mut self, seq: u64, at: i64, text: &str, listed_max: usize) -> Result<(), String> {
        self.sums.last_at = Timestamp(at);
        let Ok(events) = serde_json::from_str::<Vec<Glance<'_>>>(text) else {
            self.sums.events = seq + codec::count(text).ok_or("it is no list of events")?;
            self.rare.push(seq);
            return Ok(());
        };
        self.sums.events = seq + events.len() as u64;
        for event in &events {
            if let ("attempt.succeeded" | "node.succeeded", Some(p)) = (event.kind, event.p) {
                self.outputs.insert(p.to_owned(), seq);
                if p.contains(['/', '[']) {
                    let scope = p.parse::<Path>().ok().and_then(|path| path.parent());
                    self.outputs.extend(scope.map(|scope| (scope.to_string(), seq)));
                }
            }
        }
        match kind(&events) {
            Kind::Rare => {
                self.rare.push(seq);
                return Ok(());
            }
            Kind::Listed { stages, routes } => {
                let lists = [
                    (stages, &mut self.stages, &mut self.sums.stages_left_out),
                    (routes, &mut self.routes, &mut self.sums.routes_left_out),
                ];
                for (count, newest, left_out) in lists.into_iter().filter(|(count, ..)| *count > 0) {
                    newest.push_back((seq, count));
                    // Each row has at least one.
                    if newest.len() > listed_max {
                        *left_out += newest.pop_front().map_or(0, |(_, count)| count);
                    }
                }
            }
            Kind::Plain => {}
        }
        events.iter().for_each(|event| self.sums.add(event));
        Ok(())
    }
}

impl Sums {
    fn add(&mut self, event: &Glance<'_>) {
        let Some(p) = event.p.filter(|_| event.is_plain() && event.kind != "edge.taken") else { return };
        let name = node(p);
        if !self.nodes.contains_key(&*name) {
            self.nodes.insert(name.to_string(), NodeSums::default());
        }
        let Some(node) = self.nodes.get_mut(&*name) else { return };
        match event.kind {
            "node.started" => node.visits += 1,
            "attempt.scheduled" => node.attempts += 1,
            "node.succeeded" => {
                let took_ms = event.took_ms.unwrap_or(0);
                node.total_ms += took_ms;
                node.longest_ms = node.longest_ms.max(took_ms);
            }
            _ => {}
        }
        if let Some(usage) = &event.usage {
            node.cpu_us += usage.cpu_us;
            node.spent.add(usage);
            node.model_calls += usage.model_calls;
            node.model_ms += usage.model_ms;
            self.usage.add(usage);
            add_tools(&mut self.tools, &name, &usage.tools);
        }
    }
}

/// A visit's node, as [`Path::node_path`] has it.
fn node(p: &str) -> std::borrow::Cow<'_, str> {
    let id = |part| str::split(part, ['@', '[']).next().unwrap_or_default();
    if p.contains('/') { p.split('/').map(id).collect::<Vec<_>>().join("/").into() } else { id(p).into() }
}

impl Reader {
    /// A run's journal in brief. `told` is given the rows that are in no sum, and the newest `listed_max` with changes
    /// of the stage and with choices by confidence.
    ///
    /// # Errors
    /// When there is no such run, or a row cannot be read.
    pub fn brief(
        &self,
        run_id: &str,
        listed_max: usize,
        mut told: impl FnMut(Told),
    ) -> Result<Sums, ReadError> {
        let (mut looked, mut from) = (Looked::default(), Some(0));
        while let Some(begin) = from {
            from = self.read(|connection| self.look(connection, run_id, begin, listed_max, &mut looked))?;
        }
        let Looked { sums, rare, stages, routes, outputs } = looked;
        let mut given: BTreeMap<u64, Given> = rare.into_iter().map(|seq| (seq, Given::default())).collect();
        stages.into_iter().for_each(|(seq, _)| given.entry(seq).or_default().stages = true);
        routes.into_iter().for_each(|(seq, _)| given.entry(seq).or_default().routes = true);
        let mut given = given.into_iter().peekable();
        while given.peek().is_some() {
            self.read(|connection| {
                for (seq, Given { stages, routes }) in given.by_ref().take(PAGE_ROWS as usize) {
                    let Some(row) = self.whole_row(connection, run_id, seq)? else { continue };
                    if stages || routes {
                        told(Told::Listed { row, stages, routes });
                        continue;
                    }
                    for seq in named(&row, &outputs) {
                        if let Some(row) = self.whole_row(connection, run_id, seq)? {
                            told(Told::Named(row));
                        }
                    }
                    told(Told::Row(row));
                }
                Ok::<_, ReadError>(())
            })?;
        }
        Ok(sums)
    }

    /// Looks a page through; where the next one begins.
    fn look(
        &self,
        connection: &Connection,
        run_id: &str,
        from: u64,
        listed_max: usize,
        looked: &mut Looked,
    ) -> Result<Option<u64>, ReadError> {
        let sql = |error| self.error(error);
        let run: Option<i64> = connection
            .prepare_cached("SELECT id FROM runs WHERE run_id = ?1")
            .and_then(|mut statement| statement.query_row([run_id], |row| row.get(0)).optional())
            .map_err(sql)?;
        let run =
            run.ok_or_else(|| ReadError::NotFound(format!("there is no run {run_id} in this store")))?;
        let mut statement = connection
            .prepare_cached(
                "SELECT seq, at, events FROM journal WHERE run = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
            )
            .map_err(sql)?;
        let mut rows = statement.query(params![run, signed(from), PAGE_ROWS]).map_err(sql)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(sql)? {
            let seq = unsigned(row.get(0).map_err(sql)?);
            let text = row.get_ref(2).map_err(sql)?.as_bytes().unwrap_or_default();
            let looked = std::str::from_utf8(text)
                .map_err(|_| "it is not text".to_owned())
                .and_then(|text| looked.row(seq, row.get(1).unwrap_or(0), text, listed_max));
            looked.map_err(|problem| {
                ReadError::Damaged(format!("run {run_id} cannot be read at event {seq}: {problem}"))
            })?;
            count += 1;
        }
        Ok((count == PAGE_ROWS).then_some(looked.sums.events))
    }

    fn whole_row(
        &self,
        connection: &Connection,
        run_id: &str,
        seq: u64,
    ) -> Result<Option<HistoryRow>, ReadError> {
        let found: Option<(i64, i64, String)> = connection
            .prepare_cached(
                "SELECT j.pos, j.at, j.events FROM journal j JOIN runs r ON r.id = j.run \
                 WHERE r.run_id = ?1 AND j.seq = ?2",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![run_id, signed(seq)], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                    })
                    .optional()
            })
            .map_err(|error| self.error(error))?;
        // A run that was deleted meanwhile has nothing more to tell.
        let Some((pos, at, text)) = found else { return Ok(None) };
        let row = HistoryRow { pos, run_id: run_id.to_owned(), seq, at: Timestamp(at), events: Vec::new() };
        let decoded = codec::decode(&text, |digest| load_blob(connection, digest));
        let events = decoded.map_err(|error| unreadable(&row, error))?;
        Ok(Some(HistoryRow { events, ..row }))
    }
}

/// The earlier rows with the outputs that a row names.
fn named(row: &HistoryRow, outputs: &HashMap<String, u64>) -> Vec<u64> {
    let mut events = row.events.clone();
    let payloads = events.iter_mut().flat_map(Event::payloads_mut);
    let mut rows: Vec<u64> = payloads
        .filter_map(|payload| match payload {
            Payload::Output(path) => outputs.get(&path.to_string()).copied(),
            _ => None,
        })
        .filter(|seq| *seq < row.seq)
        .collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}
