//! Makes one call: the engine's command becomes a request to the sandbox, its outcome a message to the core.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bandstand_driver::{Message, RunId};
use bandstand_engine::event::RunStarted;
use bandstand_engine::graph::{Plugin, PluginLimits};
use bandstand_engine::input::Spent;
use bandstand_engine::{Callee, Class, Command, CommandId, Failure, Graph, Id};
use bandstand_model::Models;
use bandstand_sandbox::{
    CallLimits, CallRequest, CancelToken, GuestEvent, LoadError, LogLevel, MEMORY_BYTES_CEILING, Memory,
    Observer, Plugin as SandboxPlugin, Sandbox,
};

use super::clock::now;
use super::convert;
use super::hub::Hub;
use super::plugins::{self, PluginError, Plugins};
use super::shell::Mailbox;
use super::tools::{OutOfService, ToolsOf};
use crate::host::{Lending, Live, LiveKind, StreamPart};
use crate::telemetry::log::{Line, plugin_line};

/// Makes the memory that stands behind one attempt: for which workflow, run and visit.
pub type MemoryFor = Arc<dyn Fn(&RunStarted, &CommandId) -> Arc<dyn Memory> + Send + Sync>;

/// Makes calls.
#[derive(Clone)]
pub struct Caller {
    /// Runs them.
    pub sandbox: Arc<Sandbox>,
    /// What they call.
    pub plugins: Arc<Plugins>,
    /// Hears what they say.
    pub hub: Arc<Hub>,
    /// What they remember.
    pub memory_for: MemoryFor,
    /// What they may ask.
    pub models: Models,
    /// What they may be lent.
    pub lending: Arc<Lending>,
    /// Their limits as far as no workflow file says.
    pub attempt: CallLimits,
    /// Plugins that are no tools for now.
    pub out_of_service: Arc<OutOfService>,
}

/// What a call needs to know of its run.
pub(super) struct Of {
    pub(super) run_id: RunId,
    pub(super) graph: Arc<Graph>,
    pub(super) started: RunStarted,
    /// What models cost it so far.
    pub(super) spent: Spent,
    /// Hears how tools ended.
    pub(super) mailbox: Mailbox,
}

impl Of {
    /// The digest that the run pins for the command's plugin, and what the workflow declares of it.
    fn plugin(&self, command: &Command) -> Option<(&str, &Plugin)> {
        let Callee::Plugin(plugin) = &command.callee else { return None };
        self.pinned(plugin)
    }

    /// The digest that the run pins for a plugin of that id, and what the workflow declares of it.
    pub(super) fn pinned(&self, plugin: &Id) -> Option<(&str, &Plugin)> {
        let pinned = self.started.plugins.get(plugin)?;
        Some((&pinned.digest, self.graph.plugins.get(plugin)?))
    }

    /// A plugin and all that it may call as tools, and these, each once.
    fn with_tools<'a>(&'a self, plugin: (&'a str, &'a Plugin)) -> Vec<(&'a str, &'a Plugin)> {
        let mut seen: BTreeSet<&Id> = BTreeSet::new();
        let mut found = vec![plugin];
        let mut next = 0;
        while let Some((_, plugin)) = found.get(next) {
            let new = plugin.grants.tools.iter().filter(|tool| seen.insert(tool));
            let new: Vec<_> = new.filter_map(|tool| self.pinned(tool)).collect();
            found.extend(new);
            next += 1;
        }
        found
    }
}

impl Caller {
    /// Starts one attempt. Its end is told by `tell`, exactly once, on a thread that must not be blocked.
    pub(super) fn start(
        self,
        of: Of,
        command: Command,
        cancel: CancelToken,
        tell: impl FnOnce(Message) + Send + 'static,
    ) {
        let Some((digest, declared)) = of.plugin(&command) else {
            let (Callee::Plugin(name) | Callee::Workflow(name)) = &command.callee;
            let problem = format!("the run pins no plugin `{name}`");
            let failure = Failure::permanent(Class::Trap, "plugin-unusable", problem);
            return tell(convert::unusable(of.run_id, command.id, failure));
        };
        let all = of.with_tools((digest, declared));
        let lent = |plugin: &Plugin| !plugin.grants.files.is_empty() || !plugin.grants.env.is_empty();
        let ready = |digest: &str, plugin: &Plugin| self.plugins.ready(digest, plugin.function.as_deref());
        if let Some(plugin) = ready(digest, declared)
            && all[1..].iter().all(|(digest, tool)| ready(digest, tool).is_some())
            && !all.iter().any(|(_, plugin)| lent(plugin))
        {
            return self.make(plugin, of, command, cancel, tell);
        }
        // Reading, compiling and looking at directories block. Until then the attempt has not begun.
        let all: Vec<(String, Plugin)> =
            all.into_iter().map(|(digest, plugin)| (digest.to_owned(), plugin.clone())).collect();
        tokio::task::spawn_blocking(move || {
            let loading = catch_unwind(AssertUnwindSafe(|| self.load(&all)));
            let loaded = loading.unwrap_or_else(|_| {
                Err(PluginError::Load(LoadError::Compile {
                    message: "the host failed while it loaded the plugin".to_owned(),
                }))
            });
            if let Some(refused) = self.lending.refusal(&all[0].1.grants).filter(|_| loaded.is_ok()) {
                return tell(convert::unusable(of.run_id, command.id, refused));
            }
            match loaded {
                Ok(plugin) => self.make(plugin, of, command, cancel, tell),
                Err(PluginError::Load(error)) => {
                    tell(convert::unusable(of.run_id, command.id, convert::unloaded(&error)));
                }
                // The file is at fault and the run pins a good plugin: it keeps what it has until the file is back.
                Err(error) => {
                    let problem = format!("{error}; after that: bandstand runs drive {}", of.run_id);
                    tell(Message::CallBlocked { run_id: of.run_id, id: command.id, problem });
                }
            }
        });
    }

    /// The first of these; the others are its tools. One of them that cannot be loaded is told to whoever calls it.
    fn load(&self, all: &[(String, Plugin)]) -> Result<SandboxPlugin, PluginError> {
        let (digest, declared) = &all[0];
        let plugin = self.plugins.get(digest, declared)?;
        for (digest, tool) in &all[1..] {
            match self.plugins.get(digest, tool) {
                Ok(_) | Err(PluginError::Load(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(plugin)
    }

    fn make(
        self,
        plugin: SandboxPlugin,
        of: Of,
        command: Command,
        cancel: CancelToken,
        tell: impl FnOnce(Message) + Send + 'static,
    ) {
        let (run_id, id) = (of.run_id.clone(), command.id.clone());
        let judged = of.plugin(&command).is_some_and(|(_, plugin)| convert::is_judged(plugin));
        let digest = of.plugin(&command).map(|(digest, _)| digest.to_owned()).unwrap_or_default();
        let plugins = self.plugins.clone();
        let sandbox = self.sandbox.clone();
        // Texts are made on the guests' threads, not on the one that decides.
        let prepare = move || {
            let observer = Arc::new(Listener {
                run_id: of.run_id.clone(),
                id: command.id.clone(),
                plugin: plugin_name(&command),
                visit: command.visit(),
                stream: of.graph.node(&command.id.path).and_then(|node| node.stream()).cloned(),
                sequence: AtomicU64::new(0),
                hub: self.hub.clone(),
            });
            observer.tell(LiveKind::Started);
            if observer.stream.is_some() && (command.id.attempt > 1 || command.interruptions > 0) {
                observer.tell(LiveKind::Restart);
            }
            self.request(Arc::new(of), &command, observer, cancel)
        };
        sandbox.start(&plugin, prepare, move |outcome| {
            let ended = convert::message(run_id, id, outcome, judged);
            plugins.tally.count(&digest, &ended, now());
            tell(ended);
        });
    }

    fn request(
        &self,
        of: Arc<Of>,
        command: &Command,
        events: Arc<Listener>,
        cancel: CancelToken,
    ) -> CallRequest {
        let id = &command.id;
        let (_, declared) = of.plugin(command).expect("looked up before the attempt began");
        let (env, missing) = self.lending.env(&declared.grants.env);
        for name in missing {
            events.tell(LiveKind::Log {
                level: level_name(LogLevel::Warn).to_owned(),
                message: format!("the plugin is granted the variable {name}, which the host does not have"),
                fields: String::new(),
            });
        }
        let grants = &declared.grants;
        // Tools ask models through the one object, so that the attempt has one bill.
        let asks = !grants.model.is_empty() || !grants.tools.is_empty();
        CallRequest {
            run_id: of.started.run_id.clone(),
            thread_id: of.started.thread_id.clone(),
            user_id: of.started.user_id.clone(),
            workflow: of.graph.name.clone(),
            node: id.path.to_string(),
            visit: command.visit(),
            attempt: id.attempt,
            attempts_max: command.attempts_max,
            idempotency_key: command.idempotency_key(&of.started.run_id),
            started_at: now().to_string(),
            seed: seed(of.started.seed, id),
            input: command.input.to_string(),
            context: String::new(),
            limits: limits(&self.attempt, &declared.limits, command.timeout_ms),
            grants: Arc::new(plugins::grants(grants)),
            memory: grants.memory.map(|_| (self.memory_for)(&of.started, id)),
            model: asks.then(|| self.models.for_attempt(&of.started.run_id, spent(&of.spent))),
            env,
            tools: asks.then(|| ToolsOf::of(self, &of, id)),
            events: Some(events),
            cancel,
        }
    }
}

fn spent(spent: &Spent) -> bandstand_model::Spent {
    bandstand_model::Spent {
        tokens: spent.tokens_in.saturating_add(spent.tokens_out),
        cost_micros: spent.cost_micros,
    }
}

pub(crate) fn limits(host: &CallLimits, asked: &PluginLimits, timeout_ms: u64) -> CallLimits {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    CallLimits {
        memory_bytes_max: size(asked.memory_bytes).min(MEMORY_BYTES_CEILING),
        wall_ms: timeout_ms,
        cpu_ms: asked.cpu_ms,
        output_bytes_max: size(asked.output_bytes),
        log_bytes_max: size(asked.log_bytes),
        ..host.clone()
    }
}

/// Differs from attempt to attempt, and is the same whenever it is derived.
fn seed(run: u64, id: &CommandId) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&run.to_le_bytes()).update(b"call").update(id.to_string().as_bytes());
    let mut first = [0; 4];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    u32::from_le_bytes(first)
}

/// Passes on what a guest says.
struct Listener {
    run_id: RunId,
    id: CommandId,
    /// Its id in the graph.
    plugin: String,
    visit: u32,
    /// The public name of what it says.
    stream: Option<Id>,
    /// The next part's number.
    sequence: AtomicU64,
    hub: Arc<Hub>,
}

impl Listener {
    fn tell(&self, what: LiveKind) {
        // Numbered whether anybody listens or not, so that whoever comes late sees that something is missing.
        let stream = self.part(&what);
        self.hub.live(&self.run_id, || Live {
            run_id: self.run_id.to_string(),
            command_id: self.id.to_string(),
            what,
            stream,
        });
    }

    fn part(&self, what: &LiveKind) -> Option<StreamPart> {
        let name = self.stream.as_ref()?;
        match what {
            LiveKind::Chunk(_) | LiveKind::Progress { .. } | LiveKind::Restart => Some(StreamPart {
                name: name.to_string(),
                path: self.id.path.to_string(),
                visit: self.visit,
                attempt: self.id.attempt,
                sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            }),
            LiveKind::Held { .. } | LiveKind::Started | LiveKind::Log { .. } => None,
        }
    }
}

fn plugin_name(command: &Command) -> String {
    let (Callee::Plugin(name) | Callee::Workflow(name)) = &command.callee;
    name.to_string()
}

impl Observer for Listener {
    fn event(&self, event: GuestEvent) {
        if let GuestEvent::Log { level, message, fields } = &event {
            let of = Line { run_id: &self.run_id, id: &self.id, plugin: &self.plugin };
            plugin_line(of, *level, message, fields.as_deref().unwrap_or_default());
        }
        self.tell(match event {
            GuestEvent::Log { level, message, fields } => LiveKind::Log {
                level: level_name(level).to_owned(),
                message,
                fields: fields.unwrap_or_default(),
            },
            GuestEvent::Chunk(text) => LiveKind::Chunk(text),
            GuestEvent::Report { fraction, message } => LiveKind::Progress { fraction, message },
        });
    }
}

pub(crate) fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}
