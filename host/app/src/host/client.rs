//! The other end of the socket: the verbs of a host that another process holds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bandstand_store::{Lock, Resent, Retention};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Take};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::error::HostError;
use super::request::{
    AnswerRequest, ForkRequest, RetryRequest, Settled, SignalRequest, StartRequest, SteerRequest, Taken,
    Watched,
};
use super::socket;
use super::tidy::{Deleted, Pruned};
use super::watch::{NO_ROWS, Watch};
use super::wire::{Envelope, LINE_BYTES_MAX, PROTOCOL, Reply, Request, StartWire, line};
use crate::driver::Plugins;

/// How long a holder may say nothing. It gives a sign of life at once and every five seconds, however long the work
/// takes; one that was stopped takes connections, since the kernel does that for it, and never says anything.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Reaches the process that holds a data directory.
#[derive(Clone, Debug)]
pub struct Client {
    data_dir: PathBuf,
}

/// The lines that answer one request.
#[derive(Debug)]
pub(super) struct Replies {
    read: BufReader<Take<OwnedReadHalf>>,
    line: Vec<u8>,
    data_dir: PathBuf,
    /// Kept open: the holder serves as long as somebody listens.
    _write: OwnedWriteHalf,
}

impl Replies {
    /// The next line. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`HostError::Silent`] when the holder gives no sign of life while this waits.
    pub(super) async fn next(&mut self) -> Result<Reply, HostError> {
        loop {
            let read = tokio::time::timeout(SILENCE_MAX, self.read.read_until(b'\n', &mut self.line));
            let read = read.await.map_err(|_| silent(&self.data_dir))?;
            if read.is_err() || self.line.last() != Some(&b'\n') {
                return Err(HostError::HolderLeft);
            }
            let reply = serde_json::from_slice(&self.line);
            self.line.clear();
            self.read.get_mut().set_limit(LINE_BYTES_MAX);
            match reply.map_err(|error| HostError::Garbled(error.to_string()))? {
                Reply::Alive => {}
                Reply::Closing => return Err(HostError::HolderLeft),
                Reply::Error { exit_code, message } => return Err(HostError::Remote { exit_code, message }),
                Reply::Protocol { protocol } => {
                    return Err(HostError::Protocol { theirs: protocol, ours: PROTOCOL });
                }
                reply => return Ok(reply),
            }
        }
    }
}

impl Client {
    /// Reaches the holder of the directory; `None`: nobody listens there.
    pub async fn connect(data_dir: &Path) -> Option<Client> {
        socket::connect(data_dir).await.ok()?;
        Some(Client { data_dir: data_dir.to_owned() })
    }

    /// Hands a run over; it is durable when this returns its id. Its plugins are put into the data directory here.
    ///
    /// # Errors
    /// What the holder says; [`HostError::HolderLeft`] when it ended meanwhile.
    pub async fn start_run(&self, request: StartRequest) -> Result<String, HostError> {
        let data_dir = self.data_dir.clone();
        let bytes = request.plugins;
        let kept = tokio::task::spawn_blocking(move || {
            bytes.try_map(|plugin, bytes| {
                let kept = Plugins::keep(&data_dir, bytes);
                kept.map_err(|source| HostError::Plugin { plugin: plugin.to_owned(), source })
            })
        });
        let start = StartWire {
            plugins: kept.await.map_err(|_| HostError::Closing)??,
            graph: (*request.graph).clone(),
            source: request.source,
            input: request.input,
            thread_id: request.thread_id,
            user_id: request.user_id,
            request_id: request.request_id,
            seed: request.seed,
            rerun_of: request.rerun_of,
            start_at: request.start_at,
            starters: request.starters,
            linked: request.linked,
        };
        match self.ask(Request::Start(Box::new(start))).await? {
            Reply::Started(run_id) => Ok(run_id),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a run go on.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn drive(&self, run_id: &str) -> Result<(), HostError> {
        match self.ask(Request::Drive { run_id: run_id.to_owned() }).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Hands over a person's answer.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn answer(&self, answer: AnswerRequest) -> Result<Taken, HostError> {
        self.taken(Request::Answer(answer)).await
    }

    /// Sends a signal to a run.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn signal(&self, request: SignalRequest) -> Result<Taken, HostError> {
        self.taken(Request::Signal(request)).await
    }

    /// Pauses, resumes, cancels or kills a run.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn steer(&self, request: SteerRequest) -> Result<Taken, HostError> {
        self.taken(Request::Steer(request)).await
    }

    /// Deletes runs that have ended.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn delete_runs(&self, run_ids: Vec<String>) -> Result<Deleted, HostError> {
        match self.ask(Request::Delete { run_ids }).await? {
            Reply::Deleted(deleted) => Ok(deleted),
            other => Err(unexpected(&other)),
        }
    }

    /// Begins a fork; durable when this returns its id.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn fork(&self, request: ForkRequest) -> Result<String, HostError> {
        match self.ask(Request::Fork(Box::new(request))).await? {
            Reply::Started(run_id) => Ok(run_id),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes the ended runs that these rules do not keep.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn prune(&self, retention: Retention) -> Result<Pruned, HostError> {
        match self.ask(Request::Prune { retention }).await? {
            Reply::Pruned(pruned) => Ok(pruned),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts a plugin back in service.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn release_plugin(&self, digest: &str) -> Result<Taken, HostError> {
        self.taken(Request::ReleasePlugin { digest: digest.to_owned() }).await
    }

    /// Forgets what a thread keeps.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn forget_thread(&self, workflow: &str, thread_id: &str) -> Result<(), HostError> {
        let (workflow, thread_id) = (workflow.to_owned(), thread_id.to_owned());
        match self.ask(Request::ForgetThread { workflow, thread_id }).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Has notifications that were given up sent again; how many.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn resend(&self, which: Resent) -> Result<u64, HostError> {
        match self.ask(Request::Resend { which }).await? {
            Reply::Resent(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes an exported run in. The holder reads the file, by its absolute path.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn import(&self, file: &Path) -> Result<String, HostError> {
        match self.ask(Request::Import { file: file.to_owned() }).await? {
            Reply::Started(run_id) => Ok(run_id),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a failed run go on.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn retry(&self, request: RetryRequest) -> Result<Taken, HostError> {
        self.taken(Request::Retry(request)).await
    }

    /// Follows a run from that event on.
    ///
    /// # Errors
    /// When the holder cannot be reached; what it says about the run comes from [`Watch::next`].
    pub async fn watch(&self, run_id: &str, from_seq: u64) -> Result<Watch, HostError> {
        let replies = self.send(Request::Follow { run_id: run_id.to_owned(), from_seq }).await?;
        Ok(Watch::remote(run_id.into(), from_seq, replies))
    }

    /// Waits until a run has ended or only people can move it.
    ///
    /// # Errors
    /// As for [`Client::start_run`].
    pub async fn until_settled(&self, run_id: &str) -> Result<Settled, HostError> {
        let mut watch = self.watch(run_id, NO_ROWS).await?;
        loop {
            if let Watched::Settled(settled) = watch.next().await? {
                return Ok(settled);
            }
        }
    }

    async fn taken(&self, request: Request) -> Result<Taken, HostError> {
        match self.ask(request).await? {
            Reply::Taken(taken) => Ok(taken),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&self, request: Request) -> Result<Reply, HostError> {
        self.send(request).await?.next().await
    }

    async fn send(&self, request: Request) -> Result<Replies, HostError> {
        let stream = socket::connect(&self.data_dir).await.map_err(|_| HostError::HolderLeft)?;
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read.take(LINE_BYTES_MAX));
        // Its first sign of life. A holder that was stopped gets no request that it would carry out when it goes on.
        let mut hello = Vec::new();
        let heard = tokio::time::timeout(SILENCE_MAX, read.read_until(b'\n', &mut hello)).await;
        heard.map_err(|_| silent(&self.data_dir))?.map_err(|_| HostError::HolderLeft)?;
        let line = line(&Envelope { protocol: PROTOCOL, request })?;
        // A long line fills the kernel's buffer; then it waits for the holder to read.
        let written = tokio::time::timeout(SILENCE_MAX, write.write_all(line.as_bytes())).await;
        written.map_err(|_| silent(&self.data_dir))?.map_err(|_| HostError::HolderLeft)?;
        read.get_mut().set_limit(LINE_BYTES_MAX);
        Ok(Replies { read, line: Vec::new(), data_dir: self.data_dir.clone(), _write: write })
    }
}

fn silent(data_dir: &Path) -> HostError {
    let holder = Lock::holder(data_dir).ok().flatten();
    HostError::Silent {
        directory: data_dir.to_owned(),
        // A holder that has not written its name yet counts as process 0.
        pid: holder.map(|holder| holder.pid).filter(|pid| *pid != 0),
        seconds: SILENCE_MAX.as_secs(),
    }
}

fn unexpected(reply: &Reply) -> HostError {
    HostError::Garbled(format!("{reply:?}, which does not answer the request"))
}
