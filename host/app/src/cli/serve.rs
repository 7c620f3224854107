//! `bandstand serve`: holds the data directory, makes all its runs go on, and speaks HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::context::{Context, block_on, told_to_end};
use super::exit::{Exit, Failure};
use crate::host::{Drive, Host, Scheduler, Webhooks};
use crate::project::Config;
use crate::project::catalogue::{Catalogue, Pace};
use crate::project::directory::Directory;
use crate::project::load::PLUGIN_BYTES_MAX;
use crate::project::server::{
    BODY_BYTES_DEFAULT, CONNECTIONS_DEFAULT, GRACE_MS_DEFAULT, LISTEN_DEFAULT, STALLED_MS_DEFAULT,
    ServerSettings, UPLOAD_BYTES_DEFAULT,
};
use crate::server::caller::Doorkeeper;
use crate::server::feed::Feed;
use crate::server::guard::{Doors, Rate};
use crate::server::state::{AppState, Inner};
use crate::server::{listen, router};

/// What `serve` is given.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// The project: its workflow files are served, its bandstand.toml holds
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub dir: PathBuf,
    /// Where to listen [default: 127.0.0.1:7420, or what bandstand.toml says]; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
}

/// Serves until it is told to end.
pub fn execute(args: &ServeArgs, context: &Context) -> Result<Exit, Failure> {
    let config = Directory::at(&args.dir)?.config;
    let settings = config.as_ref().map(|config| config.server.clone()).unwrap_or_default();
    let tokens = config.as_ref().map(|config| config.tokens.clone()).unwrap_or_default();
    let listen = args.listen.or(settings.listen).unwrap_or(LISTEN_DEFAULT);
    if tokens.is_empty() && !listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "{listen} can be reached from other machines, and whoever reaches it could do everything: there are no tokens"
        ))
        .help("make a token first (bandstand token new NAME --role admin), or listen on 127.0.0.1"));
    }
    let folder = config.as_ref().map(|config| config.folder.clone()).unwrap_or_default();
    let tls = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => {
            Some(listen::tls(&folder.join(certificate), &folder.join(key)).map_err(|error| {
                Failure::usage(error).help("both are PEM files; paths begin at bandstand.toml")
            })?)
        }
        (None, None) => None,
        _ => {
            return Err(Failure::usage("bandstand.toml, [server]: certificate and key belong together")
                .help("name both, or neither"));
        }
    };
    let doorkeeper = Doorkeeper::new(&tokens);
    let dir = args.dir.clone();
    run(Plan { dir, config, listen, tls, settings, doorkeeper, manner: Manner::Serve }, context)
}

/// What is to be served, and how.
pub(super) struct Plan {
    pub(super) dir: PathBuf,
    pub(super) config: Option<Config>,
    pub(super) listen: SocketAddr,
    pub(super) tls: Option<tokio_rustls::TlsAcceptor>,
    pub(super) settings: ServerSettings,
    pub(super) doorkeeper: Doorkeeper,
    pub(super) manner: Manner,
}

/// Who is told what of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// The log.
    Serve,
    /// Who sits at the terminal and writes them.
    Dev,
}

/// Serves until it is told to end.
pub(super) fn run(plan: Plan, context: &Context) -> Result<Exit, Failure> {
    // Requests have threads of their own: the host's are for runs.
    let requests = tokio::runtime::Builder::new_multi_thread()
        .thread_name("http")
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("cannot start the threads of the server: {error}")))?;
    let streams = listen::threads_for_streams()
        .map_err(|error| Failure::other(format!("cannot start the threads for streams: {error}")))?;
    let served = block_on(async {
        let host = context.hold(plan.config.as_ref(), Drive::All).await?;
        let told = serve(&host, requests.handle(), streams.handle(), plan, context).await;
        let closed = host.close().await;
        told?;
        closed?;
        Ok(Exit::Succeeded)
    });
    streams.shutdown_background();
    requests.shutdown_background();
    served
}

async fn serve(
    host: &Host,
    requests: &tokio::runtime::Handle,
    streams: &tokio::runtime::Handle,
    plan: Plan,
    context: &Context,
) -> Result<(), Failure> {
    let Plan { dir, config, listen, tls, settings, doorkeeper, manner } = plan;
    let cannot = |error: std::io::Error| {
        Failure::other(format!("cannot listen on {listen}: {error}"))
            .help("see who listens there, or name another one: --listen 127.0.0.1:0 takes a free port")
    };
    let handle = requests.clone();
    let listener = {
        let _in_requests = handle.enter();
        let listener = std::net::TcpListener::bind(listen).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        TcpListener::from_std(listener).map_err(cannot)?
    };
    let address = listener.local_addr().map_err(cannot)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    // Whoever listens: what is written for them must not slow the runs they listen to.
    let feed = {
        let _in_streams = streams.enter();
        Feed::start(host.reader().clone(), host.hub())
    };
    let upload_bytes_max = settings.upload.unwrap_or(UPLOAD_BYTES_DEFAULT).min(PLUGIN_BYTES_MAX);
    let body_bytes_max = settings.body.unwrap_or(BODY_BYTES_DEFAULT);
    let served = open_catalogue(&handle, &dir, host, manner).await?;
    {
        let _in_streams = streams.enter();
        feed.tell_changes(served.subscribe());
    }
    match manner {
        Manner::Serve => tell(&served, context),
        Manner::Dev => {
            handle.spawn(super::dev::follow(served.clone(), context.clone()));
        }
    }
    let secrets = config.as_ref().map(Config::webhook_secrets).unwrap_or_default();
    let deployments = Arc::new(served.clone());
    Scheduler::spawn(host, deployments.clone());
    let state = AppState::new(Inner {
        host: host.clone(),
        served,
        webhooks: Webhooks::new(deployments, secrets),
        doorkeeper,
        doors: Doors::new(address, &settings.names, &settings.origins),
        rate: Rate::new(settings.rate.map(std::num::NonZeroU32::get)),
        metrics_for_all: settings.metrics_for_all,
        body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(usize::MAX),
        upload_bytes_max: usize::try_from(upload_bytes_max).unwrap_or(usize::MAX),
        feed,
        streams: streams.clone(),
    });
    let (stop, stopped) = watch::channel(false);
    let bounds = listen::Bounds {
        connections: settings.connections.map_or(CONNECTIONS_DEFAULT, std::num::NonZeroU32::get) as usize,
        stalled: Duration::from_millis(settings.stalled.unwrap_or(STALLED_MS_DEFAULT)),
        grace: Duration::from_millis(settings.grace.unwrap_or(GRACE_MS_DEFAULT)),
    };
    let serving =
        handle.spawn(listen::serve(listener, tls, router(state.clone()), streams.clone(), bounds, stopped));
    if context.out.json {
        context.out.json_line(&json!({ "type": "serving", "url": format!("{scheme}://{address}") }));
    } else {
        context.out.data(&format!("serving {scheme}://{address}/api/v1"));
    }
    let _watchdog = tell_service_manager(host);
    told_to_end().await;
    // Where no service manager listens this does nothing.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    context.out.note("closing: no new requests; what is under way may finish");
    state.close();
    let _ = stop.send(true);
    let _ = serving.await;
    Ok(())
}

/// Tells systemd, if it started this process, that requests are taken, and from then on that the host answers.
fn tell_service_manager(host: &Host) -> Option<JoinSet<()>> {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let every = sd_notify::watchdog_enabled()? / 2;
    let host = host.clone();
    // Dropped when the server ends.
    let mut watchdog = JoinSet::new();
    watchdog.spawn(async move {
        loop {
            // The task that owns the runs must answer, not only this one.
            if host.is_alive().await {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
            tokio::time::sleep(every).await;
        }
    });
    Some(watchdog)
}

/// The directory's workflows: looked after by the threads for requests, since the host's are for runs.
async fn open_catalogue(
    requests: &tokio::runtime::Handle,
    dir: &Path,
    host: &Host,
    manner: Manner,
) -> Result<Catalogue, Failure> {
    let (dir, host) = (dir.to_owned(), host.clone());
    let pace = Pace { log: manner == Manner::Serve, ..Pace::default() };
    let opened = requests.spawn(async move { Catalogue::open(&dir, host, pace).await });
    let opened =
        opened.await.map_err(|error| Failure::other(format!("cannot look into the directory: {error}")));
    opened?.map_err(Failure::usage)
}

/// What is in service, in a line. Why other files are not stands in the log.
fn tell(served: &Catalogue, context: &Context) {
    let served = served.served();
    let names: Vec<&str> = served.workflows.keys().map(String::as_str).collect();
    context.out.note(&match names.len() {
        0 => "no workflow is in service yet; put a file into the directory, or send one: PUT /api/v1/workflows/NAME".to_owned(),
        1..=10 => format!("in service: {}", names.join(", ")),
        more => format!("in service: {more} workflows"),
    });
}
