//! The journal, its read models, blobs and the agents' memory, in one SQLite file.
//!
//! A [`Store`] owns the file: one thread writes, in groups, and answers when what it wrote is durable. A [`Reader`]
//! reads, from this process or another. What is written first is the journal, one row for each decision of a run; every
//! other table about runs follows from it ([`effects`]) and changes in the same transaction. The crate decides nothing
//! about a run: it neither folds events nor knows graphs, plugins, HTTP or tokio.
//!
//! Where to look: what is written [`append`], how it is committed `writer`, how a run is opened again [`open_run`], or read row by
//! row [`run_rows`],
//! lists and pages [`runs`], [`reviews`], [`routing`], [`history`], long journals in brief [`brief`], where a run comes from [`links`], whether what is
//! stored of a run follows from its journal [`compare`], runs as files [`export`] and [`import`], what agents keep
//! [`memory`], who is notified of what [`outbox`], replies that are used again [`kept`], deleting runs [`delete`], which ones go [`retention`], one host for each directory [`lock`], attempts
//! that a crash cut off [`inflight`].

pub mod append;
mod backup;
mod breakers;
pub mod brief;
mod chain;
mod checkpoint;
pub mod codec;
pub mod compare;
pub mod delete;
mod effect;
mod effect_apply;
pub mod export;
pub mod history;
pub mod import;
pub mod inflight;
pub mod kept;
pub mod links;
pub mod lock;
mod log_room;
pub mod memory;
mod open;
pub mod open_run;
pub mod outbox;
mod owner;
mod pins;
mod place;
mod queue;
mod reader;
mod rebuild;
pub mod retention;
pub mod reviews;
pub mod routing;
pub mod run_rows;
pub mod runs;
mod schedules;
mod schema;
mod snapshot;
mod store;
pub mod threads;
mod upgrade;
mod writer;

pub use append::{Append, AppendError, Appended, Document, DocumentKind, Refused, RunChange, RunStatus};
pub use backup::BackupError;
pub use breakers::KeptBreaker;
pub use brief::{NodeSums, Sums, Told, ToolSums, add_tools};
pub use codec::{Blob, Encoded, encode};
pub use compare::Difference;
pub use delete::{Deletion, Shrunk, Swept};
pub use effect::{Effect, effects};
pub use export::{ExportError, Exported, IMPORT_BYTES_MAX, PluginFile};
pub use history::{HistoryPage, HistoryRow};
pub use import::{ImportError, NotAnExport, Parcel};
pub use inflight::{InFlight, InFlightError, Mark};
pub use kept::{CacheLimits, KeptReply};
pub use links::{Link, LinkKind, Links};
pub use lock::{Holder, Lock, LockError, LockPlace};
pub use memory::{
    AuditEntry, AuditRecord, Fact, FactHit, FactQuery, MemoryError, MemoryLimits, Scope, SearchMode,
};
pub use open::{Durability, OnFatal, OpenError, Options};
pub use open_run::{From, OpenRunError, OpenedRun, Pins, StoredSnapshot};
pub use outbox::{Delivery, DeliveryEnd, EndpointState, NewDelivery, Notable, NotablePage, Parent, Resent};
pub use reader::{ReadError, Reader};
pub use rebuild::{RebuildError, Rebuilt};
pub use retention::{Because, Chooser, Going, Keep, Retention, Rule};
pub use reviews::{ReviewDetail, ReviewFilter, ReviewRow};
pub use routing::RouteStats;
pub use run_rows::RunRows;
pub use runs::{FindError, RunFilter, RunPage, RunRow};
pub use schedules::KeptSchedule;
pub use store::{Fatal, Health, Stats, Store};
pub use threads::{
    Forgotten, KeptThread, KeptValue, RunLease, ThreadKey, ThreadRuns, Writer as ThreadWriter,
};

/// The data file's name in the data directory.
pub const FILE_NAME: &str = "bandstand.db";
