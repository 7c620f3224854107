//! `bandstand plugin test`: one call of a plugin in the real sandbox, without a workflow: its output, what it said, what it
//! took; when it fails, how it died. Nothing is recorded: what it remembers is thrown away.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bandstand_engine::graph::PluginLimits;
use bandstand_model::{Models, Spent};
use bandstand_sandbox::{CallLimits, CallRequest, Grants, Memory, Observer, Outcome, Plugin, Sandbox};
use bandstand_store::memory::Scope;
use bandstand_store::{Options, Store};
use clap::Args;
use serde_json::{Value, json};

use super::inspect::read;
use super::test_report::{self, Listener};
use super::{settings, test_cases, unloaded, verify};
use crate::cli::context::{Context, block_on, now};
use crate::cli::exit::{Exit, Failure};
use crate::cli::json_input;
use crate::driver;
use crate::host::memory;
use crate::project::config::{Config, span_ms};
use crate::project::directory::Directory;
use crate::project::{permits, trial};

/// How the call is named towards the plugin, and in what it remembers.
const NAME: &str = "plugin-test";

/// What `test` is given.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The component, or `builtin:NAME`
    #[arg(value_name = "FILE")]
    pub file: String,
    /// What the agent is given: JSON, `@FILE`, or `-` for stdin [default: {}]
    #[arg(long, short, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    pub input: Option<String>,
    /// Instead of one input, cases with what is expected of each: a file of JSON, or a folder of them
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "input")]
    pub cases: Option<PathBuf>,
    /// What it is granted, as in a workflow file: `{ memory: write }` [default: what bandstand.toml permits it]
    #[arg(long, value_name = "GRANTS")]
    pub grants: Option<String>,
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
    let bench = Bench::new(args, context)?;
    if let Some(path) = &args.cases {
        let cases = test_cases::read(path)?;
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

/// A plugin, ready to be called.
pub(super) struct Bench {
    sandbox: Sandbox,
    plugin: Plugin,
    grants: Arc<Grants>,
    limits: CallLimits,
    models: Models,
}

impl Bench {
    fn new(args: &TestArgs, context: &Context) -> Result<Bench, Failure> {
        let is_missing = !args.file.starts_with("builtin:") && !Path::new(&args.file).exists();
        let bytes = read(&args.file).map_err(|failure| {
            if is_missing { Failure { exit: Exit::NotFound, ..failure } } else { failure }
        })?;
        let unusable = |error| Failure { what: format!("{}: {error}", args.file), ..unloaded(&error) };
        let inspection = bandstand_sandbox::inspect(&bytes).map_err(unusable)?;
        inspection.runnable().map_err(unusable)?;
        let directory = Directory::at(Path::new("."))?;
        let config = directory.config.as_ref();
        let name = verify::name_in_project(&args.file, &directory);
        let grants = match (&args.grants, config) {
            (Some(asked), _) => {
                let granted = trial::grants(asked, &name, &inspection, &directory);
                driver::grants(&granted.map_err(|problems| refused(&problems))?)
            }
            (None, Some(config)) => {
                verify::grants(permits::permitted(config, &[&name, &inspection.digest], String::new()))
            }
            (None, None) => Grants::default(),
        };
        let sandbox = open(context, config)?;
        let plugin = sandbox.load(&bytes, &grants).map_err(unusable)?;
        let limits = permits::effective_limits(config, &PluginLimits::default());
        Ok(Bench {
            models: context.models(config, args.replies.as_deref(), args.record.as_deref())?,
            limits: driver::limits(&limits, args.timeout),
            grants: Arc::new(grants),
            sandbox,
            plugin,
        })
    }

    /// One call, with a memory of its own that holds nothing yet.
    pub(super) async fn call(
        &self,
        input: &Value,
        events: Option<Arc<dyn Observer>>,
    ) -> Result<Outcome, Failure> {
        let kept = self.grants.memory.map(|_| Scratch::new()).transpose()?;
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
            memory: kept.as_ref().map(Scratch::memory),
            model: (!self.grants.models.is_empty()).then(|| self.models.for_attempt(NAME, Spent::default())),
            events,
            ..CallRequest::default()
        };
        Ok(self.sandbox.call(&self.plugin, request).await)
    }
}

/// As a host would with these settings, with what HTTP may reach.
fn open(context: &Context, config: Option<&Config>) -> Result<Sandbox, Failure> {
    let outgoing = config.map(Config::outgoing).unwrap_or_default();
    let outbound = outgoing
        .open()
        .map_err(|problem| Failure::usage(problem).help("see [http] and [secrets] in bandstand.toml"))?;
    Sandbox::with_outbound(settings(context, config, false), outbound).map_err(Failure::other)
}

fn refused(problems: &[bandstand_workflow::Diagnostic]) -> Failure {
    let texts: Vec<String> =
        problems.iter().map(|found| format!("--grants: {} [{}]", found.message, found.code)).collect();
    let help = problems.iter().map(|found| found.help.as_str()).find(|help| !help.is_empty());
    Failure::usage(texts.join("\n")).help(help.unwrap_or(HOW_TO_GRANT))
}

const HOW_TO_GRANT: &str =
    "write it as after `grants:` in a workflow file: --grants '{ memory: write, model: [small] }'";

/// A store that is gone with this value.
struct Scratch {
    store: Option<Arc<Store>>,
    folder: PathBuf,
}

impl Scratch {
    fn new() -> Result<Scratch, Failure> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(Failure::other)?;
        let folder = std::env::temp_dir().join(format!("bandstand-test-{:016x}", u64::from_le_bytes(random)));
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::other(format!("cannot keep a memory for the call in {}: {error}", folder.display()))
                .help("TMPDIR names another folder for it")
        };
        std::fs::create_dir(&folder).map_err(|error| cannot(&error))?;
        let store = Store::open(&folder, Options::default()).map_err(|error| cannot(&error))?;
        Ok(Scratch { store: Some(Arc::new(store)), folder })
    }

    fn memory(&self) -> Arc<dyn Memory> {
        let store = self.store.clone().expect("it is taken by `drop` only");
        let scope = Scope {
            workflow: NAME.to_owned(),
            run_id: NAME.to_owned(),
            thread_id: None,
            user_id: None,
            node: "test@1".to_owned(),
        };
        memory::in_scope(store, scope)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Before its folder.
        drop(self.store.take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
