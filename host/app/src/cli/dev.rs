//! `bandstand dev`: as `serve`, for whoever writes the files: what is wrong with them is shown as they are saved, and
//! nobody is asked for a token.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::sync::broadcast::error::RecvError;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::serve::{self, Manner, Plan};
use super::term::out::Tone;
use super::term::{safe, words};
use crate::project::catalogue::{Catalogue, Change, Deployed, Problem};
use crate::project::directory::Directory;
use crate::project::server::LISTEN_DEFAULT;
use crate::server::caller::Doorkeeper;
use crate::view::{change_value, deployed_value, refused_value};

/// What `dev` is given.
#[derive(Args, Debug)]
pub struct DevArgs {
    /// The project: its workflow files are served and watched
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub dir: PathBuf,
    /// Where to listen, on this machine [default: 127.0.0.1:7420]; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
}

/// Serves this machine until it is told to end.
pub fn execute(args: &DevArgs, context: &Context) -> Result<Exit, Failure> {
    let listen = args.listen.unwrap_or(LISTEN_DEFAULT);
    if !listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "{listen} can be reached from other machines, and `dev` asks nobody for a token"
        ))
        .help("listen on 127.0.0.1, or serve with tokens: bandstand serve"));
    }
    let config = Directory::at(&args.dir)?.config;
    let settings = config.as_ref().map(|config| config.server.clone()).unwrap_or_default();
    let plan = Plan {
        dir: args.dir.clone(),
        config,
        listen,
        tls: None,
        settings,
        doorkeeper: Doorkeeper::default(),
        manner: Manner::Dev,
    };
    serve::run(plan, context)
}

/// Shows what the files come to, now and whenever that changes.
pub(super) async fn follow(served: Catalogue, context: Context) {
    let mut changes = served.subscribe();
    all(&served, &context);
    // Else it would be served as long as somebody follows.
    drop(served);
    loop {
        match changes.recv().await {
            Ok(change) => show(&change, &context),
            Err(RecvError::Lagged(missed)) => {
                context.out.note(&format!(
                    "{} came too fast to be shown one by one",
                    words::count(usize::try_from(missed).unwrap_or(usize::MAX), "change")
                ));
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn all(served: &Catalogue, context: &Context) {
    let served = served.served();
    if served.workflows.is_empty() && served.problems.is_empty() {
        context.out.note("no workflow file here yet; `bandstand init .` makes a first one");
    }
    served.workflows.values().for_each(|deployed| in_service(deployed, context));
    served.problems.iter().for_each(|problem| refused(problem, context));
}

fn show(change: &Change, context: &Context) {
    if context.out.json {
        return context.out.json_line(&change_value(change));
    }
    match change {
        Change::Deployed(deployed) => in_service(deployed, context),
        Change::Refused(problem) => refused(problem, context),
        Change::Mended { file } => {
            let ok = context.out.paint_err(Tone::Good, "ok");
            context.out.note(&format!("{}: {ok}, as it is in service", safe::line(file)));
        }
        Change::Removed { name, file } => {
            context.out.note(&safe::line(&format!("{file}: gone; {name} is out of service")));
        }
    }
}

fn in_service(deployed: &Deployed, context: &Context) {
    if context.out.json {
        return context.out.json_line(&deployed_value(deployed));
    }
    deployed.rendered.iter().for_each(|found| context.out.data(&safe::block(found)));
    let ok = context.out.paint_err(Tone::Good, "ok");
    let nodes = words::count(deployed.graph.root.nodes.len(), "node");
    let what = format!("{} version {}, {nodes}; in service", deployed.name, deployed.version);
    context.out.note(&format!("{}: {ok}, {}", safe::line(&deployed.file), safe::line(&what)));
}

fn refused(problem: &Problem, context: &Context) {
    if context.out.json {
        return context.out.json_line(&refused_value(problem));
    }
    problem.rendered.iter().for_each(|found| context.out.data(&safe::block(found)));
    let now = match &problem.in_service {
        Some(workflow) => format!("{workflow} stays in service as it was"),
        None => "not in service".to_owned(),
    };
    let what = if problem.rendered.is_empty() { format!("{}; {now}", problem.what) } else { now };
    context.out.note(&safe::line(&format!("{}: {what}", problem.file)));
}
