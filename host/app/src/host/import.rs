//! Taking in a run that another store has exported: checked whole, kept whole, and driven by nobody until somebody says
//! so, since the run may still go on where it came from.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bandstand_engine::{Graph, Run};
use bandstand_store::{DocumentKind, IMPORT_BYTES_MAX, ImportError, NotAnExport, Parcel};

use super::error::HostError;
use super::holder::Host;
use crate::driver::{Plugins, digest, stand};

impl Host {
    /// Takes an exported run in; durable when this returns its id. The file is this host's to read.
    ///
    /// # Errors
    /// When the file is not an export that this host understands and that adds up, or the run is here already.
    pub async fn import(&self, file: &Path) -> Result<String, HostError> {
        let (host, file) = (self.clone(), file.to_owned());
        tokio::task::spawn_blocking(move || host.take_in(&file)).await.map_err(|_| HostError::Closing)?
    }

    fn take_in(&self, file: &Path) -> Result<String, HostError> {
        let unread = |problem: String| HostError::NotImported { file: file.to_owned(), problem };
        let mut text = String::new();
        std::fs::File::open(file)
            .and_then(|open| open.take(IMPORT_BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(|error| unread(format!("it cannot be read: {error}")))?;
        if text.len() as u64 > IMPORT_BYTES_MAX {
            return Err(unread(format!(
                "it has more than {IMPORT_BYTES_MAX} bytes, the most that is taken in"
            )));
        }
        let mut parcel = Parcel::read(&text).map_err(|problem| unread(problem.to_string()))?;
        drop(text);
        let run = fold(&mut parcel).map_err(|problem| unread(problem.to_string()))?;
        for plugin in &parcel.plugins {
            if digest(&plugin.bytes) != plugin.digest {
                return Err(unread(format!("plugin {} is damaged; export the run again", plugin.digest)));
            }
        }
        let run_id = parcel.run_id.clone();
        if self.0.store.reader().run(&run_id)?.is_some() {
            return Err(HostError::Imported(ImportError::Known(run_id)));
        }
        for plugin in &parcel.plugins {
            Plugins::keep(self.data_dir(), &plugin.bytes)
                .map_err(|source| HostError::Plugin { plugin: plugin.digest.clone(), source })?;
        }
        self.0.store.import(parcel, stand(&run)).map_err(HostError::Imported)?;
        Ok(run_id)
    }
}

/// The run as its journal has it; the rows are used up. What it pins must be what it says.
fn fold(parcel: &mut Parcel) -> Result<Run, NotAnExport> {
    let other = |problem: String| NotAnExport::Other(problem);
    for document in &parcel.documents {
        if digest(&document.bytes) != document.digest {
            return Err(other(format!("document {} is damaged; export the run again", document.digest)));
        }
    }
    let graph = parcel.documents.iter().find(|document| document.kind == DocumentKind::Graph);
    let graph = graph.ok_or_else(|| other("its graph is missing".to_owned()))?;
    let graph: Graph = serde_json::from_slice(&graph.bytes)
        .map_err(|error| other(format!("its graph is of another version of the host: {error}")))?;
    let rows = std::mem::take(&mut parcel.rows);
    let events = rows.into_iter().flat_map(|(at, events)| events.into_iter().map(move |event| (at, event)));
    Run::fold(Arc::new(graph), None, events)
        .map_err(|error| other(format!("its journal does not add up: {error}")))
}
