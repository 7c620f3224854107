//! Takes an exported run in: the file is read and checked whole before anything is written, and what is written is
//! written in one transaction. The format is told in [`export`](crate::export).

use std::sync::mpsc::{SyncSender, sync_channel};

use bandstand_engine::event::Event;
use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::append::{Append, Document, DocumentKind, Refused, RunChange};
use crate::chain::{self, Check};
use crate::codec::{self, Blob, DecodeError};
use crate::effect::effects;
use crate::export::{PluginFile, VERSION};
use crate::outbox;
use crate::queue::{Job, JobEnd};
use crate::store::Store;
use crate::threads;
use crate::writer;

/// An exported run, read and checked: it adds up, and this host understands it.
#[derive(Debug)]
pub struct Parcel {
    /// The run.
    pub run_id: String,
    /// Its workflow's name.
    pub workflow: String,
    /// What it pins.
    pub documents: Vec<Document>,
    /// Its plugins.
    pub plugins: Vec<PluginFile>,
    /// Its journal, blobs back in their places; by rows.
    pub rows: Vec<(Timestamp, Vec<Event>)>,
    blobs: Vec<Blob>,
    appends: Vec<Append>,
}

/// The file is not an exported run that this host can take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnExport {
    /// Something else.
    #[error("it is no exported run: {0}")]
    Other(String),
    /// A newer format.
    #[error(
        "it is of version {found} of the format, this host reads up to {VERSION}; use the newer host that wrote it"
    )]
    Newer {
        /// Its version.
        found: u64,
    },
    /// Events of a newer host.
    #[error("its event `{event}` at {seq} is not known here: {problem}; use the newer host that wrote it")]
    NewerEvents {
        /// The row's first event.
        seq: u64,
        /// The event's type.
        event: String,
        /// What the parser said.
        problem: String,
    },
    /// It is not as it was written.
    #[error("it is damaged, line {line}: {what}; export the run again")]
    Damaged {
        /// From 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
}

/// Why a run was not taken in. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is here.
    #[error("run {0} is in this store already; nothing was changed")]
    Known(String),
    /// The run has not ended and writes its thread; so does another one that is here.
    #[error(
        "run {run_id} has not ended and writes thread `{thread_id}`, which run {holder} writes here; end that one first \
         (bandstand runs cancel {holder}), or export the run when it has ended"
    )]
    ThreadHeld {
        /// The run.
        run_id: String,
        /// The thread.
        thread_id: String,
        /// The run that is here.
        holder: String,
    },
    /// The store is behind, was closed or has failed.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Parcel {
    /// Reads and checks an export.
    ///
    /// # Errors
    /// When the text is anything but a whole export that adds up.
    pub fn read(text: &str) -> Result<Parcel, NotAnExport> {
        let mut lines = text.lines();
        let head: Value = lines
            .next()
            .and_then(|line| serde_json::from_str(line).ok())
            .ok_or_else(|| NotAnExport::Other("its first line is no JSON".to_owned()))?;
        match head.get("bandstand_run").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(found) => return Err(NotAnExport::Newer { found }),
            None => return Err(NotAnExport::Other("its first line has no `bandstand_run`".to_owned())),
        }
        check_end(text)?;
        let run_id = head.get("run_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut parcel = Parcel {
            workflow: head.get("workflow").and_then(Value::as_str).unwrap_or_default().to_owned(),
            documents: Vec::new(),
            plugins: Vec::new(),
            rows: Vec::new(),
            blobs: Vec::new(),
            appends: Vec::new(),
            run_id,
        };
        let mut check = chain::genesis(&parcel.run_id);
        for (index, line) in lines.enumerate() {
            parcel.line(line, &mut check).map_err(|problem| match problem {
                LineProblem::Damaged(what) => NotAnExport::Damaged { line: index as u64 + 2, what },
                LineProblem::Newer(error) => error,
            })?;
        }
        match parcel.rows.first().and_then(|(_, events)| events.first()) {
            Some(Event::RunStarted(started)) if started.run_id == parcel.run_id => Ok(parcel),
            _ => Err(NotAnExport::Other(format!("its journal does not begin run {}", parcel.run_id))),
        }
    }

    fn line(&mut self, line: &str, check: &mut Check) -> Result<(), LineProblem> {
        // What is summed as it stands is taken as it stands: rows and blobs are cut out, not written anew.
        if let Some(rest) = line.strip_prefix(r#"{"row":"#) {
            return self.row(rest, check);
        }
        if let Some(rest) = line.strip_prefix(r#"{"blob":"#) {
            let (head, value) = cut(rest, r#","value":"#)?;
            let digest = text(&head, "digest")?;
            let digest = codec::unhex(digest).ok_or_else(|| damaged("a blob without a digest"))?;
            if *blake3::hash(value.as_bytes()).as_bytes() != digest {
                return Err(damaged("a value does not have the digest of its name"));
            }
            self.blobs.push(Blob { digest, bytes: value.as_bytes().to_vec() });
            return Ok(());
        }
        let value: Value =
            serde_json::from_str(line).map_err(|error| damaged(&format!("no JSON: {error}")))?;
        if let Some(document) = value.get("document") {
            let kind = match text(document, "kind")? {
                "source" => DocumentKind::Source,
                "graph" => DocumentKind::Graph,
                other => return Err(damaged(&format!("a document of kind `{other}`"))),
            };
            let bytes = text(document, "text")?.as_bytes().to_vec();
            self.documents.push(Document { digest: text(document, "digest")?.to_owned(), kind, bytes });
        } else if let Some(plugin) = value.get("plugin") {
            let bytes = unhex_bytes(text(plugin, "hex")?)
                .ok_or_else(|| damaged("a plugin that is not hexadecimal"))?;
            self.plugins.push(PluginFile { digest: text(plugin, "digest")?.to_owned(), bytes });
        } else if value.get("end").is_none() {
            return Err(damaged("a line of no known kind"));
        }
        Ok(())
    }

    fn row(&mut self, rest: &str, check: &mut Check) -> Result<(), LineProblem> {
        let (head, events_text) = cut(rest, r#","events":"#)?;
        let number = |name: &str| head.get(name).ok_or_else(|| damaged(&format!("a row without `{name}`")));
        let seq = number("seq")?.as_u64().ok_or_else(|| damaged("a row's `seq` is no number"))?;
        let at = number("at")?.as_i64().ok_or_else(|| damaged("a row's `at` is no number"))?;
        let expected = self.appends.last().map_or(0, |append| append.seq + append.count);
        if seq != expected {
            return Err(damaged(&format!("a row begins at event {seq}, expected {expected}")));
        }
        let link = chain::link(check, seq, at, events_text.as_bytes());
        if codec::hex(&link) != text(&head, "check")? {
            return Err(damaged("the row's check does not follow from the rows before it"));
        }
        *check = link;
        let blobs = &self.blobs;
        let load = |digest: &[u8; 32]| {
            let found = blobs.iter().find(|blob| blob.digest == *digest);
            Ok::<_, std::convert::Infallible>(found.map(|blob| blob.bytes.clone()))
        };
        let whole = codec::decode(events_text, load).map_err(|error| match error {
            DecodeError::Unknown(event, problem) => {
                LineProblem::Newer(NotAnExport::NewerEvents { seq, event, problem })
            }
            DecodeError::NotEvents(what) | DecodeError::Blob(what) => damaged(&what),
        })?;
        // Effects are those of the row as it stands, as `rebuild` sees it.
        let bare = codec::parse(events_text).map_err(|_| damaged("the row does not read"))?;
        self.appends.push(Append {
            run_id: self.run_id.as_str().into(),
            seq,
            at: Timestamp(at),
            events: events_text.to_owned(),
            count: whole.len() as u64,
            blobs: Vec::new(),
            effects: effects(&bare),
            kept: Vec::new(),
            change: None,
            documents: Vec::new(),
        });
        self.rows.push((Timestamp(at), whole));
        Ok(())
    }
}

enum LineProblem {
    Damaged(String),
    Newer(NotAnExport),
}

fn damaged(what: &str) -> LineProblem {
    LineProblem::Damaged(what.to_owned())
}

/// The members before `key`, and the value after it as it stands. The line ends in `}}`.
fn cut<'a>(rest: &'a str, key: &str) -> Result<(Value, &'a str), LineProblem> {
    let (head, value) = rest.split_once(key).ok_or_else(|| damaged(&format!("no {key}")))?;
    let value = value.strip_suffix("}}").ok_or_else(|| damaged("the line was cut off"))?;
    let head =
        serde_json::from_str(&format!("{head}}}")).map_err(|error| damaged(&format!("no JSON: {error}")))?;
    Ok((head, value))
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, LineProblem> {
    value.get(name).and_then(Value::as_str).ok_or_else(|| damaged(&format!("no `{name}`")))
}

fn unhex_bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?)).collect()
}

/// The last line sums the others.
fn check_end(text: &str) -> Result<(), NotAnExport> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let (before, last) = body.rsplit_once('\n').unwrap_or(("", body));
    let count = text.lines().count() as u64;
    let cut_off = || NotAnExport::Damaged {
        line: count,
        what: "the last line is missing; the file was cut off".to_owned(),
    };
    let end: Value = serde_json::from_str(last).map_err(|_| cut_off())?;
    let end = end.get("end").ok_or_else(cut_off)?;
    let summed = format!("{before}\n");
    let sum = blake3::hash(summed.as_bytes()).to_hex();
    if end.get("sum").and_then(Value::as_str) != Some(sum.as_str()) {
        let what = "the sum in it is not that of the lines before; something was changed".to_owned();
        return Err(NotAnExport::Damaged { line: count, what });
    }
    Ok(())
}

impl Store {
    /// Takes a run in: all of it, or nothing. `stand` says where it stands: the engine folds its rows, the store cannot.
    /// Its plugins are the caller's.
    ///
    /// # Errors
    /// When the store has it already, is behind, or no longer writes.
    pub fn import(&self, parcel: Parcel, stand: RunChange) -> Result<(), ImportError> {
        let (sender, receiver) = sync_channel(1);
        let job = Import { parcel, stand, refused: None, sender };
        self.push_job(Box::new(job))?;
        receiver.recv().map_err(|_| Refused::Stopped)?
    }
}

struct Import {
    parcel: Parcel,
    stand: RunChange,
    refused: Option<ImportError>,
    sender: SyncSender<Result<(), ImportError>>,
}

impl Job for Import {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        let known: Option<i64> = connection
            .prepare_cached("SELECT id FROM runs WHERE run_id = ?1")?
            .query_row(params![self.parcel.run_id], |row| row.get(0))
            .optional()?;
        self.refused = known.map(|_| ImportError::Known(self.parcel.run_id.clone()));
        if self.refused.is_some() {
            return Ok(JobEnd::Undo);
        }
        writer::insert_whole(
            connection,
            &self.parcel.appends,
            &self.parcel.blobs,
            &self.parcel.documents,
            &self.stand,
        )?;
        if let Some((thread_id, holder)) = threads::rival(connection, &self.parcel.run_id)? {
            let run_id = self.parcel.run_id.clone();
            self.refused = Some(ImportError::ThreadHeld { run_id, thread_id, holder });
            return Ok(JobEnd::Undo);
        }
        outbox::imported(connection, &self.parcel.run_id)?;
        Ok(JobEnd::KeepAndForgetRuns)
    }

    fn answer(self: Box<Self>) {
        let result = self.refused.map_or(Ok(()), Err);
        // Whoever asked may have gone.
        self.sender.send(result).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        let blobs: usize = self.parcel.blobs.iter().map(|blob| blob.bytes.len()).sum();
        self.parcel.appends.iter().map(Append::bytes).sum::<u64>() + blobs as u64
    }
}
