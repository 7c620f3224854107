//! The checked workflow: what the engine runs.
//!
//! A `Graph` that exists is valid: every target exists, every expression compiles, every default is filled in. Only
//! `bandstand-workflow` makes one from a file; a stored run brings its own back from canonical JSON. Nothing here knows
//! YAML, spans or diagnostics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expression::{
    EvaluateError, Expression, RESULT_BYTES_MAX, Scope, Template, TextTemplate, Visible,
};
use crate::failure::Class;
use crate::id::Id;
use crate::schema::Schema;

/// A whole workflow, every default filled in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Graph {
    /// The workflow's name.
    pub name: String,
    /// The author's version number, from 1.
    pub version: u64,
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What the input must be; none: any object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Schema>,
    /// What the result must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Schema>,
    /// The channels of the state.
    #[serde(default)]
    pub state: BTreeMap<Id, Channel>,
    /// Constants that are values.
    #[serde(default)]
    pub constants: BTreeMap<Id, Arc<Value>>,
    /// Constants that are text templates for `render`; their names are not among `constants`.
    #[serde(default)]
    pub templates: BTreeMap<String, TextTemplate>,
    /// Bounds of a run.
    pub limits: Limits,
    /// Longest time from start to end of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What runs of one thread do to each other, if the file says so: see [`Graph::second_run`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// The plugins that `agent` may name; and the tools of the host that they may call, under ids that no other has.
    #[serde(default)]
    pub plugins: BTreeMap<Id, Plugin>,
    /// The workflows that `workflow` nodes may run as children.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workflows: BTreeMap<Id, ChildWorkflow>,
    /// The nodes of the root scope.
    pub root: ScopeGraph,
    /// What a run returns; none: the output of the last node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Template>,
    /// What starts runs by itself, where the workflow is served. No run looks at it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
}

/// What starts a run by itself, and with which input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trigger {
    /// When.
    pub when: When,
    /// The input of the run; sees `constants` and `trigger`.
    pub input: Template,
}

/// What a trigger waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// A time of the calendar.
    Cron {
        /// Five fields.
        cron: String,
        /// An IANA time zone.
        zone: String,
        /// What happens when the last run is still going.
        overlap: Overlap,
    },
    /// A call of an address.
    Webhook {
        /// The name in the address.
        webhook: Id,
        /// The name of the secret that signs the call; none: it is not signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
        /// Calls with an equal key start one run; none: those with the same `webhook-id` do. Sees `constants` and `trigger`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Expression>,
    },
}

/// What a cron trigger does when its last run is still going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// It starts none.
    #[default]
    Skip,
    /// It starts one after it; of several times that came meanwhile, one.
    Queue,
    /// It starts one beside it.
    Allow,
}

impl Overlap {
    /// The word of the workflow file.
    pub fn name(self) -> &'static str {
        match self {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
            Overlap::Allow => "allow",
        }
    }
}

impl Trigger {
    /// The input of a run that it starts. `trigger` is what expressions see under that name.
    ///
    /// # Errors
    /// When an expression fails.
    pub fn input(&self, graph: &Graph, trigger: &Arc<Value>) -> Result<Value, EvaluateError> {
        with_trigger(graph, trigger, |scope| self.input.evaluate(scope))
    }

    /// What makes equal calls one run, as text; none: the trigger names nothing.
    ///
    /// # Errors
    /// When the expression fails.
    pub fn key(&self, graph: &Graph, trigger: &Arc<Value>) -> Result<Option<String>, EvaluateError> {
        let When::Webhook { key: Some(key), .. } = &self.when else { return Ok(None) };
        let value = with_trigger(graph, trigger, |scope| key.evaluate(scope))?;
        Ok(Some(match value {
            Value::String(text) => text,
            value => value.to_string(),
        }))
    }
}

fn with_trigger<T>(
    graph: &Graph,
    trigger: &Arc<Value>,
    evaluate: impl FnOnce(&Scope<'_>) -> Result<T, EvaluateError>,
) -> Result<T, EvaluateError> {
    let constants =
        graph.constants.iter().map(|(id, value)| (id.to_string(), Visible::Json(value.clone()))).collect();
    let names = BTreeMap::from([
        ("constants".to_owned(), Visible::Members(constants)),
        ("trigger".to_owned(), Visible::Json(trigger.clone())),
    ]);
    evaluate(&Scope {
        names: &names,
        templates: &graph.templates,
        fuel: graph.limits.expression_fuel,
        result_bytes_max: RESULT_BYTES_MAX,
    })
}

/// A workflow that runs as a child. It is inside its parent's graph, so that who pins the parent pins it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChildWorkflow {
    /// Its file, relative to the parent's.
    pub path: String,
    /// The text of its file.
    pub source: Arc<str>,
    /// What it means.
    pub graph: Arc<Graph>,
}

/// One channel of the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Channel {
    /// How an update changes it.
    pub reduce: Reducer,
    /// What its value must be after each change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// Its first value; none: what [`Reducer::initial`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<Template>,
    /// Whose copy it is.
    #[serde(default)]
    pub keep: Keep,
}

/// How an update changes a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reducer {
    /// The operand.
    Replace,
    /// Both lists, one after the other.
    Append,
    /// Shallow merge of two objects, the operand wins.
    Merge,
    /// The sum of two numbers.
    Sum,
    /// The smaller of two numbers.
    Min,
    /// The greater of two numbers.
    Max,
}

/// What runs of one thread do to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// What happens to a second run.
    #[serde(default)]
    pub second_run: SecondRun,
}

/// What happens to a run whose thread has a writer already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecondRun {
    /// It is refused.
    #[default]
    Reject,
    /// It waits until the runs before it have ended.
    Queue,
    /// The runs before it are cancelled.
    Interrupt,
}

/// Whose copy of a channel a scope sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// One value for the run; branches send their operations to the join.
    #[default]
    Run,
    /// Each branch and item has a private copy that is never joined.
    Branch,
    /// As `Run`; and the run's thread keeps it for the next run.
    Thread,
}

/// Bounds of a run. Exceeding one is a failure that names it, its value and `limits.NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Visits of nodes in one scope instance (`max-steps`).
    pub max_steps: u64,
    /// Visits of nodes in a run (`max-total-steps`).
    pub max_total_steps: u64,
    /// Items of one map (`max-items`).
    pub max_items: u64,
    /// One input, output, update or answer, as JSON (`payload`).
    pub payload_bytes: u64,
    /// All channels, as JSON (`state`).
    pub state_bytes: u64,
    /// Instructions of one expression (`expression-fuel`).
    pub expression_fuel: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_steps: 1_000,
            max_total_steps: 100_000,
            max_items: 1_000,
            payload_bytes: 1 << 20,
            state_bytes: 1 << 20,
            expression_fuel: 100_000,
        }
    }
}

/// Where a plugin comes from and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Where its bytes are.
    pub source: PluginSource,
    /// The exported function that is called, as the file names it: `ns:pkg/iface#name`. Absent: it is an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// `sha256:HEX` of its bytes, when the file pins it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What it asks to be granted.
    #[serde(default)]
    pub grants: Grants,
    /// What it asks to be limited to.
    #[serde(default)]
    pub limits: PluginLimits,
    /// Of a plugin that others call as a tool: what it does, for a model. Absent: nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of a plugin that others call as a tool: JSON Schema of its input. Absent: any object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
}

impl Plugin {
    /// One of that source, without grants, limits as they are by default.
    pub fn new(source: PluginSource) -> Plugin {
        Plugin {
            source,
            function: None,
            digest: None,
            grants: Grants::default(),
            limits: PluginLimits::default(),
            description: None,
            parameters: None,
        }
    }
}

/// Where a plugin's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginSource {
    /// A file, relative to the workflow file; of a tool of the host, relative to `bandstand.toml`.
    Path(String),
    /// A component that comes with the host.
    Builtin(String),
}

/// The powers a plugin asks for. What is not here is not granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    /// The three memory interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryAccess>,
    /// Whom it may call over HTTP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpOrigin>,
    /// The models it may use, by the host's names for them. The first is the one it gets when it names none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model: Vec<String>,
    /// The tools it may call: other plugins of the same graph.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Id>,
    /// The secrets that the host puts into its requests in place of their placeholders. It never sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The environment variables of the host that it sees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The directories it sees, by the name they have for it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<Id, FilesGrant>,
    /// The clock it reads. None: time stands still at the attempt's start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockGrant>,
    /// Whether its random numbers are random. If not, they follow from the attempt's seed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub random: bool,
}

/// Somebody who may be called over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpOrigin {
    /// Scheme, host and perhaps port: `https://api.example.com`, `https://*.example.com`.
    pub origin: String,
    /// In capitals. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
}

/// A directory that a plugin sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesGrant {
    /// Relative to the workflow file, inside the project.
    pub path: String,
    /// What it may do there.
    pub access: FilesAccess,
}

/// What a plugin may do in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilesAccess {
    /// Read what is there.
    Read,
    /// It gets an empty directory of its own instead, which is gone after the attempt.
    Scratch,
}

/// The clock that a plugin reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockGrant {
    /// It runs, in steps that are too long to measure other guests with.
    Coarse,
}

/// How far a plugin may use the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryAccess {
    /// Look things up.
    Read,
    /// Look things up and write.
    Write,
}

/// The limits of one attempt of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginLimits {
    /// Linear memory, summed (`limits.memory`).
    pub memory_bytes: u64,
    /// CPU time (`limits.cpu`).
    pub cpu_ms: u64,
    /// The reply, as JSON (`limits.output`).
    pub output_bytes: u64,
    /// Log lines, stdout and stderr (`limits.log`).
    pub log_bytes: u64,
}

impl Default for PluginLimits {
    fn default() -> PluginLimits {
        PluginLimits { memory_bytes: 64 << 20, cpu_ms: 10_000, output_bytes: 1 << 20, log_bytes: 64 << 10 }
    }
}

/// The nodes of one scope.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScopeGraph {
    /// Where it starts.
    pub start: Id,
    /// Its nodes; at least one.
    pub nodes: BTreeMap<Id, Node>,
}

/// What a branch or an item of a map consists of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// A graph of its own.
    Graph(ScopeGraph),
    /// One node without a name; it ends its scope.
    Node(Box<Node>),
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// What it does.
    pub kind: Kind,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The stage that the run enters with this node; root scope only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// What it adds to the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
    /// What it overwrites in the state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<Id, Template>,
    /// Where it goes on success. `None` on `fail`, and on `review`, which has `approved` and `rejected`. The node of a
    /// one-node body, unless it is a `fail` or `review`, has `next: end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Where an approved review goes. On a review of a one-node body `None`: the scope ends. On an agent `None`: as `exit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Edges>,
    /// Where a rejected review goes. `None`: failure `review-rejected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Edges>,
    /// What becomes of a failure; none: the scope fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// The nodes that an agent's reply may jump to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub goto: BTreeSet<Id>,
    /// What the point after its exit was chosen is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Id>,
}

/// What a node does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Calls a plugin.
    Agent(Agent),
    /// Runs another workflow.
    Workflow(Child),
    /// Asks people.
    Review(Review),
    /// Waits for a span of time.
    Wait {
        /// The span.
        for_ms: u64,
    },
    /// Waits for a signal.
    Signal(SignalWait),
    /// Gives a value.
    Value(Template),
    /// Gives `{}`: a pure step.
    Pure,
    /// Named branches.
    Parallel(Parallel),
    /// The same body over a list.
    Map(Map),
    /// Fails the scope.
    Fail(Fail),
}

impl Kind {
    /// The keyword of the language; `step` for a node without a kind.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Agent(_) => "agent",
            Kind::Workflow(_) => "workflow",
            Kind::Review(_) => "review",
            Kind::Wait { .. } | Kind::Signal(_) => "wait",
            Kind::Value(_) => "value",
            Kind::Pure => "step",
            Kind::Parallel(_) => "parallel",
            Kind::Map(_) => "map",
            Kind::Fail(_) => "fail",
        }
    }

    /// How its failures are tried again; none: it makes no attempts.
    pub fn retry(&self) -> Option<&Retry> {
        match self {
            Kind::Agent(agent) => Some(&agent.retry),
            Kind::Workflow(child) => Some(&child.retry),
            _ => None,
        }
    }

    /// The longest a visit may take that is no wait and no review: from its start to its exit, or, of an agent, to the reply
    /// that is taken.
    pub fn visit_ms_max(&self) -> Option<u64> {
        match self {
            Kind::Agent(agent) => agent.deadline_ms,
            Kind::Workflow(child) => child.timeout_ms,
            Kind::Parallel(block) => block.timeout_ms,
            Kind::Map(block) => block.timeout_ms,
            _ => None,
        }
    }
}

/// A call of a plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Agent {
    /// Which of `plugins`.
    pub plugin: Id,
    /// What it is given; must be an object.
    pub input: Template,
    /// How failures are tried again.
    pub retry: Retry,
    /// The longest one attempt may take, from its actual start.
    pub timeout_ms: u64,
    /// The longest a visit may take, from its start to the reply that is taken: queueing, attempts and delays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// How successes are kept for equal inputs; none: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// The public name of what its attempts say while they work; none: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Id>,
}

/// How an agent's successes are kept, so that an equal visit needs no attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cache {
    /// How long a success is kept.
    pub for_ms: u64,
    /// What is compared besides the input; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Expression>,
    /// Who shares what is kept.
    pub scope: CacheScope,
}

/// Who shares what an agent's node keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheScope {
    /// Visits of one run.
    Run,
    /// Runs of one workflow in one thread; of a run without a thread, as [`CacheScope::Run`].
    Thread,
    /// All runs of the workflow.
    #[default]
    Workflow,
}

impl Node {
    /// The public name of what its attempts say while they work.
    pub fn stream(&self) -> Option<&Id> {
        match &self.kind {
            Kind::Agent(agent) => agent.stream.as_ref(),
            _ => None,
        }
    }
}

/// A child run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Child {
    /// Which of `workflows`.
    pub workflow: Id,
    /// Its input; must be an object.
    pub input: Template,
    /// How failures are tried again, each time by a new run. Whether a failure is recoverable decides, not its class.
    pub retry: Retry,
    /// The longest the node may take, from its entry to its exit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// How failures are tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// How the delay grows.
    pub strategy: Strategy,
    /// Retries after the first attempt, 0 to 100.
    pub max_retries: u32,
    /// The first delay.
    pub base_delay_ms: u64,
    /// What each further delay is multiplied by (`exponential`), 1 to 100.
    pub factor: f64,
    /// No delay is longer.
    pub max_delay_ms: u64,
    /// How much of the delay is random, 0 to 1.
    pub jitter: f64,
    /// The classes that are tried again.
    pub retry_on: BTreeSet<Class>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            strategy: Strategy::Exponential,
            max_retries: 3,
            base_delay_ms: 1_000,
            factor: 2.0,
            max_delay_ms: Retry::DELAY_MS_MAX,
            jitter: 0.0,
            retry_on: [Class::Agent, Class::Trap, Class::Timeout, Class::InvalidOutput].into(),
        }
    }
}

impl Retry {
    /// No delay is longer than a day, whatever policy or agent say.
    pub const DELAY_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
}

/// How the delay before a retry grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// `base-delay` times `factor` to the number of the retry.
    Exponential,
    /// Always `base-delay`.
    Fixed,
    /// No delay.
    Immediate,
    /// No retry.
    None,
}

impl Strategy {
    /// The keyword of the language.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Exponential => "exponential",
            Strategy::Fixed => "fixed",
            Strategy::Immediate => "immediate",
            Strategy::None => "none",
        }
    }
}

/// A question to people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Review {
    /// One line.
    pub title: Template,
    /// Why it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Template>,
    /// What is to be approved; a reviewer may edit it.
    pub propose: Template,
    /// What the approved value must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Schema>,
    /// `user:ID` or `group:ID`; empty: whoever may review.
    #[serde(default)]
    pub reviewers: Vec<Template>,
    /// Approvals needed, from 1.
    pub quorum: u32,
    /// How long it waits.
    pub timeout_ms: u64,
    /// What happens then.
    pub on_timeout: OnTimeout,
    /// Whether the user for whom the run is may approve.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub self_approval: bool,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_yes(value: &bool) -> bool {
    *value
}

impl Review {
    /// How long a review waits that says nothing: an hour (R2.2).
    pub const TIMEOUT_MS_DEFAULT: u64 = 60 * 60 * 1_000;
}

/// A wait for a signal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignalWait {
    /// Its name.
    pub signal: Id,
    /// What its data must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// How long it waits; none: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Where the run goes then; none: the node fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<Target>,
}

/// What happens when nobody answers in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnTimeout {
    /// The node fails.
    Fail,
    /// As if approved, by `policy`.
    Approve,
    /// As if rejected, by `policy`.
    Reject,
    /// The run goes there.
    To(Target),
}

/// Named branches that start together, or after one another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parallel {
    /// When the block ends, and how.
    pub join: Join,
    /// How many may fail (`settle` only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_errors: Option<MaxErrors>,
    /// The branches in declared order.
    pub branches: Vec<Branch>,
    /// The longest the block may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// One branch of a [`Parallel`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Branch {
    /// Its name.
    pub id: Id,
    /// The siblings it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Id>,
    /// What it does.
    pub body: Body,
    /// What it gives; none: the output of its last node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Template>,
}

/// The same body over a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Map {
    /// The list.
    pub over: Expression,
    /// What the body calls an item; its index is `<item>_index`.
    pub item: Id,
    /// Items open at once, 1 to 1,000.
    pub concurrency: u32,
    /// When the block ends, and how.
    pub join: Join,
    /// How many may fail (`settle` only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_errors: Option<MaxErrors>,
    /// What is done with an item.
    pub body: Body,
    /// What an item gives; none: the output of its last node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Template>,
    /// The longest the block may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// When a block ends, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Join {
    /// When all have ended; succeeds if one succeeded.
    Settle,
    /// When all have succeeded, or one failed.
    All,
    /// With the first success.
    Any,
    /// With so many successes, from 1.
    Quorum(u32),
}

/// How many branches or items may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaxErrors {
    /// So many.
    Count(u64),
    /// So many of a hundred, rounded down.
    Percent(u32),
}

impl MaxErrors {
    /// How many of `total` may fail.
    pub fn of(self, total: u64) -> u64 {
        match self {
            MaxErrors::Count(count) => count,
            MaxErrors::Percent(percent) => total * u64::from(percent) / 100,
        }
    }
}

/// A failure on purpose.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fail {
    /// Kebab-case.
    pub code: String,
    /// For people.
    pub message: Template,
    /// For the fallback node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Template>,
}

/// Where an edge leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The scope ends.
    End,
    /// A node of the same scope.
    Node(Id),
}

/// `next` and its like: the first condition that holds, else the last entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Edges {
    /// Entries with `when`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Arm>,
    /// The entry without.
    pub otherwise: Target,
}

/// One entry of [`Edges`] with a condition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arm {
    /// Must give a boolean.
    pub when: Expression,
    /// Where it leads.
    pub to: Target,
}

/// How a node is left on success.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// By conditions.
    Next(Edges),
    /// By confidence.
    Route(Route),
}

/// A choice by confidence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Route {
    /// Gives the options; none: the choices in the agent's reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Expression>,
    /// Below it the alert, and `below`.
    pub threshold: f64,
    /// The declared options in order, which breaks ties.
    pub to: Vec<(String, Target)>,
    /// Where a winner below the threshold goes; none: to its own target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Target>,
    /// Where the run goes without any option; none: failure `no-route`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Target>,
}

impl Route {
    /// The threshold of a route that names none (R3.3).
    pub const THRESHOLD_DEFAULT: f64 = 0.75;
}

/// What becomes of a failure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The run goes there, with `error` in scope.
    To(Edges),
    /// This becomes the output; then `update` and the normal exit.
    Value(Template),
}

/// What a node adds to the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// An operand for each channel named.
    Channels(BTreeMap<Id, Template>),
    /// One value whose keys are channels.
    Whole(Template),
}

/// Where a run is, in words of R5.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It has started.
    Init,
    /// Its input is looked at.
    Validation,
    /// It works.
    Processing,
    /// People look at it.
    Review,
    /// People approve it.
    Approval,
    /// It is done.
    Completion,
    /// It failed.
    Error,
}

impl Stage {
    /// The keyword of the language.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Init => "init",
            Stage::Validation => "validation",
            Stage::Processing => "processing",
            Stage::Review => "review",
            Stage::Approval => "approval",
            Stage::Completion => "completion",
            Stage::Error => "error",
        }
    }
}

impl Graph {
    /// What happens to a second run of a thread. `None`: the workflow keeps nothing in its threads, and its runs may go on
    /// beside each other.
    pub fn second_run(&self) -> Option<SecondRun> {
        let keeps = self.state.values().any(|channel| channel.keep == Keep::Thread);
        self.thread.map(|thread| thread.second_run).or_else(|| keeps.then(SecondRun::default))
    }

    /// The channels that a thread keeps.
    pub fn thread_channels(&self) -> impl Iterator<Item = &Id> {
        self.state.iter().filter(|(_, channel)| channel.keep == Keep::Thread).map(|(id, _)| id)
    }

    /// Every wait for a signal, in all scopes.
    pub fn signal_waits(&self) -> Vec<&SignalWait> {
        let mut nodes: Vec<&Node> = self.root.nodes.values().collect();
        let mut waits = Vec::new();
        while let Some(node) = nodes.pop() {
            match &node.kind {
                Kind::Signal(wait) => waits.push(wait),
                Kind::Parallel(block) => {
                    nodes.extend(block.branches.iter().flat_map(|branch| branch.body.nodes()));
                }
                Kind::Map(block) => nodes.extend(block.body.nodes()),
                _ => {}
            }
        }
        waits
    }

    /// The node that a visit's path names; of a branch's or an item's path, its block. `None`: no such node in this graph.
    pub fn node(&self, path: &crate::path::Path) -> Option<&Node> {
        use crate::path::Segment;
        let mut scope = Some(&self.root);
        let mut sole: Option<&Node> = None;
        let mut node: Option<&Node> = None;
        for segment in path.segments() {
            match segment {
                Segment::Node(id, _) => node = scope?.nodes.get(id),
                Segment::Sole(_) => node = sole,
                Segment::Branch(id) => {
                    let Kind::Parallel(block) = &node?.kind else { return None };
                    let branch = block.branches.iter().find(|branch| branch.id == *id)?;
                    (scope, sole) = branch.body.parts();
                }
                Segment::Item(_) => {
                    let Kind::Map(block) = &node?.kind else { return None };
                    (scope, sole) = block.body.parts();
                }
            }
            node?;
        }
        node
    }
}

impl Body {
    fn nodes(&self) -> Vec<&Node> {
        match self {
            Body::Graph(graph) => graph.nodes.values().collect(),
            Body::Node(node) => vec![node],
        }
    }

    fn parts(&self) -> (Option<&ScopeGraph>, Option<&Node>) {
        match self {
            Body::Graph(graph) => (Some(graph), None),
            Body::Node(node) => (None, Some(node)),
        }
    }
}
