//! All settings that there are: what each is called, what holds when nobody sets it, an example, and what it means. The
//! template, `config show`, and the names of environment variables come from here; a test compares it with what is read.

use bandstand_sandbox::{CallLimits, Compiler, HttpLimits, Settings};

use crate::host::Persistence;
use crate::project::server;
use crate::project::telemetry::SERVICE_DEFAULT;

/// One setting.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its tables and its key, with dots; a part in capitals stands for a name that the operator chooses.
    pub path: &'static str,
    /// What holds when nobody sets it, as TOML; none: nothing does.
    pub default: Option<String>,
    /// A value that it may have, as TOML.
    pub example: &'static str,
    /// What it means.
    pub says: &'static str,
}

impl Known {
    /// Whether this is what the path leads to.
    pub fn is_at(&self, path: &[String]) -> bool {
        let parts = self.path.split('.');
        parts.clone().count() == path.len()
            && parts.zip(path).all(|(part, name)| is_name(part) || part == name)
    }
}

/// Whether a part of a path stands for a name that the operator chooses.
pub fn is_name(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_uppercase())
}

/// The tables, in the order in which the template has them, and what each is for.
pub const SECTIONS: [(&str, &str); 20] = [
    ("", "What survives what."),
    ("server", "Where and how `bandstand serve` listens."),
    (
        "tokens.NAME",
        "Who may ask what of it. `bandstand token new NAME --role ROLE` makes a token and prints these lines.",
    ),
    (
        "grants.PLUGIN",
        "What plugins may be granted, by file path from this folder, \"builtin:NAME\" or \"sha256:HEX\".",
    ),
    (
        "secrets.NAME",
        "What may be put into HTTP requests without the plugin seeing it. Its value stands elsewhere.",
    ),
    (
        "limits",
        "The most that a workflow file may ask for one attempt, and limits that no workflow file speaks of.",
    ),
    ("host", "What all attempts take together."),
    ("compile", "What compiling one plugin may take."),
    ("quarantine", "When a plugin that keeps crashing is taken out of service."),
    ("http", "HTTP requests of agents, as a whole."),
    (
        "models.NAME",
        "Language models by the names that workflow files use; several [[models.NAME]]: the first whose key is there.",
    ),
    ("budget", "What one run may spend on models."),
    ("tools.ID", "Plugins that those of workflow files may call as tools."),
    ("tools.ID.grants", "What such a tool is granted, as in workflow files."),
    ("tools.ID.limits", "Its limits, within those of [limits]."),
    ("notify.NAME", "Whom the host tells when reviews open, are answered or expire, and when runs end."),
    ("telemetry", "Where traces go, and how the log is written."),
    ("retention", "How long ended runs are kept; what is left out is kept for ever."),
    ("retention.workflow.NAME", "Of one workflow; narrower tables hold before wider ones."),
    (
        "retention.status.STATUS",
        "With one end: succeeded, failed, cancelled, killed. Also below [retention.workflow.NAME].",
    ),
];

/// A size as it is written: `64MiB`.
fn size(bytes: u64) -> Option<String> {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20)];
    let exact = units.into_iter().find(|(_, shift)| bytes >= 1 << shift && bytes.trailing_zeros() >= *shift);
    let (unit, shift) = exact.unwrap_or(("KiB", 10));
    Some(format!("\"{}{unit}\"", bytes >> shift))
}

fn size_of(bytes: usize) -> Option<String> {
    size(bytes as u64)
}

/// A span as it is written: `10s`.
fn span(ms: u64) -> Option<String> {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let exact = units.into_iter().find(|(_, factor)| ms >= *factor && ms.is_multiple_of(*factor));
    let (unit, factor) = exact.unwrap_or(("ms", 1));
    Some(format!("\"{}{unit}\"", ms / factor))
}

fn plain(value: impl std::fmt::Display) -> Option<String> {
    Some(value.to_string())
}

fn word(value: impl std::fmt::Display) -> Option<String> {
    Some(format!("\"{value}\""))
}

macro_rules! known {
    ($($path:literal, $default:expr, $example:literal, $says:literal;)*) => {
        vec![$(Known { path: $path, default: $default, example: $example, says: $says },)*]
    };
}

/// All of them, by table.
pub fn all() -> Vec<Known> {
    let (call, http, sandbox) = (CallLimits::default(), HttpLimits::default(), Settings::default());
    let (quarantine, persistence) = (bandstand_driver::Quarantine::default(), Persistence::default());
    let nothing = || plain("[]");
    known![
        "durability", word("full"), "\"full\"", "When an event counts as kept: \"full\" survives the death of the machine, \"process\" only that of the process.";

        "server.listen", word(server::LISTEN_DEFAULT), "\"127.0.0.1:7420\"", "The address and port. One that other machines reach needs tokens.";
        "server.names", nothing(), "[\"bandstand.example.com\"]", "Names that requests may be addressed to beside `localhost` and the address itself.";
        "server.origins", nothing(), "[\"https://desk.example.com\"]", "Origins of web pages that may ask.";
        "server.certificate", None, "\"cert.pem\"", "The certificates for TLS, PEM; with `key`.";
        "server.key", None, "\"key.pem\"", "The file of the private key, PEM.";
        "server.body", size(server::BODY_BYTES_DEFAULT), "\"4MiB\"", "The body of a request.";
        "server.upload", size(server::UPLOAD_BYTES_DEFAULT), "\"64MiB\"", "An uploaded plugin.";
        "server.connections", plain(server::CONNECTIONS_DEFAULT), "2048", "Connections at once.";
        "server.rate", None, "100", "Requests of one token, or of one address, in a second; none: as many as come.";
        "server.grace", span(server::GRACE_MS_DEFAULT), "\"10s\"", "How long a server that ends waits for what is under way.";
        "server.stalled", span(server::STALLED_MS_DEFAULT), "\"60s\"", "How long a client may take nothing of what it is sent; then its connection is cut.";
        "server.metrics-for-all", plain(false), "true", "Whether /metrics is for everybody; else for those who may look.";

        "tokens.NAME.digest", None, "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"", "The token's digest.";
        "tokens.NAME.roles", None, "[\"viewer\"]", "What whoever has it may do: viewer, reviewer, operator, admin.";
        "tokens.NAME.user", None, "\"ada\"", "Who has it; without, the token's name.";
        "tokens.NAME.groups", nothing(), "[\"legal\"]", "The groups they belong to.";

        "grants.PLUGIN.memory", None, "\"read\"", "The memory of the workflow: \"read\" or \"write\".";
        "grants.PLUGIN.http", nothing(), "[\"https://api.example.com\", { origin = \"https://b.example\", methods = [\"GET\"] }]", "Whom it may call over HTTP.";
        "grants.PLUGIN.model", nothing(), "[\"small\"]", "Models, by their names here.";
        "grants.PLUGIN.tools", nothing(), "[\"search\"]", "Tools, by their ids in workflow files.";
        "grants.PLUGIN.secrets", nothing(), "[\"api\"]", "Secrets, by their names here.";
        "grants.PLUGIN.env", nothing(), "[\"LANG\"]", "Environment variables of the host.";
        "grants.PLUGIN.files", nothing(), "[\"data\"]", "Directories it may read, from this folder.";
        "grants.PLUGIN.scratch", plain(false), "true", "Whether it may have directories of its own.";
        "grants.PLUGIN.clock", None, "\"coarse\"", "A clock.";
        "grants.PLUGIN.random", plain(false), "true", "Random numbers that are random.";

        "secrets.NAME.env", None, "\"API_KEY\"", "The environment variable that holds it; or `file`.";
        "secrets.NAME.file", None, "\"api.key\"", "The file that holds it; or `env`.";
        "secrets.NAME.hosts", nothing(), "[\"https://api.example.com\"]", "The origins it may go to; none: it only checks who calls a webhook.";

        "limits.memory", None, "\"256MiB\"", "Linear memory.";
        "limits.cpu", None, "\"60s\"", "Processor time.";
        "limits.output", None, "\"4MiB\"", "The reply.";
        "limits.log", None, "\"1MiB\"", "Log lines and captured output.";
        "limits.progress", size_of(call.progress_bytes_max), "\"1MiB\"", "What it tells of its progress.";
        "limits.host-calls", size_of(call.host_call_bytes_max), "\"64MiB\"", "What crosses in host calls, files and HTTP among them.";
        "limits.table-elements", plain(call.table_elements_max), "100000", "Elements of its tables.";
        "limits.handles", plain(call.handles_max), "4096", "Handles to things of the host.";
        "limits.scratch", size(call.scratch_bytes_max), "\"64MiB\"", "What is in its scratch directories.";
        "limits.scratch-entries", plain(call.scratch_entries_max), "1024", "Files, directories and links there.";
        "limits.open-files", plain(call.open_files_max), "128", "Files that it holds open.";
        "limits.tool-calls", plain(call.tool_calls_max), "100", "Tools that it calls, those that its tools call included. 0: none.";

        "host.instances", plain(sandbox.instances_max), "512", "Instances alive at once.";
        "host.queue", plain(sandbox.queue_max), "8192", "Attempts that may wait for one; 0: none may.";
        "host.queue-wait", span(sandbox.queue_wait_ms_max), "\"1m\"", "How long one may wait.";
        "host.memory", size_of(sandbox.memory_bytes_total_max), "\"8GiB\"", "Linear memory; the default is a part of this machine's.";
        "host.scratch", size(sandbox.scratch_bytes_total_max), "\"1GiB\"", "What is in scratch directories.";

        "compile.memory", size(Compiler::MEMORY_BYTES_MAX), "\"8GiB\"", "Its address space.";
        "compile.time", span(Compiler::WALL_MS_MAX), "\"5m\"", "From its start to its answer.";
        "compile.cache", size(sandbox.cache_bytes_max), "\"2GiB\"", "How much compiled code is kept.";

        "quarantine.enabled", plain(quarantine.enabled), "false", "`false`: never.";
        "quarantine.faults", plain(quarantine.faults), "10", "So many faults in a row, over all runs.";
        "quarantine.cool-down", span(quarantine.cool_down_ms), "\"30s\"", "From then to the first attempt that is let through.";
        "quarantine.cool-down-max", span(quarantine.cool_down_max_ms), "\"10m\"", "It doubles up to this.";

        "http.networks", nothing(), "[\"10.0.0.0/8\"]", "Networks that are not public and that granted origins may lead to all the same.";
        "http.authorities", nothing(), "[\"authority.pem\"]", "Files with certificates of authorities beside the usual ones, PEM.";
        "http.requests", plain(http.requests_max), "256", "Requests at once, over all plugins.";
        "http.requests-per-attempt", plain(http.requests_per_attempt_max), "8", "Requests at once in one attempt.";
        "http.wait", span(http.slot_wait_ms), "\"10s\"", "How long a request waits for its turn.";
        "http.connect", span(http.connect_ms), "\"30s\"", "From the request to a connection.";
        "http.first-byte", span(http.first_byte_ms), "\"10m\"", "From the request to the head of the response.";
        "http.head", size_of(http.head_bytes_max), "\"64KiB\"", "The headers of a request, and of a response.";
        "http.path", size_of(http.path_bytes_max), "\"8KiB\"", "The URL's path and query.";
        "http.request-body", size(http.request_body_bytes_max), "\"16MiB\"", "The body of a request.";
        "http.response-body", size(http.response_body_bytes_max), "\"16MiB\"", "The body of a response.";

        "models.NAME.provider", None, "\"openai\"", "Who has it: openai, anthropic, gemini, ollama.";
        "models.NAME.model", None, "\"gpt-5-mini\"", "The provider's name of it.";
        "models.NAME.key-env", None, "\"OPENAI_API_KEY\"", "The environment variable that holds the key; without, the provider's usual one.";
        "models.NAME.key-file", None, "\"openai.key\"", "The file that holds the key; or `key-env`.";
        "models.NAME.base-url", None, "\"https://models.example.com/v1\"", "Where the provider is, for those who speak as it does.";
        "models.NAME.input-price", None, "\"0.25\"", "For a million tokens that it reads.";
        "models.NAME.output-price", None, "\"2.00\"", "For a million tokens that it writes.";
        "models.NAME.max-output-tokens", None, "4096", "The most that it may write in one answer.";
        "models.NAME.timeout", word("2m"), "\"2m\"", "The longest a call may take.";
        "models.NAME.replies", None, "\"replies.jsonl\"", "A file of recorded replies that stands in for the provider.";

        "budget.tokens", None, "200000", "Read and written together.";
        "budget.cost", None, "\"5.00\"", "In the currency of the prices.";

        "tools.ID.path", None, "\"plugins/search.wasm\"", "The component, from this folder; or `builtin`.";
        "tools.ID.builtin", None, "\"transform\"", "One that comes with the host; or `path`.";
        "tools.ID.digest", None, "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"", "What its bytes must have.";
        "tools.ID.description", None, "\"Searches.\"", "What it does, for a model; without, what the component says.";
        "tools.ID.parameters", None, "{ type = \"object\" }", "JSON Schema of its input, or { path = \"FILE\" }; without, what the component says.";
        "tools.ID.grants.memory", None, "\"read\"", "The memory of the workflow.";
        "tools.ID.grants.http", nothing(), "[\"https://api.example.com\"]", "Whom it may call over HTTP.";
        "tools.ID.grants.model", nothing(), "[\"small\"]", "Models.";
        "tools.ID.grants.tools", nothing(), "[]", "Other tools of the host.";
        "tools.ID.grants.secrets", nothing(), "[\"api\"]", "Secrets.";
        "tools.ID.grants.env", nothing(), "[\"LANG\"]", "Environment variables of the host.";
        "tools.ID.grants.files", plain("{}"), "{ data = { path = \"data\", access = \"read\" } }", "Directories, from this folder.";
        "tools.ID.grants.clock", None, "\"coarse\"", "A clock.";
        "tools.ID.grants.random", plain(false), "true", "Random numbers that are random.";
        "tools.ID.limits.memory", None, "\"64MiB\"", "Linear memory.";
        "tools.ID.limits.cpu", None, "\"10s\"", "Processor time.";
        "tools.ID.limits.output", None, "\"1MiB\"", "The reply.";
        "tools.ID.limits.log", None, "\"64KiB\"", "Log lines and captured output.";

        "notify.NAME.url", None, "\"https://desk.example.com/bandstand\"", "The address that is posted to. Only its origin is ever shown.";
        "notify.NAME.events", None, "[\"review.opened\", \"run.ended\"]", "What it is told of; without, everything.";
        "notify.NAME.workflows", nothing(), "[\"triage\"]", "Only runs of these; empty: all.";
        "notify.NAME.secret", None, "{ env = \"DESK_KEY\" }", "Where the key is that signs: { env = \"VARIABLE\" } or { file = \"path\" }.";
        "notify.NAME.attempts", plain(persistence.attempts_max), "100", "Attempts of one delivery.";
        "notify.NAME.max-age", span(persistence.age_ms_max), "\"3d\"", "How old an event may get.";
        "notify.NAME.base-delay", span(persistence.delay_ms), "\"1s\"", "Before the second attempt.";
        "notify.NAME.max-delay", span(persistence.delay_ms_max), "\"1h\"", "The longest between two attempts.";
        "notify.NAME.timeout", word("10s"), "\"10s\"", "How long the receiver may take to answer.";
        "notify.NAME.concurrency", plain(4), "4", "Deliveries at once.";
        "notify.NAME.include", None, "\"proposal\"", "Data of the run that is sent along.";

        "telemetry.otlp", None, "\"http://127.0.0.1:4318\"", "The receiver of traces over OTLP/HTTP; without, there are none. Only its origin is ever shown.";
        "telemetry.headers-env", None, "\"OTLP_HEADERS\"", "The environment variable with headers for it: name=value,name=value.";
        "telemetry.service", word(SERVICE_DEFAULT), "\"bandstand\"", "The name that traces carry.";
        "telemetry.log", None, "\"json\"", "How the log is written, text or json, unless --log-format or BANDSTAND_LOG says it; without, JSON where a server has no terminal.";

        "retention.age", None, "\"90d\"", "Since their end.";
        "retention.count", None, "10000", "How many, the newest.";
        "retention.size", None, "\"2GiB\"", "How much they may take together.";
        "retention.workflow.NAME.age", None, "\"90d\"", "Since their end.";
        "retention.workflow.NAME.count", None, "500", "How many, the newest.";
        "retention.workflow.NAME.size", None, "\"1GiB\"", "How much they may take together.";
        "retention.workflow.NAME.all", plain(false), "true", "All of them, whatever wider tables say.";
        "retention.workflow.NAME.status.STATUS.age", None, "\"90d\"", "Since their end.";
        "retention.workflow.NAME.status.STATUS.count", None, "500", "How many, the newest.";
        "retention.workflow.NAME.status.STATUS.size", None, "\"1GiB\"", "How much they may take together.";
        "retention.workflow.NAME.status.STATUS.all", plain(false), "true", "All of them, whatever wider tables say.";
        "retention.status.STATUS.age", None, "\"365d\"", "Since their end.";
        "retention.status.STATUS.count", None, "500", "How many, the newest.";
        "retention.status.STATUS.size", None, "\"1GiB\"", "How much they may take together.";
        "retention.status.STATUS.all", plain(false), "true", "All of them, whatever wider tables say.";
    ]
}

/// A file with all of them, commented out.
pub fn template() -> String {
    let mut text = String::from(
        "# All settings of Bandstand, each with what holds when it is left out, or with an example. An unknown one is an\n\
         # error. Each can be set by an environment variable, too, which holds before this file: [server] rate by\n\
         # BANDSTAND__SERVER__RATE. `bandstand config show --origin` tells what is in force.\n",
    );
    let all = all();
    for (section, purpose) in SECTIONS {
        text.push_str(&format!("\n# {purpose}\n"));
        if !section.is_empty() {
            text.push_str(&format!("# [{section}]\n"));
        }
        for known in all.iter().filter(|known| section_of(known.path) == section) {
            let key = known.path.rsplit('.').next().unwrap_or(known.path);
            let default = known.default.as_deref().filter(|default| *default != "[]" && *default != "{}");
            let value = default.unwrap_or(known.example);
            let held = if default.is_some() { " (default)" } else { "" };
            text.push_str(&format!("# {key} = {value}\n#     {}{held}\n", known.says));
        }
    }
    text
}

fn section_of(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(section, _)| section)
}
