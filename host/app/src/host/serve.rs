//! The holder's end of the socket: each connection brings one request and is served by a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::error::HostError;
use super::holder::Host;
use super::request::{StartRequest, Watched};
use super::socket;
use super::uses::Uses;
use super::wire::{Envelope, LINE_BYTES_MAX, PROTOCOL, Reply, Request, StartWire, line};

/// Connections at once; the next ones wait for the kernel's queue.
const CONNECTIONS_MAX: usize = 256;
/// While there is nothing else to say, whoever asked or follows hears this often that the holder is there.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long a holder that leaves still answers what it was asked before.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Listens until it is stopped.
#[derive(Debug)]
pub(super) struct Server {
    task: AbortHandle,
    directory: std::path::PathBuf,
    answering: Answering,
}

/// How many requests are being answered. Clones are the same.
#[derive(Clone, Debug)]
struct Answering(watch::Sender<usize>);

impl Answering {
    /// One more, until this is dropped.
    fn one(&self) -> impl Drop + use<> {
        struct One(watch::Sender<usize>);
        impl Drop for One {
            fn drop(&mut self) {
                self.0.send_modify(|count| *count -= 1);
            }
        }
        self.0.send_modify(|count| *count += 1);
        One(self.0.clone())
    }

    /// Waits until there is none.
    async fn none(&self) {
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Server {
    /// Starts to listen for a host.
    pub(super) fn start(host: Host) -> Result<Server, HostError> {
        let directory = host.data_dir().to_owned();
        let listener = socket::listen(&directory)
            .map_err(|source| HostError::Socket { directory: directory.clone(), source })?;
        let answering = Answering(watch::Sender::new(0));
        let counted = answering.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                while connections.try_join_next().is_some() {}
                if connections.len() >= CONNECTIONS_MAX {
                    connections.join_next().await;
                }
                match listener.accept().await {
                    Ok((stream, _)) => {
                        connections.spawn(serve(host.clone(), stream, counted.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the socket took no connection; next try in a moment");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
        Ok(Server { task: task.abort_handle(), directory, answering })
    }

    /// Takes no more, and ends every connection: who followed a run takes the host's place. What was asked before is answered: else
    /// whoever asked would ask again, and be told that nothing changed by what they had changed themselves.
    pub(super) async fn stop(&self) {
        socket::remove(&self.directory);
        let _ = tokio::time::timeout(ANSWERS_WITHIN, self.answering.none()).await;
        self.task.abort();
    }
}

async fn serve(host: Host, stream: UnixStream, answering: Answering) {
    let (read, mut write) = stream.into_split();
    // Whoever asks hands nothing to a holder that says nothing: it would do it much later, with nobody waiting.
    if send(&mut write, &Reply::Alive).await.is_err() {
        return;
    }
    let mut text = String::new();
    let read = BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut text).await;
    if read.is_err() || text.is_empty() {
        return;
    }
    let mut answered = None;
    let reply = match serde_json::from_str::<Envelope>(&text) {
        Ok(Envelope { protocol, .. }) if protocol != PROTOCOL => Reply::Protocol { protocol: PROTOCOL },
        Ok(Envelope { request, .. }) => {
            let replied = match request {
                Request::Follow { run_id, from_seq } => {
                    match follow(&host, &mut write, &run_id, from_seq).await {
                        Ok(()) => return,
                        Err(error) => Err(error),
                    }
                }
                request => {
                    answered = Some(answering.one());
                    answer_alive(&host, &mut write, request).await
                }
            };
            replied.unwrap_or_else(|error| Reply::error(&error))
        }
        Err(error) => {
            // Another version may write requests that do not read at all.
            let theirs = serde_json::from_str::<serde_json::Value>(&text).ok();
            let theirs = theirs.and_then(|value| value.get("protocol")?.as_u64());
            if theirs.is_some_and(|theirs| theirs != u64::from(PROTOCOL)) {
                Reply::Protocol { protocol: PROTOCOL }
            } else {
                Reply::error(&HostError::Garbled(error.to_string()))
            }
        }
    };
    let _ = send(&mut write, &reply).await;
    drop(answered);
}

/// The answer; until there is one, signs of life. Compiling a plugin may take a while.
async fn answer_alive(host: &Host, write: &mut OwnedWriteHalf, request: Request) -> Result<Reply, HostError> {
    let answer = answer(host, request);
    tokio::pin!(answer);
    loop {
        match tokio::time::timeout(ALIVE_EVERY, &mut answer).await {
            Ok(answer) => return answer,
            Err(_) => {
                let _ = send(write, &Reply::Alive).await;
            }
        }
    }
}

async fn answer(host: &Host, request: Request) -> Result<Reply, HostError> {
    Ok(match request {
        Request::Start(start) => {
            let (request, digests) = start_request(*start);
            Reply::Started(host.start_pinned(request, digests).await?)
        }
        Request::Drive { run_id } => {
            host.drive(&run_id).await?;
            Reply::Done
        }
        Request::Answer(answer) => Reply::Taken(host.answer(answer).await?),
        Request::Signal(request) => Reply::Taken(host.signal(request).await?),
        Request::Steer(request) => Reply::Taken(host.steer(request).await?),
        Request::Delete { run_ids } => Reply::Deleted(host.delete_runs(run_ids).await?),
        Request::Prune { retention } => Reply::Pruned(host.prune(retention).await?),
        Request::ReleasePlugin { digest } => Reply::Taken(host.release_plugin(&digest).await?),
        Request::ForgetThread { workflow, thread_id } => {
            host.forget_thread(workflow, thread_id).await?;
            Reply::Done
        }
        Request::Resend { which } => Reply::Resent(host.resend(which).await?),
        Request::Fork(request) => Reply::Started(host.fork(*request).await?),
        Request::Import { file } => Reply::Started(host.import(&file).await?),
        Request::Retry(request) => Reply::Taken(host.retry(request).await?),
        Request::Follow { .. } => Reply::Done,
    })
}

/// Ends when the follower hangs up.
async fn follow(
    host: &Host,
    write: &mut OwnedWriteHalf,
    run_id: &str,
    from_seq: u64,
) -> Result<(), HostError> {
    let mut watch = host.watch(run_id, from_seq).await?;
    loop {
        let reply = match tokio::time::timeout(ALIVE_EVERY, watch.next()).await {
            Ok(Ok(Watched::Published(row))) => Reply::Published(row),
            Ok(Ok(Watched::Live(live))) => Reply::Live(live),
            Ok(Ok(Watched::Settled(settled))) => Reply::Settled(settled),
            Ok(Err(error)) => return Err(error),
            Err(_) => Reply::Alive,
        };
        if send(write, &reply).await.is_err() {
            return Ok(());
        }
    }
}

async fn send(write: &mut OwnedWriteHalf, reply: &Reply) -> std::io::Result<()> {
    let line = line(reply).map_err(std::io::Error::other)?;
    write.write_all(line.as_bytes()).await
}

fn start_request(start: StartWire) -> (StartRequest, Uses<String>) {
    let StartWire {
        graph,
        source,
        plugins,
        input,
        thread_id,
        user_id,
        request_id,
        seed,
        rerun_of,
        start_at,
        starters,
        linked,
    } = start;
    let request = StartRequest {
        graph: Arc::new(graph),
        source,
        plugins: Uses::default(),
        input,
        thread_id,
        user_id,
        request_id,
        request_digest: None,
        start_at,
        starters,
        linked,
        seed,
        rerun_of,
    };
    (request, plugins)
}
