//! Where a verb reads: the store of a data directory, or a server (`--server`). What is read is a view either way, so what
//! verbs print is written once. What changes something goes through [`crate::host::Access`], which has the same two ends.

use std::io::Write;
use std::sync::Arc;

use bandstand_store::{ReviewFilter, RunFilter, RunStatus, ThreadKey};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Context;
use super::exit::Failure;
use super::plugin::{self, component};
use super::review;
use super::runs::{export, replay, report};
use super::stored;
use super::thread;
use crate::api::{Api, ApiError, Asked, escaped, query};
use crate::host::Published;
use crate::view::{
    Page, PluginDetail, PluginSummary, Replayed, ReviewDetail, ReviewSummary, RouteSummary, RunReport,
    RunSummary, ThreadDetail, ThreadSummary, WaitsFor, event_of,
};

/// Rows in one request for a list that is read whole.
const PAGE_ROWS: u32 = 1_000;

/// Where a verb reads.
#[derive(Clone, Debug)]
pub enum Site {
    /// The store of a data directory.
    Store(stored::Store),
    /// A server.
    Server(Api),
}

/// Which runs; everything given must hold.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// With one of these; none: any.
    pub statuses: Vec<RunStatus>,
    /// Of that workflow.
    pub workflow: Option<String>,
    /// Of that thread.
    pub thread: Option<String>,
    /// For that user.
    pub user: Option<String>,
    /// Child runs, too.
    pub children: bool,
    /// How many at most.
    pub limit: u32,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// Which reviews; everything given must hold.
#[derive(Clone, Debug, Default)]
pub struct Reviews {
    /// Those that were decided, too.
    pub all: bool,
    /// Of that workflow.
    pub workflow: Option<String>,
    /// Of the run whose id begins so.
    pub run: Option<String>,
    /// How many at most.
    pub limit: u32,
}

impl Site {
    /// A page of runs, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn runs(&self, runs: Runs) -> Result<Page<RunSummary>, Failure> {
        match self {
            Site::Store(store) => {
                let filter = RunFilter {
                    statuses: runs.statuses,
                    workflow: runs.workflow,
                    thread_id: runs.thread,
                    user_id: runs.user,
                    children_too: runs.children,
                    ..RunFilter::default()
                };
                let page = store.reader.runs(&filter, runs.cursor.as_deref(), runs.limit)?;
                let items = page.runs.iter().map(RunSummary::from).collect();
                Ok(Page { items, next_cursor: page.next })
            }
            Site::Server(api) => {
                let statuses: Vec<&str> = runs.statuses.iter().map(|status| status.name()).collect();
                let parameters = [
                    ("status", Some(statuses.join(",")).filter(|words| !words.is_empty())),
                    ("workflow", runs.workflow),
                    ("thread", runs.thread),
                    ("user", runs.user),
                    ("children", runs.children.then(|| "true".to_owned())),
                    ("limit", Some(runs.limit.to_string())),
                    ("cursor", runs.cursor),
                ];
                get(api, format!("/runs{}", query(&parameters)))
            }
        }
    }

    /// The run whose id begins so.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn run(&self, beginning: &str) -> Result<RunSummary, Failure> {
        match self {
            Site::Store(store) => Ok(RunSummary::from(&stored::run(&store.reader, beginning)?)),
            Site::Server(api) => {
                let parameters = [("id", Some(beginning.to_owned())), ("children", Some("true".to_owned()))];
                let page: Page<RunSummary> = get(api, format!("/runs{}", query(&parameters)))?;
                only(page, beginning)
            }
        }
    }

    /// All that is known of a run.
    ///
    /// # Errors
    /// When there is no such run, or it cannot be read.
    pub fn report(&self, run_id: &str) -> Result<RunReport, Failure> {
        match self {
            Site::Store(store) => report::of(&store.reader, stored::run(&store.reader, run_id)?),
            Site::Server(api) => get(api, format!("/runs/{}", escaped(run_id))),
        }
    }

    /// A run's events from one on, about so many: what one decision led to is not cut. None: there are no more.
    ///
    /// # Errors
    /// When there is no such run, or it cannot be read.
    pub fn events(&self, run_id: &str, from: u64, wanted: u32) -> Result<Vec<Published>, Failure> {
        match self {
            Site::Store(store) => stored::events(&store.reader, run_id, from, wanted),
            Site::Server(api) => {
                let parameters = [("from", Some(from.to_string())), ("limit", Some(wanted.to_string()))];
                let path = format!("/runs/{}/events{}", escaped(run_id), query(&parameters));
                let page: Page<Value> = get(api, path)?;
                let told = |line: Value| {
                    let kind = line["type"].as_str().unwrap_or_default().to_owned();
                    let (run_id, seq, at, event) = event_of(line).ok_or_else(|| {
                        Failure::other(format!(
                            "an event `{kind}` of run {run_id} is of another version of bandstand"
                        ))
                        .help("use the version of the server; --json of `runs show` needs none of it")
                    })?;
                    Ok(Published { run_id, seq, at, events: Arc::new(vec![event]) })
                };
                page.items.into_iter().map(told).collect()
            }
        }
    }

    /// How many events a run has.
    ///
    /// # Errors
    /// When there is no such run, or it cannot be read.
    pub fn event_count(&self, run_id: &str) -> Result<u64, Failure> {
        match self {
            Site::Store(store) => Ok(store.reader.event_count(run_id)?),
            Site::Server(_) => Ok(self.report(run_id)?.events),
        }
    }

    /// What a run that succeeded came to.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn result(&self, run_id: &str, context: &Context) -> Result<Arc<Value>, Failure> {
        match self {
            Site::Store(store) => stored::result(&store.reader, context, run_id),
            Site::Server(_) => self.report(run_id)?.result.map(Arc::new).ok_or_else(|| {
                let help =
                    format!("its history: bandstand runs show {run_id} --events{}", context.data_option());
                Failure::storage(format!("run {run_id} succeeded, but its result cannot be told")).help(help)
            }),
        }
    }

    /// What the child runs of a run, and theirs, wait for: the run, and the signal's name.
    pub fn child_signals(&self, run_id: &str) -> Vec<(String, String)> {
        match self {
            Site::Store(store) => stored::child_signals(&store.reader, run_id),
            Site::Server(_) => {
                let (mut found, mut open) = (Vec::new(), vec![run_id.to_owned()]);
                while let Some(parent) = open.pop() {
                    let Ok(report) = self.report(&parent) else { continue };
                    for waits in report.waiting_for {
                        match waits {
                            WaitsFor::Child { run_id, .. } => open.push(run_id),
                            WaitsFor::Signal { signal, .. } if parent != run_id => {
                                found.push((parent.clone(), signal));
                            }
                            _ => {}
                        }
                    }
                }
                found
            }
        }
    }

    /// Compares a run with its journal, where it is kept.
    ///
    /// # Errors
    /// When there is no such run, or it cannot be read.
    pub fn replay(&self, run_id: &str) -> Result<Replayed, Failure> {
        match self {
            Site::Store(store) => replay::report(&store.reader, run_id),
            Site::Server(api) => get(api, format!("/runs/{}/replay", escaped(run_id))),
        }
    }

    /// Writes a run with all that it pins; how many events and bytes it has.
    ///
    /// # Errors
    /// When there is no such run, or it cannot be read or written.
    pub fn export(&self, run_id: &str, to: &mut dyn Write, context: &Context) -> Result<(u64, u64), Failure> {
        match self {
            Site::Store(store) => export::write(store, run_id, to, context),
            Site::Server(api) => {
                let path = format!("/runs/{}/export", escaped(run_id));
                let bytes = wait(api.download(Asked::get(path), to))?;
                Ok((self.event_count(run_id)?, bytes))
            }
        }
    }

    /// Reviews, the next deadline first.
    ///
    /// # Errors
    /// When they cannot be read, or no run's id begins so.
    pub fn reviews(&self, reviews: Reviews) -> Result<Vec<ReviewSummary>, Failure> {
        match self {
            Site::Store(store) => {
                let run_id = reviews.run.map(|beginning| store.reader.find_run(&beginning)).transpose()?;
                let filter = ReviewFilter { closed_too: reviews.all, workflow: reviews.workflow, run_id };
                let rows = store.reader.reviews(&filter, None, reviews.limit)?;
                Ok(rows.iter().map(ReviewSummary::from).collect())
            }
            Site::Server(api) => {
                let run = reviews.run.map(|beginning| self.run(&beginning)).transpose()?;
                let parameters = [
                    ("all", reviews.all.then(|| "true".to_owned())),
                    ("workflow", reviews.workflow),
                    ("run", run.map(|run| run.run_id)),
                ];
                pages(api, "/reviews", &parameters, reviews.limit)
            }
        }
    }

    /// The review whose id begins so.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn review(&self, beginning: &str) -> Result<ReviewSummary, Failure> {
        match self {
            Site::Store(store) => Ok(ReviewSummary::from(&store.reader.review(beginning)?.row)),
            Site::Server(api) => {
                let page = get(api, format!("/reviews{}", query(&[("id", Some(beginning.to_owned()))])))?;
                only(page, beginning)
            }
        }
    }

    /// A review with what it proposes and all that was said about it.
    ///
    /// # Errors
    /// When there is none whose id begins so, or several.
    pub fn review_detail(&self, beginning: &str) -> Result<ReviewDetail, Failure> {
        match self {
            Site::Store(store) => review::show::report(&store.reader, &store.reader.review(beginning)?.row),
            Site::Server(api) => {
                let review_id = self.review(beginning)?.review_id;
                get(api, format!("/reviews/{}", escaped(&review_id)))
            }
        }
    }

    /// The threads that keep something.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn threads(&self, workflow: Option<&str>) -> Result<Vec<ThreadSummary>, Failure> {
        match self {
            Site::Store(store) => thread::list::all(&store.reader, workflow),
            Site::Server(api) => {
                pages(api, "/threads", &[("workflow", workflow.map(str::to_owned))], u32::MAX)
            }
        }
    }

    /// What a thread keeps.
    ///
    /// # Errors
    /// When it keeps nothing and no run has it, or it cannot be read.
    pub fn thread(&self, key: &ThreadKey) -> Result<ThreadDetail, Failure> {
        match self {
            Site::Store(store) => Ok(thread::show::detail(&store.reader, key)?),
            Site::Server(api) => {
                get(api, format!("/threads/{}/{}", escaped(&key.workflow), escaped(&key.thread_id)))
            }
        }
    }

    /// How routes were decided.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn routing(&self, workflow: Option<&str>, node: Option<&str>) -> Result<Vec<RouteSummary>, Failure> {
        match self {
            Site::Store(store) => {
                let mut routes = store.reader.routing_stats(workflow)?;
                routes.retain(|route| node.is_none_or(|node| route.node == node));
                Ok(routes.iter().map(RouteSummary::from).collect())
            }
            Site::Server(api) => {
                let parameters =
                    [("workflow", workflow.map(str::to_owned)), ("node", node.map(str::to_owned))];
                let page: Page<RouteSummary> = get(api, format!("/routing{}", query(&parameters)))?;
                Ok(page.items)
            }
        }
    }

    /// The plugins that are kept, and what is known against them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn plugins(&self) -> Result<Vec<PluginSummary>, Failure> {
        match self {
            Site::Store(store) => {
                let all = plugin::list::all(&store.reader, &store.data_dir)?;
                Ok(all.iter().map(plugin::list::Listed::summary).collect())
            }
            Site::Server(api) => Ok(get::<Page<PluginSummary>>(api, "/plugins".to_owned())?.items),
        }
    }
}

/// A plugin that a server has: `builtin:NAME`, its digest or the beginning of it, or a file whose bytes it has, too.
///
/// # Errors
/// When it has none such.
pub fn served_plugin(api: &Api, plugin: &str) -> Result<PluginDetail, Failure> {
    let digest = if plugin.starts_with("sha256:") {
        let kept: Page<PluginSummary> = get(api, "/plugins".to_owned())?;
        let mut found = kept.items.into_iter().filter(|kept| kept.digest.starts_with(plugin));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                return Err(Failure::not_found(format!("several plugins begin with {plugin}"))
                    .help("all of them: bandstand plugin list"));
            }
            (Some(one), None) => one.digest,
            (None, _) => plugin.to_owned(),
        }
    } else if plugin.starts_with("builtin:") {
        plugin.to_owned()
    } else {
        crate::driver::digest(&component::read(plugin)?)
    };
    let mut detail: PluginDetail = get(api, format!("/plugins/{}", escaped(&digest)))?;
    plugin.clone_into(&mut detail.file);
    Ok(detail)
}

/// Reads from a server.
///
/// # Errors
/// When it cannot be reached, or says no.
pub fn get<T: DeserializeOwned>(api: &Api, path: String) -> Result<T, Failure> {
    wait(api.json(Asked::get(path)))
}

/// As many rows of a list as are wanted.
fn pages<T: DeserializeOwned>(
    api: &Api,
    path: &str,
    parameters: &[(&str, Option<String>)],
    wanted: u32,
) -> Result<Vec<T>, Failure> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let left = wanted - u32::try_from(rows.len()).unwrap_or(wanted);
        let mut parameters = parameters.to_vec();
        parameters.extend([("limit", Some(left.min(PAGE_ROWS).to_string())), ("cursor", cursor)]);
        let page: Page<T> = get(api, format!("{path}{}", query(&parameters)))?;
        let over = page.items.is_empty() || page.next_cursor.is_none();
        rows.extend(page.items);
        cursor = page.next_cursor;
        if over || rows.len() as u64 >= u64::from(wanted) {
            return Ok(rows);
        }
    }
}

fn only<T>(page: Page<T>, beginning: &str) -> Result<T, Failure> {
    let none = || Failure::not_found(format!("the server has nothing whose id begins with `{beginning}`"));
    page.items.into_iter().next().ok_or_else(none)
}

/// Waits for an answer of a server, also where a host's runtime runs already.
///
/// # Errors
/// What the request comes to.
pub fn wait<T>(asked: impl Future<Output = Result<T, ApiError>>) -> Result<T, Failure> {
    wait_for(asked)?.map_err(Failure::from)
}

/// The same for whoever looks at what went wrong.
///
/// # Errors
/// When the system gives nothing to wait with.
pub fn wait_for<T>(asked: impl Future<Output = Result<T, ApiError>>) -> Result<Result<T, ApiError>, Failure> {
    Ok(match tokio::runtime::Handle::try_current() {
        Ok(runtime) => tokio::task::block_in_place(|| runtime.block_on(asked)),
        Err(_) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::other(format!("cannot reach the network: {error}")))?
            .block_on(asked),
    })
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        let exit = super::context::exit_of(error.exit_code());
        Failure { exit, what: error.to_string(), help: error.help() }
    }
}
