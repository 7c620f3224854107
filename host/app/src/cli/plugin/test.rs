//! `bandstand plugin test`: one call of a plugin, or of a function of any component, in the real sandbox, without a workflow: its output, what it said, what it
//! took; when it fails, how it died. Nothing is recorded: what it remembers is thrown away.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bandstand_engine::graph::PluginLimits;
use bandstand_model::{Models, Spent};
use bandstand_sandbox::{
    CallLimits, CallRequest, Grants, LoadError, Memory, Observer, Outcome, Plugin, Sandbox, Settings,
};
use bandstand_store::memory::Scope;
use bandstand_store::{Options, Store};
use clap::Args;
use serde_json::{Value, json};

use super::component::{Component, read};
use super::test_report::{self, Listener};
use super::test_tools::{self, Lent};
use super::{refused, settings, test_cases, verify};
use crate::cli::context::{Context, attempt_limits, block_on, now};
use crate::cli::exit::{Exit, Failure};
use crate::cli::json_input;
use crate::driver;
use crate::host::memory;
use crate::project::config::{Config, span_ms};
use crate::project::directory::Directory;
use crate::project::{contract, permits, trial};

/// How the call is named towards the plugin, and in what it remembers.
const NAME: &str = "plugin-test";

/// What `test` is given.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The component, `builtin:NAME`, or the folder of an agent that is built
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    pub file: String,
    /// The exported function that is called, of any component: `ns:pkg/iface#name` [default: the agent's `run`]
    #[arg(long, value_name = "NAME")]
    pub function: Option<String>,
    /// What the agent is given: JSON, `@FILE`, or `-` for stdin [default: {}]
    #[arg(long, short, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    pub input: Option<String>,
    /// Instead of one input, cases with what is expected of each: a file of JSON or YAML, or a folder of them [default: the
    /// folder `cases` of DIR, if it is there and no --function is named]
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "input")]
    pub cases: Option<PathBuf>,
    /// What it is granted, as in a workflow file: `{ memory: write }` [default: what bandstand.toml permits it]
    #[arg(long, value_name = "GRANTS")]
    pub grants: Option<String>,
    /// A component that it may call as the tool NAME, where --grants names that; the tool itself is granted nothing
    #[arg(long = "tool", value_name = "NAME=FILE", value_parser = test_tools::named)]
    pub tools: Vec<test_tools::Named>,
    /// How long a call may take
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = span_ms)]
    pub timeout: u64,
    /// Answer every call of a model from this file of recorded replies, instead of asking a provider
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    pub replies: Option<PathBuf>,
    /// Ask the providers, and append what they answer to this file, for --replies
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// Calls it, once or once a case.
pub fn execute(args: &TestArgs, context: &Context) -> Result<Exit, Failure> {
    let tested = Component::named(&args.file)?;
    // First: whoever mistyped a case need not wait for a compiler.
    let cases = cases(args, &tested).as_deref().map(test_cases::read).transpose()?;
    tested.warn_if_outdated(&context.out);
    let bench = Bench::new(&tested.file, args, context)?;
    if let Some(cases) = cases {
        return block_on(test_cases::run(&cases, &bench, context));
    }
    let input = match &args.input {
        Some(argument) => json_input::read("--input", argument)?,
        None => json!({}),
    };
    if !input.is_object() {
        return Err(Failure::usage("--input is no object; an agent's input is a JSON object")
            .help("such as --input '{ \"text\": \"...\" }'"));
    }
    let outcome = block_on(async {
        let (listener, telling) = Listener::start(context.out.clone());
        let outcome = bench.call(&input, Some(listener)).await;
        telling.end();
        outcome
    })?;
    Ok(test_report::tell(&outcome, &context.out))
}

/// The folder of an agent's cases.
const CASES: &str = "cases";

/// Those that are named, else the agent's own: they are of the agent, not of another function of its component.
fn cases(args: &TestArgs, tested: &Component) -> Option<PathBuf> {
    let own = || {
        let own = tested.dir.as_deref()?.join(CASES);
        (args.input.is_none() && args.function.is_none() && own.exists()).then_some(own)
    };
    args.cases.clone().or_else(own)
}

/// A plugin, ready to be called.
pub(super) struct Bench {
    sandbox: Sandbox,
    plugin: Plugin,
    grants: Arc<Grants>,
    limits: CallLimits,
    env: Vec<(String, String)>,
    tools: Arc<Lent>,
    models: Models,
    /// Dropped last: the sandbox makes directories in it.
    _scratch: Folder,
}

impl Bench {
    fn new(file: &str, args: &TestArgs, context: &Context) -> Result<Bench, Failure> {
        let bytes = read(file)?;
        let unusable = |error: LoadError| match &error {
            LoadError::NotGranted(_) => refused(file, &error).help(HOW_TO_BE_GRANTED),
            _ => refused(file, &error),
        };
        let inspection = bandstand_sandbox::inspect(&bytes).map_err(unusable)?;
        match &args.function {
            None => inspection.runnable(),
            Some(name) => inspection.runnable_function(name).map(drop),
        }
        .map_err(unusable)?;
        let directory = Directory::at(Path::new("."))?;
        let config = directory.config.as_ref();
        let name = verify::name_in_project(file, &directory);
        let tools: Vec<&str> = args.tools.iter().map(|(name, _)| name.as_str()).collect();
        let mut lending = permits::lending(config);
        lending.paths_kept.push(context.data_dir().to_owned());
        let mut env = Vec::new();
        let grants = match (&args.grants, config) {
            (Some(asked), _) => {
                let granted = trial::grants(asked, &name, &inspection, &directory, &tools);
                let granted = granted.map_err(|problems| misgranted(&problems))?;
                if let Some(refused) = lending.refusal(&granted) {
                    return Err(Failure::usage(format!("--grants: {}", refused.message)));
                }
                env = lending.env(&granted.env).0;
                driver::grants(&granted)
            }
            (None, Some(config)) => {
                verify::grants(permits::permitted(config, &[&name, &inspection.digest], String::new()))
            }
            (None, None) => Grants::default(),
        };
        test_tools::all_granted(&args.tools, &grants.tools)?;
        let scratch = Folder::new("scratch directories")?;
        let sandbox = open(context, config, &scratch)?;
        let plugin = match &args.function {
            None => sandbox.load(&bytes, &grants).map(contract::bind),
            Some(name) => sandbox.load_function(&bytes, &grants, name),
        }
        .map_err(unusable)?;
        let tools = Lent::load(&grants.tools, &args.tools, config, &lending, &sandbox)?;
        let limits = permits::effective_limits(config, &PluginLimits::default());
        Ok(Bench {
            tools: Arc::new(tools),
            models: context.models(config, args.replies.as_deref(), args.record.as_deref())?,
            limits: driver::limits(&attempt_limits(config), &limits, args.timeout),
            env,
            grants: Arc::new(grants),
            sandbox,
            plugin,
            _scratch: scratch,
        })
    }

    /// One call, with a memory of its own that holds nothing yet.
    pub(super) async fn call(
        &self,
        input: &Value,
        events: Option<Arc<dyn Observer>>,
    ) -> Result<Outcome, Failure> {
        let remembers = self.grants.memory.is_some() || self.tools.have_memory();
        let kept = remembers.then(Scratch::new).transpose()?;
        let memory = kept.as_ref().map(Scratch::memory);
        let request = CallRequest {
            run_id: NAME.to_owned(),
            workflow: NAME.to_owned(),
            node: "test@1".to_owned(),
            visit: 1,
            attempt: 1,
            attempts_max: 1,
            idempotency_key: format!("{NAME}/test@1"),
            started_at: now().to_string(),
            seed: 1,
            input: input.to_string(),
            limits: self.limits.clone(),
            grants: self.grants.clone(),
            memory: self.grants.memory.and_then(|_| memory.clone()),
            tools: Some(self.tools.of_call(memory)),
            model: (!self.grants.models.is_empty()).then(|| self.models.for_attempt(NAME, Spent::default())),
            env: self.env.clone(),
            events,
            ..CallRequest::default()
        };
        Ok(self.sandbox.call(&self.plugin, request).await)
    }
}

/// As a host would with these settings, with what HTTP may reach.
fn open(context: &Context, config: Option<&Config>, scratch: &Folder) -> Result<Sandbox, Failure> {
    let outgoing = config.map(Config::outgoing).unwrap_or_default();
    let outbound = outgoing
        .open()
        .map_err(|problem| Failure::usage(problem).help("see [http] and [secrets] in bandstand.toml"))?;
    let settings = Settings { scratch_dir: Some(scratch.0.clone()), ..settings(context, config, false) };
    Sandbox::with_outbound(settings, outbound).map_err(Failure::other)
}

fn misgranted(problems: &[bandstand_workflow::Diagnostic]) -> Failure {
    let texts: Vec<String> =
        problems.iter().map(|found| format!("--grants: {} [{}]", found.message, found.code)).collect();
    let help = problems.iter().map(|found| found.help.as_str()).find(|help| !help.is_empty());
    Failure::usage(texts.join("\n")).help(help.unwrap_or(HOW_TO_GRANT))
}

const HOW_TO_BE_GRANTED: &str = "grant it as a workflow file would, such as --grants '{ memory: write }'; where there is a \
                                 bandstand.toml, it must permit it, too";

const HOW_TO_GRANT: &str =
    "write it as after `grants:` in a workflow file: --grants '{ memory: write, model: [small] }'";

/// A folder that is gone with this value.
struct Folder(PathBuf);

impl Folder {
    /// `what`: what is kept there, for people.
    fn new(what: &str) -> Result<Folder, Failure> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(Failure::other)?;
        let path = std::env::temp_dir().join(format!("bandstand-test-{:016x}", u64::from_le_bytes(random)));
        std::fs::create_dir(&path).map_err(|error| {
            Failure::other(format!("cannot make {} for {what}: {error}", path.display()))
                .help("TMPDIR names another place for it")
        })?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A store that is gone with this value.
struct Scratch {
    store: Arc<Store>,
    /// Dropped after the store, which has files in it.
    _folder: Folder,
}

impl Scratch {
    fn new() -> Result<Scratch, Failure> {
        let folder = Folder::new("the memory of the call")?;
        let store = Store::open(&folder.0, Options::default()).map_err(Failure::other)?;
        Ok(Scratch { store: Arc::new(store), _folder: folder })
    }

    fn memory(&self) -> Arc<dyn Memory> {
        let scope = Scope {
            workflow: NAME.to_owned(),
            run_id: NAME.to_owned(),
            thread_id: None,
            user_id: None,
            node: "test@1".to_owned(),
        };
        memory::in_scope(self.store.clone(), scope)
    }
}
