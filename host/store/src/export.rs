//! A run as one file that another store can take in: its journal row by row as it stands, the large values that rows
//! name, the workflow's text and graph, the plugins.
//!
//! # The format, version 1
//!
//! UTF-8 text, one JSON object a line (NDJSON), so that a person can look inside with any tool. Lines in this order:
//!
//! | line | says |
//! | --- | --- |
//! | `{"bandstand_run":1,"run_id":..,"workflow":..,"events":..,"host":..}` | format version, what is in it, the host that wrote it |
//! | `{"document":{"digest":..,"kind":"source"\|"graph","text":..}}` | the workflow file, the checked graph |
//! | `{"plugin":{"digest":"sha256:..","hex":..}}` | a plugin's bytes, two hexadecimal digits each |
//! | `{"blob":{"digest":..,"value":..}}` | a large value, by the BLAKE3 of its JSON exactly as it stands here |
//! | `{"row":{"seq":..,"at":..,"check":..,"events":[..]}}` | a row of the journal; `check` chains the rows, over `events` exactly as they stand here |
//! | `{"end":{"lines":..,"sum":..}}` | how many lines came before, and the BLAKE3 of all their bytes |
//!
//! A file without its last line was cut off. Versions only grow; a newer one is refused.

use std::io::{self, Write};

use rusqlite::{Connection, params};
use serde_json::json;

use crate::codec::hex;
use crate::effect_apply::{signed, unsigned};
use crate::open_run::OpenRunError;
use crate::reader::{ReadError, Reader};

/// The version this host writes, and the newest that it reads.
pub(crate) const VERSION: u64 = 1;

/// The largest file that is taken in. Bytes. Reading one takes some times its size of memory.
pub const IMPORT_BYTES_MAX: u64 = 512 << 20;

/// Bytes of lines of a page, beyond which no line is added.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// A plugin's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFile {
    /// As runs pin it.
    pub digest: String,
    /// The component.
    pub bytes: Vec<u8>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Events.
    pub events: u64,
    /// Lines.
    pub lines: u64,
    /// Bytes; above [`IMPORT_BYTES_MAX`] no host takes it in.
    pub bytes: u64,
}

/// Why a run was not written, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The run cannot be trusted or understood: it is not passed on.
    #[error(transparent)]
    Run(#[from] OpenRunError),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file cannot be written.
    #[error("the export cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Counts lines and sums their bytes on the way.
struct Lines<W> {
    out: W,
    hasher: blake3::Hasher,
    lines: u64,
    bytes: u64,
}

impl<W: Write> Lines<W> {
    fn line(&mut self, text: &str) -> io::Result<()> {
        for part in [text.as_bytes(), b"\n"] {
            self.hasher.update(part);
            self.out.write_all(part)?;
            self.bytes += part.len() as u64;
        }
        self.lines += 1;
        Ok(())
    }
}

impl Reader {
    /// Writes a run as it stands now. A run that goes on is written up to its latest row.
    ///
    /// # Errors
    /// When there is no such run, its journal cannot be trusted, or `out` does not take it.
    pub fn export(
        &self,
        run_id: &str,
        plugins: &[PluginFile],
        out: impl Write,
    ) -> Result<Exported, ExportError> {
        // Checks every row and value; what is written below can only be more.
        let mut checked = self.run_rows(run_id)?;
        let (mut row_count, mut event_count) = (0_u64, 0_u64);
        for row in checked.by_ref() {
            row_count += 1;
            event_count += row?.events.len() as u64;
        }
        let mut lines = Lines { out, hasher: blake3::Hasher::new(), lines: 0, bytes: 0 };
        let pins = checked.pins();
        let head = json!({
            "bandstand_run": VERSION, "run_id": run_id, "workflow": pins.workflow.name, "events": event_count,
            "host": env!("CARGO_PKG_VERSION"),
        });
        lines.line(&head.to_string())?;
        let documents =
            [("source", &pins.workflow.source, &pins.source), ("graph", &pins.workflow.graph, &pins.graph)];
        for (kind, digest, text) in documents {
            if let Some(text) = text {
                let document = json!({ "digest": digest, "kind": kind, "text": text });
                lines.line(&json!({ "document": document }).to_string())?;
            }
        }
        for plugin in plugins {
            lines.line(&format!(
                r#"{{"plugin":{{"digest":{},"hex":"{}"}}}}"#,
                json!(plugin.digest),
                hex(&plugin.bytes)
            ))?;
        }
        let run = checked.run();
        self.pages(run_id, run, &mut lines, Vec::new(), blobs)?;
        if self.pages(run_id, run, &mut lines, 0, |connection, run, from| {
            rows(connection, run, from, event_count)
        })? != row_count
        {
            return Err(OpenRunError::Unknown(run_id.to_owned()).into());
        }
        let end = json!({ "lines": lines.lines, "sum": lines.hasher.finalize().to_hex().as_str() });
        lines.line(&json!({ "end": end }).to_string())?;
        lines.out.flush()?;
        Ok(Exported { events: event_count, lines: lines.lines, bytes: lines.bytes })
    }
}

/// Some lines, and where the next page begins; none: there is no more.
type Page<A> = (Vec<String>, Option<A>);

impl Reader {
    /// Reads page by page and writes between the pages: nobody waits for whoever takes the lines. How many there were.
    fn pages<A>(
        &self,
        run_id: &str,
        run: i64,
        lines: &mut Lines<impl Write>,
        first: A,
        page: impl Fn(&Connection, i64, &A) -> rusqlite::Result<Page<A>>,
    ) -> Result<u64, ExportError> {
        let (mut from, mut count) = (Some(first), 0);
        while let Some(begin) = from {
            let (texts, next) = self.read(|connection| {
                let sql = |error| ExportError::Read(self.error(error));
                let known: bool = connection
                    .prepare_cached("SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?1 AND run_id = ?2)")
                    .and_then(|mut statement| statement.query_row(params![run, run_id], |row| row.get(0)))
                    .map_err(sql)?;
                if !known {
                    return Err(OpenRunError::Unknown(run_id.to_owned()).into());
                }
                page(connection, run, &begin).map_err(sql)
            })?;
            for text in texts {
                lines.line(&text)?;
                count += 1;
            }
            from = next;
        }
        Ok(count)
    }
}

/// The large values whose digests are above `after`.
fn blobs(connection: &Connection, run: i64, after: &Vec<u8>) -> rusqlite::Result<Page<Vec<u8>>> {
    let mut statement = connection.prepare_cached(
        "SELECT b.digest, b.bytes FROM blob_refs r JOIN blobs b ON b.digest = r.digest \
         WHERE r.run = ?1 AND r.digest > ?2 ORDER BY r.digest",
    )?;
    let mut blobs = statement.query(params![run, after])?;
    let (mut lines, mut last, mut bytes) = (Vec::new(), None, 0);
    while bytes < PAGE_BYTES_MAX
        && let Some(row) = blobs.next()?
    {
        let digest: Vec<u8> = row.get(0)?;
        let value: Vec<u8> = row.get(1)?;
        let line = format!(
            r#"{{"blob":{{"digest":"{}","value":{}}}}}"#,
            hex(&digest),
            String::from_utf8_lossy(&value)
        );
        bytes += line.len();
        lines.push(line);
        last = Some(digest);
    }
    Ok((lines, last))
}

/// The rows that begin at event `from` or later, and before event `to`.
fn rows(connection: &Connection, run: i64, from: &i64, to: u64) -> rusqlite::Result<Page<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, at, \"check\", events FROM journal WHERE run = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq",
    )?;
    let mut rows = statement.query(params![run, from, signed(to)])?;
    let (mut lines, mut next, mut bytes) = (Vec::new(), None, 0);
    while bytes < PAGE_BYTES_MAX
        && let Some(row) = rows.next()?
    {
        let (seq, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (check, events): (Vec<u8>, String) = (row.get(2)?, row.get(3)?);
        let line = format!(
            r#"{{"row":{{"seq":{},"at":{at},"check":"{}","events":{events}}}}}"#,
            unsigned(seq),
            hex(&check)
        );
        bytes += line.len();
        lines.push(line);
        next = Some(seq + 1);
    }
    Ok((lines, next))
}
