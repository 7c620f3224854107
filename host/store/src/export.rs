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

use std::collections::BTreeSet;
use std::io::{self, Write};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use crate::codec::hex;
use crate::effect_apply::unsigned;
use crate::open_run::{From, OpenRunError};
use crate::reader::{ReadError, Reader};

/// The version this host writes, and the newest that it reads.
pub(crate) const VERSION: u64 = 1;

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
}

impl<W: Write> Lines<W> {
    fn line(&mut self, text: &str) -> io::Result<()> {
        for part in [text.as_bytes(), b"\n"] {
            self.hasher.update(part);
            self.out.write_all(part)?;
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
        // Checks every row and blob; what is written below can only be more.
        let opened = self.open_run(run_id, From::Start)?;
        let mut lines = Lines { out, hasher: blake3::Hasher::new(), lines: 0 };
        let pins = &opened.pins;
        let head = json!({
            "bandstand_run": VERSION, "run_id": run_id, "workflow": pins.workflow.name, "events": opened.next_seq,
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
        self.read(|connection| rows(self, connection, run_id, opened.next_seq, &mut lines))?;
        let end = json!({ "lines": lines.lines, "sum": lines.hasher.finalize().to_hex().as_str() });
        let Lines { mut out, lines, .. } = lines;
        writeln!(out, "{}", json!({ "end": end }))?;
        out.flush()?;
        Ok(Exported { events: opened.next_seq, lines: lines + 1 })
    }
}

fn rows<W: Write>(
    reader: &Reader,
    connection: &Connection,
    run_id: &str,
    next_seq: u64,
    lines: &mut Lines<W>,
) -> Result<(), ExportError> {
    let sql = |error| ExportError::Read(reader.error(error));
    let run: Option<i64> = connection
        .query_row("SELECT id FROM runs WHERE run_id = ?1", [run_id], |row| row.get(0))
        .optional()
        .map_err(sql)?;
    let Some(run) = run else { return Err(OpenRunError::Unknown(run_id.to_owned()).into()) };
    let mut statement = connection
        .prepare(
            "SELECT lower(hex(b.digest)), b.bytes FROM blob_refs r JOIN blobs b ON b.digest = r.digest WHERE r.run = ?1 \
             ORDER BY b.digest",
        )
        .map_err(sql)?;
    let mut blobs = statement.query([run]).map_err(sql)?;
    let mut known = BTreeSet::new();
    while let Some(row) = blobs.next().map_err(sql)? {
        let digest: String = row.get(0).map_err(sql)?;
        let bytes: Vec<u8> = row.get(1).map_err(sql)?;
        if known.insert(digest.clone()) {
            lines.line(&format!(
                r#"{{"blob":{{"digest":"{digest}","value":{}}}}}"#,
                String::from_utf8_lossy(&bytes)
            ))?;
        }
    }
    let mut statement = connection
        .prepare("SELECT seq, at, lower(hex(\"check\")), events FROM journal WHERE run = ?1 AND seq < ?2 ORDER BY seq")
        .map_err(sql)?;
    let mut rows = statement.query(params![run, crate::effect_apply::signed(next_seq)]).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        let (seq, at): (i64, i64) = (row.get(0).map_err(sql)?, row.get(1).map_err(sql)?);
        let (check, events): (String, String) = (row.get(2).map_err(sql)?, row.get(3).map_err(sql)?);
        lines.line(&format!(
            r#"{{"row":{{"seq":{},"at":{at},"check":"{check}","events":{events}}}}}"#,
            unsigned(seq)
        ))?;
    }
    Ok(())
}
