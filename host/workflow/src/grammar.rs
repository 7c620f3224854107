//! The whole grammar as one table: every key of every phase, its shape, default and meaning.
//!
//! `shape` holds a file against it; `editor` makes the JSON Schema for editors from it. What depends on more than one
//! mapping (targets, scopes, names) is not here.

use crate::feature::Feature;

/// What a value must be.
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// `[a-z][a-z0-9-]{0,62}`.
    Name,
    /// A code of a failure; written like a name.
    Code,
    /// A new identifier.
    Id,
    /// A new identifier for the items of a map.
    ItemId,
    /// A text that refers to an identifier declared elsewhere.
    Reference,
    Integer {
        min: u64,
        max: u64,
    },
    Number {
        min: f64,
        max: f64,
    },
    /// Only `true`.
    True,
    /// `true` or `false`.
    Bool,
    Duration,
    Size {
        max_bytes: u64,
    },
    /// One of these words.
    Words(&'static [Word]),
    /// A bare expression.
    Expression,
    /// Any value whose texts may hold expressions.
    Template,
    /// A template that is a mapping or one expression.
    ObjectTemplate,
    /// A JSON Schema, or `{ path: FILE }`.
    Schema,
    /// A file relative to the workflow file.
    File,
    /// `sha256:` and 64 hexadecimal digits.
    Digest,
    /// `scheme://host[:port]`.
    Origin,
    /// `ns:pkg/iface@1.2.3#name`, or a name alone.
    Function,
    /// Any value as it stands.
    Any,
    /// `format: 1`.
    Format,
    /// A mapping of the language.
    Object(&'static Table),
    /// A mapping from new identifiers to values of one shape.
    Named {
        value: &'static Shape,
        count_max: usize,
        at_least_one: bool,
    },
    /// A mapping from any texts to values of one shape; not empty.
    Options(&'static Shape),
    List {
        item: &'static Shape,
        count_max: usize,
        at_least_one: bool,
    },
    /// By what stands there: a list, a mapping, or a scalar. Error texts use `wanted`.
    Either {
        scalar: Option<&'static Shape>,
        list: Option<&'static Shape>,
        mapping: Option<&'static Shape>,
        wanted: &'static str,
    },
    /// An integer, or a percentage.
    CountOrPercent,
}

/// A word of a list, and the feature it belongs to.
pub(crate) struct Word {
    pub(crate) word: &'static str,
    pub(crate) feature: Option<Feature>,
}

/// A mapping of the language.
pub(crate) struct Table {
    /// What it is, for messages: "a node".
    pub(crate) what: &'static str,
    pub(crate) keys: &'static [Key],
    /// At least one of each group must be there: BW105.
    pub(crate) one_of: &'static [&'static [&'static str]],
    /// At most one of each group may be there: BW115, told at the second.
    pub(crate) exclusive: &'static [&'static [&'static str]],
}

/// A key of a mapping.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: &'static Shape,
    pub(crate) required: bool,
    pub(crate) feature: Option<Feature>,
    /// What it means, for editors; ends without a full stop.
    pub(crate) doc: &'static str,
    /// An example for "missing"; empty if it is not required.
    pub(crate) example: &'static str,
}

const fn key(name: &'static str, shape: &'static Shape, doc: &'static str) -> Key {
    Key { name, shape, required: false, feature: None, doc, example: "" }
}

const fn required(
    name: &'static str,
    shape: &'static Shape,
    doc: &'static str,
    example: &'static str,
) -> Key {
    Key { name, shape, required: true, feature: None, doc, example }
}

const fn later(name: &'static str, shape: &'static Shape, feature: Feature, doc: &'static str) -> Key {
    Key { name, shape, required: false, feature: Some(feature), doc, example: "" }
}

const fn word(word: &'static str) -> Word {
    Word { word, feature: None }
}

/// Nodes of a file, all scopes.
pub(crate) const NODES_MAX: usize = 1_000;
/// Branches of a file, all blocks.
pub(crate) const BRANCHES_MAX: usize = 256;
/// Blocks nested in one another.
pub(crate) const BLOCKS_DEEP_MAX: usize = 8;
/// Entries of one `next`.
pub(crate) const ENTRIES_MAX: usize = 100;
/// Entries of any other list or mapping of declarations.
const DECLARED_MAX: usize = 1_000;
/// Directories of one plugin: each attempt holds all of them open.
const DIRECTORIES_MAX: usize = 16;

const PLUGIN_LIMIT_BYTES_MAX: u64 = 4096 << 20;
const PAYLOAD_BYTES_MAX: u64 = 16 << 20;

pub(crate) static ANY_INTEGER: Shape = Shape::Integer { min: 1, max: crate::quantity::INTEGER_MAX };
static COUNT: Shape = Shape::Integer { min: 1, max: 10_000 };
static WEIGHT: Shape = Shape::Integer { min: 0, max: crate::quantity::INTEGER_MAX };
static TEXT: Shape = Shape::Text;
static TEMPLATE: Shape = Shape::Template;
static REFERENCE: Shape = Shape::Reference;
static DURATION: Shape = Shape::Duration;
static EXPRESSION: Shape = Shape::Expression;
static SCHEMA: Shape = Shape::Schema;
static FILE_PATH: Shape = Shape::File;
static ID: Shape = Shape::Id;
static ID_LIST: Shape = Shape::List { item: &ID, count_max: DECLARED_MAX, at_least_one: false };
static REFERENCES: Shape = Shape::List { item: &REFERENCE, count_max: DECLARED_MAX, at_least_one: false };
static TEXTS: Shape = Shape::List { item: &TEXT, count_max: DECLARED_MAX, at_least_one: false };
static TEMPLATES: Shape = Shape::List { item: &TEMPLATE, count_max: DECLARED_MAX, at_least_one: false };
static NAMED_TEMPLATES: Shape =
    Shape::Named { value: &TEMPLATE, count_max: DECLARED_MAX, at_least_one: false };

macro_rules! table {
    ($vis:vis $name:ident, $what:literal, [$($key:expr),* $(,)?]) => {
        table!($vis $name, $what, [$($key),*], one_of [], exclusive []);
    };
    ($vis:vis $name:ident, $what:literal, [$($key:expr),* $(,)?], one_of $one_of:expr, exclusive $exclusive:expr) => {
        $vis static $name: Table = Table { what: $what, keys: &[$($key),*], one_of: &$one_of, exclusive: &$exclusive };
    };
}

table!(pub(crate) FILE, "a workflow", [
    required("format", &Shape::Format, "The format of this file", "format: 1"),
    required("name", &Shape::Name, "The workflow's name: `[a-z][a-z0-9-]{0,62}`", "name: my-workflow"),
    required("version", &ANY_INTEGER, "The author's version number, from 1", "version: 1"),
    key("description", &TEXT, "What the workflow does, for people"),
    key("input", &SCHEMA, "JSON Schema of the run's input; default: any object"),
    key("output", &SCHEMA, "JSON Schema of the run's result"),
    key("state", &Shape::Named { value: &Shape::Object(&CHANNEL), count_max: DECLARED_MAX, at_least_one: false }, "The channels of the state"),
    key("constants", &Shape::Named { value: &CONSTANT, count_max: DECLARED_MAX, at_least_one: false }, "Values and text templates that expressions may use"),
    key("defaults", &Shape::Object(&DEFAULTS), "Retry and timeout of agent nodes that say nothing"),
    key("limits", &Shape::Object(&LIMITS), "Bounds of a run, within the host's maxima"),
    key("timeout", &DURATION, "The longest a run may take"),
    key("thread", &Shape::Object(&THREAD), "What runs of one thread do to each other"),
    later("triggers", &Shape::List { item: &Shape::Object(&TRIGGER), count_max: DECLARED_MAX, at_least_one: false }, Feature::Triggers, "What starts a run by itself"),
    key("plugins", &Shape::Named { value: &Shape::Object(&PLUGIN), count_max: DECLARED_MAX, at_least_one: false }, "The components that `agent` may name"),
    key("workflows", &Shape::Named { value: &Shape::Object(&CHILD), count_max: DECLARED_MAX, at_least_one: false }, "The workflow files that `workflow` may name"),
    key("start", &REFERENCE, "The first node; default: the first one written"),
    required("nodes", &NODES, "The nodes of the graph", "nodes: { first: { agent: echo, next: end } }"),
    key("result", &TEMPLATE, "What a run returns; default: the output of the last node"),
]);

static NODES: Shape =
    Shape::Named { value: &Shape::Object(&NODE), count_max: usize::MAX, at_least_one: true };

/// The keys that give a node its kind.
pub(crate) const KINDS: &[&str] =
    &["agent", "workflow", "review", "wait", "value", "parallel", "map", "fail"];

/// The keys that only some kinds have, with those kinds; `step` is a node without a kind.
pub(crate) const KEYS_OF_KINDS: &[(&str, &[&str])] = &[
    ("input", &["agent", "workflow"]),
    ("retry", &["agent", "workflow"]),
    ("timeout", &["agent", "workflow", "parallel", "map"]),
    ("deadline", &["agent"]),
    ("cache", &["agent"]),
    ("goto", &["agent"]),
    ("stream", &["agent"]),
    ("compensate", &["agent", "workflow"]),
    ("approved", &["review", "agent"]),
    ("rejected", &["review", "agent"]),
    ("update", &["agent", "workflow", "review", "wait", "value", "parallel", "map", "step"]),
    ("set", &["agent", "workflow", "review", "wait", "value", "parallel", "map", "step"]),
];

macro_rules! node_table {
    ($name:ident, $what:literal $(, $extra:expr)*) => {
        table!(pub(crate) $name, $what, [
            key("agent", &REFERENCE, "Calls this plugin"),
            key("workflow", &REFERENCE, "Runs this entry of `workflows` as a child"),
            key("review", &Shape::Object(&REVIEW), "Asks people"),
            key("wait", &Shape::Object(&WAIT), "Waits for a time or a signal"),
            key("value", &TEMPLATE, "Gives this value"),
            key("parallel", &Shape::Object(&PARALLEL), "Runs named branches together"),
            key("map", &Shape::Object(&MAP), "Runs a body for each item of a list"),
            key("fail", &Shape::Object(&FAIL), "Fails the scope"),
            key("description", &TEXT, "What the node is for, for people"),
            key("stage", &Shape::Words(&STAGES), "The stage of the run from this node on; root scope only"),
            key("checkpoint", &ID, "Names the point after this node"),
            key("input", &TEMPLATE, "What the agent or child is given; an object"),
            key("retry", &Shape::Object(&RETRY), "How failures are tried again"),
            key("timeout", &DURATION, "Of an agent: one attempt; of a block or child: from entry to exit"),
            key("deadline", &DURATION, "The longest a visit may take, with queueing and retries"),
            key("cache", &Shape::Object(&CACHE), "Keeps successes for equal inputs"),
            key("goto", &REFERENCES, "The nodes that the agent's reply may jump to"),
            later("stream", &ID, Feature::Stream, "The public name of the node's progress"),
            later("compensate", &Shape::Object(&COMPENSATE), Feature::Compensate, "What undoes the node when the scope fails later"),
            key("update", &Shape::Either { scalar: Some(&Shape::ObjectTemplate), list: None, mapping: Some(&NAMED_TEMPLATES), wanted: "a mapping from channels to values, or one expression" }, "What the node adds to the state, channel by channel"),
            key("set", &NAMED_TEMPLATES, "What the node overwrites in the state"),
            key("next", &TO, "Where the run goes on success"),
            key("route", &Shape::Object(&ROUTE), "Where the run goes, chosen by confidence"),
            key("approved", &TO, "Where an approved review goes"),
            key("rejected", &TO, "Where a rejected review goes"),
            key("on-failure", &Shape::Either { scalar: Some(&REFERENCE), list: Some(&ENTRIES), mapping: Some(&Shape::Object(&FALLBACK)), wanted: "a node, `end`, a list of entries, or `{ value: .. }`" }, "Where a failure goes, or the value that stands in"),
            $($extra),*
        ]);
    };
}

node_table!(NODE, "a node");
// A branch and the body of a map are a graph, or one node; a branch has two keys more.
node_table!(
    BODY,
    "the body of a map",
    key("start", &REFERENCE, "The first node; default: the first one written"),
    key("nodes", &NODES, "The nodes of the body")
);
node_table!(
    BRANCH,
    "a branch",
    key("start", &REFERENCE, "The first node; default: the first one written"),
    key("nodes", &NODES, "The nodes of the branch"),
    key("after", &REFERENCES, "The branches that must succeed first"),
    key("result", &TEMPLATE, "What the branch gives; default: the output of its last node")
);

table!(pub(crate) REVIEW, "a review", [
    required("title", &TEMPLATE, "One line", "title: \"Publish ${{ input.name }}?\""),
    key("reason", &TEMPLATE, "Why it is asked"),
    key("propose", &TEMPLATE, "What is to be approved; a reviewer may edit it"),
    key("form", &SCHEMA, "JSON Schema of the approved value"),
    key("reviewers", &TEMPLATES, "`user:ID` or `group:ID`; default: whoever may review"),
    key("quorum", &COUNT, "Approvals needed; default 1"),
    key("self-approval", &Shape::Bool, "Whether the user for whom the run is may approve; default `true`"),
    key("timeout", &DURATION, "How long it waits; default `60m`"),
    key("on-timeout", &Shape::Either { scalar: Some(&Shape::Words(&ON_TIMEOUT_REVIEW)), list: None, mapping: Some(&Shape::Object(&TIMEOUT_TARGET)), wanted: "`fail`, `approve`, `reject` or `{ to: NODE }`" }, "What happens then; default `fail`"),
]);

table!(pub(crate) WAIT, "a wait", [
    key("for", &DURATION, "How long"),
    key("signal", &ID, "The signal that ends it"),
    key("schema", &SCHEMA, "JSON Schema of the signal's data"),
    key("timeout", &DURATION, "How long it waits for the signal; default: for ever"),
    key("on-timeout", &Shape::Either { scalar: Some(&Shape::Words(&ON_TIMEOUT_WAIT)), list: None, mapping: Some(&Shape::Object(&TIMEOUT_TARGET)), wanted: "`fail` or `{ to: NODE }`" }, "What happens then; default `fail`"),
], one_of [&["for", "signal"]], exclusive [&["for", "signal"], &["for", "schema"], &["for", "timeout"]]);

table!(
    TIMEOUT_TARGET,
    "`on-timeout`",
    [required("to", &REFERENCE, "A node of the same scope, or `end`", "to: end"),]
);
table!(
    FALLBACK,
    "`on-failure`",
    [required("value", &TEMPLATE, "What stands in for the output", "value: {}"),]
);

table!(pub(crate) PARALLEL, "`parallel`", [
    key("join", &JOIN, "When the block ends, and how; default `settle`"),
    key("max-errors", &Shape::CountOrPercent, "How many branches may fail (`settle` only)"),
    required("branches", &Shape::Named { value: &Shape::Object(&BRANCH), count_max: usize::MAX, at_least_one: true }, "The branches", "branches: { left: { agent: echo }, right: { agent: echo } }"),
]);
table!(pub(crate) MAP, "`map`", [
    required("over", &EXPRESSION, "An expression that gives a list", "over: input.items"),
    key("as", &Shape::ItemId, "What the body calls an item; default `item`"),
    key("concurrency", &Shape::Integer { min: 1, max: 1_000 }, "Items open at once; default 32"),
    key("join", &JOIN, "When the block ends, and how; default `settle`"),
    key("max-errors", &Shape::CountOrPercent, "How many items may fail (`settle` only)"),
    required("do", &Shape::Object(&BODY), "What is done with an item: one node or a graph", "do: { agent: echo, input: { text: \"${{ item }}\" } }"),
    key("result", &TEMPLATE, "What an item gives; default: the output of its last node"),
]);
table!(pub(crate) FAIL, "`fail`", [
    required("code", &Shape::Code, "The failure's code: `[a-z][a-z0-9-]{0,62}`", "code: not-found"),
    required("message", &TEMPLATE, "For people", "message: \"nothing found\""),
    key("data", &TEMPLATE, "For the fallback node"),
]);

static JOIN: Shape = Shape::Either {
    scalar: Some(&Shape::Words(&JOINS)),
    list: None,
    mapping: Some(&Shape::Object(&QUORUM)),
    wanted: "`settle`, `all`, `any` or `{ quorum: N }`",
};
table!(QUORUM, "`join`", [required("quorum", &COUNT, "How many must succeed", "quorum: 2"),]);

pub(crate) static TO: Shape = Shape::Either {
    scalar: Some(&REFERENCE),
    list: Some(&ENTRIES),
    mapping: None,
    wanted: "a node, `end`, or a list of `{ when: .., to: .. }` with a last `{ to: .. }`",
};
static ENTRIES: Shape =
    Shape::List { item: &Shape::Object(&ENTRY), count_max: ENTRIES_MAX, at_least_one: true };
table!(
    ENTRY,
    "an entry",
    [
        key("when", &EXPRESSION, "A condition; gives a boolean"),
        required("to", &REFERENCE, "A node of the same scope, or `end`", "to: end"),
    ]
);

table!(pub(crate) ROUTE, "`route`", [
    key("options", &EXPRESSION, "Gives the options with their confidences; default: the choices of the agent's reply"),
    key("threshold", &Shape::Number { min: 0.0, max: 1.0 }, "Below it the run goes to `below`; default 0.75"),
    required("to", &Shape::Options(&REFERENCE), "Each option with its target", "to: { yes: end, no: end }"),
    key("below", &REFERENCE, "Where a winner below the threshold goes"),
    key("default", &REFERENCE, "Where the run goes without any option"),
    later("weights", &Shape::Options(&WEIGHT), Feature::Weights, "Variants with their weights"),
    later("key", &EXPRESSION, Feature::Weights, "What stays with one variant"),
], one_of [], exclusive [
    &["options", "weights"], &["threshold", "weights"], &["below", "weights"], &["default", "weights"], &["options", "key"],
]);

table!(
    CHANNEL,
    "a channel",
    [
        required("reduce", &Shape::Words(&REDUCERS), "How an update changes it", "reduce: replace"),
        key("schema", &SCHEMA, "JSON Schema of its value"),
        key("initial", &TEMPLATE, "Its first value"),
        key("keep", &Shape::Words(&KEEPS), "Whose copy it is; default `run`"),
    ]
);

static CONSTANT: Shape = Shape::Either {
    scalar: Some(&Shape::Any),
    list: Some(&Shape::Any),
    mapping: Some(&Shape::Object(&CONSTANT_TABLE)),
    wanted: "a value",
};
table!(
    CONSTANT_TABLE,
    "a constant",
    [
        key("value", &Shape::Any, "Any value"),
        key("path", &FILE_PATH, "A file whose text is the value"),
        key("template", &FILE_PATH, "A file that is a text template for `render`"),
    ],
    one_of[&["value", "path", "template"]],
    exclusive[&["value", "path", "template"]]
);

table!(pub(crate) DEFAULTS, "`defaults`", [
    key("retry", &Shape::Object(&RETRY), "Retry of agent nodes, key by key"),
    key("timeout", &DURATION, "Timeout of one attempt of an agent; default `60s`"),
]);
table!(pub(crate) RETRY, "`retry`", [
    key("strategy", &Shape::Words(&STRATEGIES), "How the delay grows; default `exponential`"),
    key("max-retries", &Shape::Integer { min: 0, max: 100 }, "Retries after the first attempt; default 3"),
    key("base-delay", &DURATION, "The first delay; default `1s`"),
    key("factor", &Shape::Number { min: 1.0, max: 100.0 }, "What each further delay is multiplied by; default 2"),
    key("max-delay", &DURATION, "No delay is longer; default `24h`"),
    key("jitter", &Shape::Number { min: 0.0, max: 1.0 }, "How much of the delay is random; default 0"),
    key("retry-on", &Shape::List { item: &Shape::Words(&RETRIED), count_max: 5, at_least_one: false }, "The classes of failures that are tried again"),
]);
table!(pub(crate) LIMITS, "`limits`", [
    key("max-steps", &Shape::Integer { min: 1, max: 100_000 }, "Visits of nodes in one scope instance; default 1000"),
    key("max-total-steps", &Shape::Integer { min: 1, max: 1_000_000 }, "Visits of nodes in a run; default 100000"),
    key("max-items", &Shape::Integer { min: 1, max: 10_000 }, "Items of one map; default 1000"),
    key("payload", &Shape::Size { max_bytes: PAYLOAD_BYTES_MAX }, "One input, output, update, signal or answer; default `1MiB`"),
    key("state", &Shape::Size { max_bytes: PAYLOAD_BYTES_MAX }, "All channels; default `1MiB`"),
    key("expression-fuel", &Shape::Integer { min: 1, max: 1_000_000 }, "Instructions of one expression; default 100000"),
]);
table!(
    CACHE,
    "`cache`",
    [
        required("for", &DURATION, "How long a success is kept", "for: 1h"),
        key("key", &EXPRESSION, "What is compared besides the input"),
        key("scope", &Shape::Words(&CACHE_SCOPES), "Who shares it; default `workflow`"),
    ]
);
table!(
    THREAD,
    "`thread`",
    [key(
        "second-run",
        &Shape::Words(&SECOND_RUNS),
        "What happens to a second run of a thread; default `reject`"
    ),]
);
table!(TRIGGER, "a trigger", [
    key("cron", &TEXT, "Five fields: minute, hour, day, month, weekday"),
    key("zone", &TEXT, "The time zone of `cron`; default `UTC`"),
    key("overlap", &Shape::Words(&OVERLAPS), "What happens when the last run is still going; default `skip`"),
    key("webhook", &ID, "The name in the address that is called"),
    key("secret", &TEXT, "The name of the secret that signs the call"),
    key("key", &EXPRESSION, "Runs with an equal key start once"),
    required("input", &TEMPLATE, "The input of the run", "input: { at: \"${{ trigger.at }}\" }"),
], one_of [&["cron", "webhook"]], exclusive [
    &["cron", "webhook"], &["cron", "secret"], &["cron", "key"], &["webhook", "zone"], &["webhook", "overlap"],
]);
table!(
    COMPENSATE,
    "`compensate`",
    [
        required("agent", &REFERENCE, "The plugin that undoes it", "agent: cancel"),
        key("input", &TEMPLATE, "What it is given"),
        key("retry", &Shape::Object(&RETRY), "How failures are tried again"),
        key("timeout", &DURATION, "The longest one attempt may take"),
    ]
);
table!(
    CHILD,
    "an entry of `workflows`",
    [
        required("path", &FILE_PATH, "The child's file", "path: children/child.yaml"),
        required("version", &ANY_INTEGER, "The child's version", "version: 1"),
    ]
);
table!(PLUGIN, "a plugin", [
    key("path", &FILE_PATH, "The component's file"),
    key("builtin", &ID, "A component that comes with the host"),
    later("function", &Shape::Function, Feature::Function, "The exported function that is called, of any component: `ns:pkg/iface#name`, with `@1.2.3` before `#` where there are several versions, or `name` alone"),
    key("digest", &Shape::Digest, "`sha256:` and 64 hexadecimal digits of the file"),
    key("grants", &Shape::Object(&GRANTS), "What the plugin may do"),
    key("limits", &Shape::Object(&PLUGIN_LIMITS), "Bounds of one attempt"),
], one_of [&["path", "builtin"]], exclusive [&["path", "builtin"], &["builtin", "function"]]);
table!(pub(crate) PLUGIN_LIMITS, "the limits of a plugin", [
    key("memory", &Shape::Size { max_bytes: PLUGIN_LIMIT_BYTES_MAX }, "Linear memory; default `64MiB`"),
    key("cpu", &DURATION, "CPU time; default `10s`"),
    key("output", &Shape::Size { max_bytes: PAYLOAD_BYTES_MAX }, "The reply; default `1MiB`"),
    key("log", &Shape::Size { max_bytes: PAYLOAD_BYTES_MAX }, "Log lines; default `64KiB`"),
]);
table!(pub(crate) GRANTS, "`grants`", [
    key("memory", &Shape::Words(&MEMORY), "The host's memory"),
    later("http", &Shape::List { item: &HTTP, count_max: DECLARED_MAX, at_least_one: false }, Feature::Http, "The origins it may call"),
    later("model", &ID_LIST, Feature::Model, "The models it may use"),
    later("tools", &ID_LIST, Feature::Tools, "The tools it may call"),
    later("secrets", &TEXTS, Feature::Secrets, "The secrets that may be put into its requests"),
    later("env", &TEXTS, Feature::Env, "The environment variables it sees"),
    later("files", &Shape::Named { value: &Shape::Object(&FILES), count_max: DIRECTORIES_MAX, at_least_one: false }, Feature::Files, "The directories it sees"),
    later("clock", &Shape::Words(&CLOCKS), Feature::Clock, "The clock it reads"),
    later("random", &Shape::True, Feature::Random, "Whether its random numbers are random"),
]);
static HTTP: Shape = Shape::Either {
    scalar: Some(&Shape::Origin),
    list: None,
    mapping: Some(&Shape::Object(&HTTP_TABLE)),
    wanted: "an origin such as `https://api.example.com`, or `{ origin, methods }`",
};
table!(
    HTTP_TABLE,
    "an entry of `http`",
    [
        required("origin", &Shape::Origin, "Scheme, host and port", "origin: https://api.example.com"),
        key("methods", &TEXTS, "The methods; default: all"),
    ]
);
table!(
    FILES,
    "an entry of `files`",
    [
        required("path", &FILE_PATH, "The directory", "path: data"),
        required(
            "access",
            &Shape::Words(&FILE_ACCESS),
            "Read only, or an empty directory of its own",
            "access: read"
        ),
    ]
);

static STAGES: [Word; 7] = [
    word("init"),
    word("validation"),
    word("processing"),
    word("review"),
    word("approval"),
    word("completion"),
    word("error"),
];
static REDUCERS: [Word; 6] =
    [word("replace"), word("append"), word("merge"), word("sum"), word("min"), word("max")];
static KEEPS: [Word; 3] = [word("run"), word("thread"), word("branch")];
static JOINS: [Word; 3] = [word("settle"), word("all"), word("any")];
static STRATEGIES: [Word; 4] = [word("exponential"), word("fixed"), word("immediate"), word("none")];
static RETRIED: [Word; 5] =
    [word("agent"), word("trap"), word("timeout"), word("invalid-output"), word("limit")];
static ON_TIMEOUT_REVIEW: [Word; 3] = [word("fail"), word("approve"), word("reject")];
static ON_TIMEOUT_WAIT: [Word; 1] = [word("fail")];
static CACHE_SCOPES: [Word; 3] = [word("run"), word("thread"), word("workflow")];
static SECOND_RUNS: [Word; 3] = [word("reject"), word("queue"), word("interrupt")];
static OVERLAPS: [Word; 3] = [word("skip"), word("queue"), word("allow")];
static MEMORY: [Word; 2] = [word("read"), word("write")];
static FILE_ACCESS: [Word; 2] = [word("read"), word("scratch")];
static CLOCKS: [Word; 1] = [word("coarse")];

impl Table {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
