//! What every verb needs: where the runs are kept, how to speak, how to reach the store, the host or a server.

use std::path::{Path, PathBuf};

use bandstand_engine::Timestamp;
use bandstand_model::Models;
use bandstand_sandbox::{CallLimits, Compiler, Settings};
use bandstand_store::Reader;

use super::exit::{Exit, Failure};
use super::review::who_sits_here;
use super::site::Site;
use super::stored::{self, Store};
use super::term::out::Out;
use super::{COMPILE_CHILD, GlobalArgs};
use crate::api::{Api, TOKEN_ENV, Target, Token};
use crate::host::{Access, Drive, Durability, Host, HostOptions};
use crate::project::config::{self, Config};
use crate::project::directory::{Directory, FileError};
use crate::project::load::LoadError;
use crate::project::{models, permits, telemetry};

/// The data directory when nobody names one.
const DATA_DIR_DEFAULT: &str = ".bandstand";
/// Names a file of replies, for every verb that makes runs go on.
pub const REPLIES_ENV: &str = "BANDSTAND_REPLIES";

/// What every verb needs.
#[derive(Clone, Debug)]
pub struct Context {
    /// How to speak.
    pub out: Out,
    data_dir: PathBuf,
    api: Option<Api>,
    /// The address of the server as it was typed; none: the environment names it.
    server_typed: Option<String>,
}

impl Context {
    /// What the global options say.
    ///
    /// # Errors
    /// When they name a data directory and a server, or a server that cannot be spoken to.
    pub fn new(global: &GlobalArgs, typed: Typed, out: Out) -> Result<Context, Failure> {
        let data_dir = global.data.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR_DEFAULT));
        let given = (global.server.as_ref(), global.data.as_ref());
        let api = match given {
            (Some(_), Some(_)) if typed.server == typed.data => return Err(both()),
            // What is typed is stronger than what the environment says.
            (Some(_), Some(_)) if typed.data => None,
            (Some(server), _) => Some(api(server, global)?),
            (None, _) => None,
        };
        let server_typed = global.server.clone().filter(|_| typed.server && api.is_some());
        Ok(Context { out, data_dir, api, server_typed })
    }

    /// The server that is spoken to; none: a data directory is worked on.
    pub fn api(&self) -> Option<&Api> {
        self.api.as_ref()
    }

    /// Whether the command line itself names the server.
    pub fn is_server_typed(&self) -> bool {
        self.server_typed.is_some()
    }

    /// Where verbs read.
    ///
    /// # Errors
    /// When there is no data directory, or its store cannot be read.
    pub fn site(&self) -> Result<Site, Failure> {
        match &self.api {
            Some(api) => Ok(Site::Server(api.clone())),
            None => Ok(Site::Store(self.store(stored::open(self)?))),
        }
    }

    /// Where verbs read that have nothing to say where nothing was run; `None`: nothing was.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn site_if_there(&self) -> Result<Option<Site>, Failure> {
        match &self.api {
            Some(api) => Ok(Some(Site::Server(api.clone()))),
            None => Ok(stored::open_if_there(self)?.map(|reader| Site::Store(self.store(reader)))),
        }
    }

    fn store(&self, reader: Reader) -> Store {
        Store { reader, data_dir: self.data_dir.clone() }
    }

    /// In whose name something is done: whoever is named, or who sits here. Empty: whose the token is, which only the server
    /// knows.
    pub fn who(&self, named: Option<&String>) -> String {
        let of_token = self.api.as_ref().is_some_and(Api::has_token);
        named.cloned().unwrap_or_else(|| if of_token { String::new() } else { who_sits_here() })
    }

    /// Where runs are kept.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The `--data DIR` or `--server URL` that further commands need to find the same runs; empty when they would anyway.
    pub fn data_option(&self) -> String {
        if self.api.is_some() {
            let server = self.server_typed.as_ref();
            return server.map_or(String::new(), |server| format!(" --server {}", shell_word(server)));
        }
        let by_env = std::env::var_os("BANDSTAND_DATA").is_some_and(|dir| Path::new(&dir) == self.data_dir);
        if by_env || self.data_dir == Path::new(DATA_DIR_DEFAULT) {
            String::new()
        } else {
            format!(" --data {}", shell_word(&self.data_dir.to_string_lossy()))
        }
    }

    /// Takes the data directory, or reaches whoever holds it, or the server.
    pub async fn access(&self, config: Option<&Config>, drive: Drive) -> Result<Access, Failure> {
        if let Some(api) = &self.api {
            return Ok(Access::at(api.clone()));
        }
        self.access_with(config, drive, self.models(config, None, None)?).await
    }

    /// As [`Context::access`], with these models.
    pub async fn access_with(
        &self,
        config: Option<&Config>,
        drive: Drive,
        models: Models,
    ) -> Result<Access, Failure> {
        Ok(Access::open(self.options(config, drive, models)?).await?)
    }

    /// Takes the data directory; there must be no other holder.
    pub async fn hold(&self, config: Option<&Config>, drive: Drive) -> Result<Host, Failure> {
        Ok(Host::open(self.options(config, drive, self.models(config, None, None)?)?).await?)
    }

    fn options(&self, config: Option<&Config>, drive: Drive, models: Models) -> Result<HostOptions, Failure> {
        let mut options = HostOptions::new(&self.data_dir);
        options.drive = drive;
        options.compiler = Some(compiler(config));
        options.models = models;
        options.retention = config.map(|config| config.retention.rules()).unwrap_or_default();
        options.limits.quarantine = config.map(|config| config.quarantine.settings()).unwrap_or_default();
        options.durability = match config.map(|config| config.durability).unwrap_or_default() {
            config::Durability::Full => Durability::Full,
            config::Durability::Process => Durability::Process,
        };
        options.outgoing = config.map(Config::outgoing).unwrap_or_default();
        options.notify = config.map(Config::notify).unwrap_or_default();
        options.lending = permits::lending(config);
        options.sandbox = sandbox_settings(config);
        options.attempt = attempt_limits(config);
        options.otlp = telemetry::otlp(config).map_err(|error| {
            Failure::usage(error)
                .help("see [telemetry] in bandstand.toml; without `otlp` there are no traces")
        })?;
        Ok(options)
    }

    /// The models that the settings describe. Files of replies that the command names stand in for them, or those that the
    /// environment does.
    pub fn models(
        &self,
        config: Option<&Config>,
        replies: Option<&Path>,
        record: Option<&Path>,
    ) -> Result<Models, Failure> {
        let by_env = std::env::var_os(REPLIES_ENV).filter(|file| !file.is_empty() && record.is_none());
        let replies = replies.or(by_env.as_ref().map(Path::new));
        models::models(config, replies, record).map_err(|error| {
            Failure::usage(error).help("a file of replies is written by: bandstand run FILE --record FILE")
        })
    }

    /// The settings of the working directory, for verbs that name no workflow file. A server has its own.
    pub fn config_here(&self) -> Result<Option<Config>, Failure> {
        if self.api.is_some() {
            return Ok(None);
        }
        Ok(Directory::at(Path::new("."))?.config)
    }
}

/// Which of the global options stand on the command line itself, not in the environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// `--data`.
    pub data: bool,
    /// `--server`.
    pub server: bool,
}

fn both() -> Failure {
    let what = "--server and --data are both given: a command works on a data directory of this machine, or asks a server";
    Failure::usage(what).help(
        "leave one of them out; a server that holds a data directory of this machine is found by that alone",
    )
}

fn api(server: &str, global: &GlobalArgs) -> Result<Api, Failure> {
    let token = Token::find(global.token_file.as_deref()).map_err(|problem| {
        Failure::usage(problem)
            .help(format!("a file with the token alone in it, or the token in the variable {TOKEN_ENV}"))
    })?;
    let target = Target {
        url: server.to_owned(),
        token,
        ca_file: global.ca_file.clone(),
        token_in_clear: global.token_in_clear,
    };
    Api::new(target).map_err(Failure::usage)
}

/// What compiles plugins: this program again, within the bounds that the operator sets.
pub fn compiler(config: Option<&Config>) -> Compiler {
    let bounds = config.map(|config| config.compile).unwrap_or_default();
    let mut compiler = Compiler::of_this_program([COMPILE_CHILD]);
    compiler.memory_bytes_max = bounds.memory.unwrap_or(compiler.memory_bytes_max);
    compiler.wall_ms_max = bounds.time.unwrap_or(compiler.wall_ms_max);
    compiler
}

/// The sandbox as the operator sets it, without folders of its own.
pub fn sandbox_settings(config: Option<&Config>) -> Settings {
    let default = Settings { compiler: Some(compiler(config)), ..Settings::default() };
    let Some(config) = config else { return default };
    let cache_bytes_max = config.compile.cache.unwrap_or(default.cache_bytes_max);
    Settings { cache_bytes_max, ..config.host.apply(default) }
}

/// The limits of an attempt as far as the operator alone sets them; the others are the defaults.
pub fn attempt_limits(config: Option<&Config>) -> CallLimits {
    config.map_or_else(CallLimits::default, |config| config.limits.apply(CallLimits::default()))
}

/// A runtime for the verbs that reach a host.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = crate::host::runtime()
        .map_err(|error| Failure::other(format!("cannot start the threads of the host: {error}")))?;
    let done = runtime.block_on(work);
    // A thread may still wait for a person to type; nobody waits for that thread.
    runtime.shutdown_background();
    done
}

/// Waits until this process is told to end: by Ctrl-C, or by the signal that service managers, containers and shutdowns
/// send first. Both leave the runs in order. Told once more, the process ends at once: closing may take longer than
/// whoever waits for it wants, and the journal survives that, too. It listens from this call on, before it is polled.
pub fn told_to_end() -> impl Future<Output = ()> {
    let told = signal_to_end();
    async {
        told.await;
        let again = signal_to_end();
        tokio::spawn(async {
            again.await;
            std::process::exit(i32::from(Exit::Interrupted.code()));
        });
    }
}

fn signal_to_end() -> impl Future<Output = ()> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    // Without a handler a signal ends the process as it always did: the journal survives that, too.
    let (interrupt, terminate) = (signal(SignalKind::interrupt()).ok(), signal(SignalKind::terminate()).ok());
    async fn heard(signal: Option<Signal>) {
        match signal {
            Some(mut signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
    async {
        tokio::select! {
            () = heard(interrupt) => {}
            () = heard(terminate) => {}
        }
    }
}

/// The time now. The one place where verbs read the clock.
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// The text as one word of a shell command that people may copy.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Failure {
        let help = config_help(&error);
        Failure::usage(error).help(help)
    }
}

fn config_help(error: &config::Error) -> &'static str {
    match error {
        config::Error::Read { .. } => "see that the file and its folder are there and that you may read them",
        config::Error::TooLarge { .. } => "it holds settings and grants only; take out what is neither",
        config::Error::Invalid { .. }
        | config::Error::Environment { .. }
        | config::Error::Together { .. } => "all settings, with what each means: bandstand config template",
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Failure {
        Failure::usage(error)
            .help("a workflow names files by their path from its own folder, inside the project directory")
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        let help = match &error {
            LoadError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "look at the path; the workflow files here: bandstand workflow list; a first one: bandstand init hello"
            }
            LoadError::Read { source, .. } if source.kind() == std::io::ErrorKind::IsADirectory => {
                "name a file in it; those below here: bandstand workflow list"
            }
            LoadError::Read { .. } => "see that it is a file which you may read",
            LoadError::TooLarge { .. } => "keep data in files of its own, and name them in the workflow file",
            LoadError::Config(error) => return Failure::usage(error).help(config_help(error)),
            LoadError::PluginMissing { .. } => "please report it, with the workflow file",
            LoadError::Directory { .. } => "see that the directory is there, then try again",
        };
        Failure::usage(&error).help(help)
    }
}

impl From<crate::host::HostError> for Failure {
    fn from(error: crate::host::HostError) -> Failure {
        if let crate::host::HostError::Api(error) = error {
            return error.into();
        }
        Failure { exit: exit_of(error.exit_code()), what: error.to_string(), help: None }
    }
}

/// The code that hosts and servers tell.
pub(super) fn exit_of(code: u8) -> Exit {
    match code {
        2 => Exit::Usage,
        3 => Exit::NotFound,
        74 => Exit::Storage,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn words_of_a_shell_are_quoted_when_they_must_be() {
        assert_eq!(shell_word("a/b.yaml"), "a/b.yaml");
        assert_eq!(shell_word("my file"), "'my file'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
