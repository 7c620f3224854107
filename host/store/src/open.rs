//! Opening the file: checks of place and version, and the settings of each kind of connection.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::kept::CacheLimits;
use crate::memory::MemoryLimits;
use crate::place;
use crate::schema;
use crate::store::Fatal;

/// What survives what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// What is answered survives the loss of power.
    #[default]
    Full,
    /// What is answered survives the death of the process, not of the machine.
    Process,
}

/// Is told of a [`Fatal`] failure, on the writer's thread.
pub type OnFatal = Arc<dyn Fn(&Fatal) + Send + Sync>;

/// How a store is opened. `Options::default()` is what a host uses.
#[derive(Clone)]
pub struct Options {
    /// `store.durability`.
    pub durability: Durability,
    /// `store.queue-bytes`: while so much waits, whatever begins something is refused. Default 64 MiB.
    pub queue_bytes_max: u64,
    /// `store.free-bytes`: with less free space nothing should be begun. Default 256 MiB.
    pub free_bytes_min: u64,
    /// `store.wal-bytes`: above it the writer starts the log again. Default 16 MiB.
    pub wal_bytes_max: u64,
    /// Longest transaction of a reader. Default 5 s.
    pub read_time_max: Duration,
    /// How long a full disk is left alone before the same rows are offered again. Default 1 s.
    pub full_retry: Duration,
    /// Told once when a commit has an unknown outcome: the process must end (exit code 74) and read the file again.
    pub on_fatal: Option<OnFatal>,
    /// Limits of what agents keep.
    pub memory: MemoryLimits,
    /// Limits of the replies that are kept.
    pub cache: CacheLimits,
    /// The name of another SQLite VFS, for tests.
    pub vfs: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: Durability::Full,
            queue_bytes_max: 64 << 20,
            free_bytes_min: 256 << 20,
            wal_bytes_max: 16 << 20,
            read_time_max: Duration::from_secs(5),
            full_retry: Duration::from_secs(1),
            on_fatal: None,
            memory: MemoryLimits::default(),
            cache: CacheLimits::default(),
            vfs: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("durability", &self.durability)
            .field("vfs", &self.vfs)
            .finish_non_exhaustive()
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// On a network file system.
    #[error("{} lies on {file_system}, a network file system, where the journal is not safe; choose a local directory with --data", path.display())]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// Its name.
        file_system: &'static str,
    },
    /// Nothing there, and only reading was asked for.
    #[error("there is no store in {}; `bandstand run FILE` makes one, `--data` names another directory", .0.display())]
    Missing(PathBuf),
    /// The place of the directory is taken by a file.
    #[error("{} is not a directory; name the data directory with --data", .0.display())]
    NotADirectory(PathBuf),
    /// It is there, and may not be read.
    #[error("cannot read {}: {source}; make it readable for this user, or name another data directory with --data", path.display())]
    Unreadable {
        /// The directory or a file in it.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Its log cannot be read without writing beside it.
    #[error("{} has a log that cannot be read where nothing may be written; copy the whole directory and name the copy with --data", .0.display())]
    LogNeedsWriting(PathBuf),
    /// Another program's database.
    #[error("{} is not a Bandstand store; choose another directory with --data", .0.display())]
    NotAStore(PathBuf),
    /// Written by a newer host.
    #[error("{} has schema {found}, this host reads up to {known}; use the newer host that wrote it", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Written by an older host, and only reading was asked for.
    #[error("{} has schema {found}, this host reads {known}; a host that opens it for writing brings it up to date", path.display())]
    OlderSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// SQLite.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: rusqlite::Error,
    },
    /// A thread could not be started.
    #[error("the store's thread cannot start: {0}")]
    Thread(std::io::Error),
}

/// A connection that writes; the file is made or brought up to date.
pub(crate) fn writer(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(Path::new("."));
    let io = |at: &Path| {
        let at = at.to_owned();
        move |source| OpenError::Io { path: at, source }
    };
    place::create_directory(directory).map_err(io(directory))?;
    if let Some(file_system) = place::network_file_system(directory).map_err(io(directory))? {
        return Err(OpenError::NetworkFileSystem { path: directory.to_owned(), file_system });
    }
    // SQLite gives its log the permissions of the file.
    place::private_database(path).map_err(io(path))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(path, flags, options).map_err(sqlite)?;
    let found = version(&connection, path)?;
    if found == 0 {
        // Cannot be switched on later without a rewrite of the file.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(sqlite)?;
    }
    let settle = |connection: &Connection| -> rusqlite::Result<()> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(
            None,
            "journal_size_limit",
            crate::effect_apply::signed(options.wal_bytes_max.saturating_mul(2)),
        )?;
        connection.pragma_update(
            None,
            "synchronous",
            match options.durability {
                Durability::Full => "FULL",
                Durability::Process => "NORMAL",
            },
        )?;
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        connection.busy_timeout(Duration::ZERO)
    };
    // Another process may be reading or, with `sqlite3`, writing: the first steps wait for it a while.
    connection.busy_timeout(Duration::from_secs(5)).map_err(sqlite)?;
    schema::migrate(&mut connection, found, now_ms()).map_err(sqlite)?;
    settle(&connection).map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A connection that only reads.
pub(crate) fn reader(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    place::readable_database(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(path, flags, options).map_err(sqlite)?;
    connection.busy_timeout(Duration::from_secs(1)).map_err(sqlite)?;
    let found = match version(&connection, path) {
        Err(OpenError::Sqlite { source, .. }) if place::needs_writing(path, &source) => {
            if place::has_log(path) {
                return Err(OpenError::LogNeedsWriting(path.to_owned()));
            }
            // Nothing may be made beside the file, so there is no log and nobody who writes: SQLite may take the file
            // as it is.
            connection = connect_unchanging(path, flags, options).map_err(sqlite)?;
            version(&connection, path)?
        }
        found => found?,
    };
    if found < schema::VERSION {
        return Err(OpenError::OlderSchema { path: path.to_owned(), found, known: schema::VERSION });
    }
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// A connection that only moves the log into the file. It waits for nobody.
pub(crate) fn checkpointer(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags, options)?;
    connection.busy_timeout(Duration::ZERO)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(
        None,
        "synchronous",
        match options.durability {
            Durability::Full => "FULL",
            Durability::Process => "NORMAL",
        },
    )?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags, options: &Options) -> rusqlite::Result<Connection> {
    let connection = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs.as_str()),
        None => Connection::open_with_flags(path, flags),
    }?;
    // A plan does not depend on what is bound. Else SQLite, built with statistics of values as it is here, would prepare a
    // cached statement anew for each use with other values.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// A connection to a file that nobody changes: without locks, log or shared memory.
fn connect_unchanging(path: &Path, flags: OpenFlags, options: &Options) -> rusqlite::Result<Connection> {
    let name = path.as_os_str().as_encoded_bytes();
    let mut address = String::from("file:");
    for byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                address.push(char::from(*byte))
            }
            byte => address.push_str(&format!("%{byte:02x}")),
        }
    }
    address.push_str("?immutable=1");
    connect(Path::new(&address), flags | OpenFlags::SQLITE_OPEN_URI, options)
}

/// The file's schema version; 0 for an empty file.
fn version(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = number("user_version").map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::NotAStore(path.to_owned()),
        _ => sqlite(error),
    })?;
    let application = number("application_id").map_err(sqlite)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    if application != schema::APPLICATION_ID && (tables > 0 || found != 0) {
        return Err(OpenError::NotAStore(path.to_owned()));
    }
    if found > schema::VERSION {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found, known: schema::VERSION });
    }
    Ok(found)
}

/// The wall clock, for what the store stamps by itself. Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}
