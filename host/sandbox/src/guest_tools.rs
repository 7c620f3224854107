//! The interface `tools`: checks grant, arguments, number and depth, makes an attempt of the tool beside that of its
//! caller, and turns its end into an answer.
//!
//! The tool's attempt is a task of its own, so its caller is not billed for its processor time; dropping the caller's
//! attempt aborts it. It has the caller's token, and a little less than the time that the caller has left, so that the
//! caller can still say what went wrong.

use crate::bindings::{tools, types};
use crate::call::{CallRequest, GuestEvent, LogLevel, Observer, Outcome};
use crate::failure::{Class, Failure};
use crate::guest::Guest;
use crate::model::{BUDGET_CODE, ToolSpec};
use crate::power_error::{PowerError, PowerErrorKind};
use crate::reply::{Next, Reply, json_problem};
use crate::sandbox::Shared;
use crate::tools::{OnEnd, TOOL_DEPTH_MAX, Tool, ToolUse, Tools};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use wasmtime::Result;

/// The refusal's code; an agent that fails with it failed for want of the grant.
pub(crate) const NOT_GRANTED: &str = "tools-not-granted";
/// What a caller keeps of its time for itself: a tenth, and no more than this.
const KEPT_TIME_MAX: Duration = Duration::from_secs(1);
/// The answer to who finds no place: it may be free again then. Milliseconds.
const RETRY_AFTER_MS: u32 = 1_000;

type Answer<T> = Result<std::result::Result<T, types::Error>>;

/// Where an attempt stands among those that call each other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nesting {
    /// 0: the workflow called it.
    pub(crate) depth: usize,
    /// Calls of tools made so far, by the attempt that the workflow called and everything below it.
    calls: Arc<AtomicUsize>,
}

/// What an attempt that was granted tools needs to call one.
pub(crate) struct Calling {
    shared: Arc<Shared>,
    /// Its own request, without the input.
    request: CallRequest,
    nesting: Nesting,
    /// Calls made by itself.
    made: u32,
    /// When the attempt began.
    since: Instant,
}

impl Calling {
    pub(crate) fn new(shared: &Arc<Shared>, request: &CallRequest, nesting: Nesting) -> Option<Box<Calling>> {
        if request.grants.tools.is_empty() || request.tools.is_none() {
            return None;
        }
        let request = CallRequest { input: String::new(), ..request.clone() };
        Some(Box::new(Calling { shared: shared.clone(), request, nesting, made: 0, since: Instant::now() }))
    }
}

impl Guest {
    fn granted_tools(&mut self, asked: Option<&str>) -> std::result::Result<Arc<dyn Tools>, PowerError> {
        let granted = &self.grants.tools;
        if asked.map_or(granted.is_empty(), |name| !granted.iter().any(|granted| granted == name)) {
            self.denied = Some(NOT_GRANTED);
            let name = crate::sanitise::sanitise(asked.unwrap_or("NAME"), 100);
            let message =
                format!("the tool `{name}` is not granted; the plugin needs `grants: {{tools: [{name}]}}`");
            return Err(PowerError::new(PowerErrorKind::Denied, NOT_GRANTED, message));
        }
        let none = || PowerError::new(PowerErrorKind::Unavailable, "no-tools", "this host has no tools");
        self.tools.clone().ok_or_else(none)
    }

    /// Calls a tool, and notes that it did.
    async fn call_tool(
        &mut self,
        name: String,
        arguments: String,
    ) -> std::result::Result<String, PowerError> {
        let tools = self.granted_tools(Some(&name))?;
        if let Some(problem) = json_problem(&arguments) {
            let message = format!("the arguments of `{name}` are not JSON: {problem}");
            return Err(PowerError::new(PowerErrorKind::Invalid, "arguments-not-json", message));
        }
        if !arguments.trim_start().starts_with('{') {
            let message = format!("the arguments of `{name}` must be a JSON object");
            return Err(PowerError::new(PowerErrorKind::Invalid, "arguments-not-object", message));
        }
        let since = Instant::now();
        let at_ms =
            self.calling.as_ref().map_or(0, |calling| ms(since.saturating_duration_since(calling.since)));
        let place = self.tool_uses.len();
        // Whoever ends the attempt meanwhile finds it so.
        let failed = Some("cancelled".to_owned());
        let (called, quota) = (name.clone(), self.tool_calls_max);
        let prepared = self.prepare(&*tools, &name, arguments, quota);
        if matches!(&prepared, Err(refusal) if refusal.kind == PowerErrorKind::Limit) {
            // Not noted: who goes on asking beyond the bound would fill the journal.
            return Err(prepared.err().expect("it was just looked at"));
        }
        self.tool_uses.push(ToolUse { name: called, at_ms, failed, ..ToolUse::default() });
        self.tool_since = Some(since);
        let (result, tools) = match prepared {
            Err(refusal) => (Err((refusal.code.clone(), refusal)), Vec::new()),
            Ok(prepared) => {
                let observer = prepared.observer.clone();
                let outcome = prepared.make().await;
                let answer = match outcome.result {
                    Ok(reply) => answer(&name, reply),
                    Err(failure) => {
                        tell(observer.as_deref(), &name, &failure);
                        let code = failure.code.clone();
                        Err((code, refusal(&name, failure)))
                    }
                };
                (answer, outcome.usage.tools)
            }
        };
        self.tool_since = None;
        let failed = result.as_ref().err().map(|(code, _)| code.clone());
        self.tool_uses[place] = ToolUse { name, at_ms, took_ms: elapsed_ms(since), failed, tools };
        result.map_err(|(_, refusal)| {
            if refusal.kind == PowerErrorKind::Limit && refusal.code == BUDGET_CODE {
                self.denied = Some(BUDGET_CODE);
            }
            refusal
        })
    }

    /// The attempt to be made, or why none is.
    fn prepare(
        &mut self,
        tools: &dyn Tools,
        name: &str,
        arguments: String,
        calls_max: usize,
    ) -> std::result::Result<Prepared, PowerError> {
        let deadline = self.deadline;
        let observer = self.observer();
        let Some(calling) = &mut self.calling else {
            return Err(PowerError::new(PowerErrorKind::Unavailable, "no-tools", "this host has no tools"));
        };
        let limit = |code: &str, message: String| Err(PowerError::new(PowerErrorKind::Limit, code, message));
        let depth = calling.nesting.depth + 1;
        if depth > TOOL_DEPTH_MAX {
            return limit(
                "tool-depth",
                format!(
                    "tools call each other more than {TOOL_DEPTH_MAX} deep (limit tool-depth, fixed by the host)"
                ),
            );
        }
        let count = |made: usize| (made < calls_max).then_some(made + 1);
        if calling.nesting.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_err() {
            let tools = if calls_max == 1 { "tool" } else { "tools" };
            return limit(
                "tool-calls",
                format!(
                    "an attempt calls {calls_max} {tools} at most, those that its tools call included (setting \
                     limits.tool-calls in bandstand.toml)"
                ),
            );
        }
        calling.made = calling.made.saturating_add(1);
        let Tool { plugin, mut limits, grants, memory, env, ended } = tools.find(name)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.saturating_sub((left / 10).min(KEPT_TIME_MAX));
        limits.wall_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let key = format!("{}/tool/{}/{name}", calling.request.idempotency_key, calling.made);
        let marked = observer.clone().map(|inner| {
            let marked: Arc<dyn Observer> = Arc::new(Marked { name: name.to_owned(), inner });
            marked
        });
        let request = CallRequest {
            seed: seed(calling.request.seed, &key),
            idempotency_key: key,
            input: arguments,
            limits,
            grants,
            memory,
            env,
            events: marked,
            ..calling.request.clone()
        };
        let nesting = Nesting { depth, calls: calling.nesting.calls.clone() };
        Ok(Prepared { shared: calling.shared.clone(), plugin, request, nesting, ended, observer })
    }

    /// What the tool that is under way took until now, at the end of its caller.
    pub(crate) fn end_tools(&mut self) -> Vec<ToolUse> {
        if let (Some(since), Some(last)) = (self.tool_since.take(), self.tool_uses.last_mut()) {
            last.took_ms = elapsed_ms(since);
        }
        std::mem::take(&mut self.tool_uses)
    }
}

/// An attempt of a tool.
struct Prepared {
    shared: Arc<Shared>,
    plugin: crate::Plugin,
    request: CallRequest,
    nesting: Nesting,
    ended: Option<OnEnd>,
    observer: Option<Arc<dyn Observer>>,
}

impl Prepared {
    async fn make(self) -> Outcome {
        let Prepared { shared, plugin, request, nesting, ended, .. } = self;
        shared.nested(plugin, request, nesting, ended).await
    }
}

impl tools::Host for Guest {
    async fn list(&mut self) -> Answer<Vec<tools::Tool>> {
        self.charge_call(0)?;
        let tools = match self.granted_tools(None) {
            Ok(tools) => tools,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let told = |name: &String| {
            let ToolSpec { name, description, parameters } =
                tools.describe(name).unwrap_or_else(|| ToolSpec {
                    name: name.clone(),
                    description: String::new(),
                    parameters: r#"{"type":"object"}"#.to_owned(),
                });
            tools::Tool { name, description, parameters }
        };
        let list: Vec<tools::Tool> = self.grants.tools.iter().map(told).collect();
        let bytes = |tool: &tools::Tool| tool.name.len() + tool.description.len() + tool.parameters.len();
        self.charge_answer(list.iter().map(bytes).sum())?;
        Ok(Ok(list))
    }

    async fn call(&mut self, name: String, arguments: String) -> Answer<String> {
        self.charge_call(name.len() + arguments.len())?;
        match self.call_tool(name, arguments).await {
            Ok(output) => {
                self.charge_answer(output.len())?;
                Ok(Ok(output))
            }
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }
}

/// What a reply is for whoever called the tool: its output. What steers a workflow has no meaning here.
fn answer(name: &str, reply: Reply) -> std::result::Result<String, (String, PowerError)> {
    let wish = match reply.next {
        Next::Edges => return Ok(reply.output),
        Next::Goto(_) => "to go on at another node",
        Next::Choose(_) => "to choose a route",
        Next::Review(_) => "for a review",
    };
    let code = "tool-cannot-route";
    let message = format!("the tool `{name}` asked {wish}, which only an agent that a node calls can");
    Err((code.to_owned(), PowerError::new(PowerErrorKind::Other, code, message)))
}

/// What the end of a tool is for its caller.
fn refusal(name: &str, failure: Failure) -> PowerError {
    let Failure { class, code, message, recoverable, retry_after_ms, .. } = failure;
    match class {
        Class::Agent if recoverable => {
            PowerError { retry_after_ms, ..PowerError::new(PowerErrorKind::Unavailable, code, message) }
        }
        Class::Agent => PowerError::new(PowerErrorKind::Other, code, message),
        Class::Limit if code == BUDGET_CODE => PowerError::new(PowerErrorKind::Limit, code, message),
        Class::Overload => PowerError {
            retry_after_ms: Some(RETRY_AFTER_MS),
            ..PowerError::new(PowerErrorKind::Unavailable, code, format!("the tool `{name}`: {message}"))
        },
        // A fault of the host's; as with nodes, another try may be spared it.
        Class::Host => {
            let message = format!("the tool `{name}`: {message}");
            PowerError::new(PowerErrorKind::Unavailable, class.as_str(), message)
        }
        Class::Cancelled => PowerError::new(PowerErrorKind::Cancelled, code, message),
        Class::Timeout => {
            let message = format!("the tool `{name}` took longer than its caller could wait");
            PowerError::new(PowerErrorKind::Other, class.as_str(), message)
        }
        class => {
            let message = format!("the tool `{name}`: {message} ({code})");
            PowerError::new(PowerErrorKind::Other, class.as_str(), message)
        }
    }
}

/// The operator hears of a tool that died, whatever its caller makes of it.
fn tell(observer: Option<&dyn Observer>, name: &str, failure: &Failure) {
    let Some(observer) = observer.filter(|_| !matches!(failure.class, Class::Agent | Class::Cancelled))
    else {
        return;
    };
    let mut message = format!("tool {name}: {failure}");
    if let Some(words) = &failure.last_words {
        message.push('\n');
        message.push_str(words);
    }
    observer.event(GuestEvent::Log { level: LogLevel::Warn, message, fields: None });
}

/// Tells what a tool tells as its caller's, with its name. A text in the making is left out: it is an answer to the
/// caller, not a piece of what the caller writes.
struct Marked {
    name: String,
    inner: Arc<dyn Observer>,
}

impl Observer for Marked {
    fn event(&self, event: GuestEvent) {
        let mark = |message: String| format!("tool {}: {message}", self.name);
        self.inner.event(match event {
            GuestEvent::Log { level, message, fields } => {
                GuestEvent::Log { level, message: mark(message), fields }
            }
            GuestEvent::Report { fraction, message } => {
                GuestEvent::Report { fraction, message: mark(message) }
            }
            GuestEvent::Chunk(_) => return,
        });
    }
}

/// Differs from call to call, and follows from the caller's.
fn seed(caller: u32, key: &str) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(caller.to_le_bytes());
    hasher.update(key.as_bytes());
    let digest = hasher.finalize();
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn elapsed_ms(since: Instant) -> u64 {
    ms(since.elapsed())
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
