//! The log of the host: what it has to say to operators, on stderr, as text for people or one JSON object a line. Lines that
//! belong to an attempt have `run_id`, `node` and `attempt`; lines of plugins have `plugin` and their own level.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use bandstand_engine::CommandId;
use bandstand_sandbox::LogLevel;
use serde::Deserialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Under this target come the lines of plugins.
pub(crate) const PLUGINS: &str = "bandstand_plugin";
/// The environment variable that says how the log is written.
pub const LOG_ENV: &str = "BANDSTAND_LOG";

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

static FORMAT: AtomicU8 = AtomicU8::new(TEXT);
const TEXT: u8 = 0;
const JSON: u8 = 1;

/// What the log is begun with.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// As somebody asked.
    pub format: Option<LogFormat>,
    /// The least that is told.
    pub level: Level,
    /// Whether colours are seen.
    pub colour: bool,
    /// Whether this process serves others, so that its log is read by machines unless a person looks at it.
    pub serves: bool,
}

/// Begins the log. What an earlier call of the process began stays.
pub fn begin(options: LogOptions) {
    let LogOptions { format, level, colour, serves } = options;
    let by_itself =
        if serves && !std::io::stderr().is_terminal() { LogFormat::Json } else { LogFormat::Text };
    let format = format.unwrap_or(by_itself);
    use_format(format);
    // Other crates' details are of no use to an operator. Plugins' lines are shown to who follows a run; in a log they are
    // wanted where a machine reads it, or many runs go on.
    let plugins = if format == LogFormat::Json || serves { "debug" } else { "off" };
    let filter = EnvFilter::new(format!(
        "warn,bandstand={level},bandstand_store={level},bandstand_sandbox={level},bandstand_driver={level},\
         {PLUGINS}={plugins}"
    ));
    let lines = Lines { text: format::format().with_target(false) };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A test may have set one before.
    let _ = subscriber.with_ansi(colour).event_format(lines).try_init();
}

/// From now on lines are written so.
pub fn use_format(format: LogFormat) {
    FORMAT.store(if format == LogFormat::Json { JSON } else { TEXT }, Ordering::Relaxed);
}

/// Writes lines in the one format or the other.
struct Lines {
    text: format::Format<format::Full>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if FORMAT.load(Ordering::Relaxed) == TEXT {
            return self.text.format_event(context, writer, event);
        }
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let at = jiff::Timestamp::now();
        let line = line(&format!("{at:.3}"), event.metadata(), fields.0);
        writeln!(writer, "{line}")
    }
}

/// One line: time, level and message first to the eye of who sorts by key; the event's fields beside them.
fn line(at: &str, metadata: &tracing::Metadata<'_>, mut fields: Map<String, Value>) -> Value {
    // An attempt is named by one word inside the host, and by three in its log.
    if let Some(id) = fields.remove("id") {
        match id.as_str().and_then(|id| id.parse::<CommandId>().ok()) {
            Some(command) => {
                fields.insert("node".to_owned(), command.path.to_string().into());
                fields.insert("attempt".to_owned(), command.attempt.into());
            }
            None => drop(fields.insert("id".to_owned(), id)),
        }
    }
    fields.insert("time".to_owned(), at.into());
    fields.insert("level".to_owned(), metadata.level().as_str().to_ascii_lowercase().into());
    let target = metadata.target().split("::").next().unwrap_or_default();
    fields.insert("target".to_owned(), target.into());
    Value::Object(fields)
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

/// Lines of plugins that are written in a second, over all plugins. Each attempt has a bound of its own beside.
const PLUGIN_LINES_MAX: u64 = 100;

/// How many lines of plugins this second has seen: the second in the upper half, the number in the lower.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Whether one more line is written now, and how many were left out in the second before.
fn may_write(second: u64) -> (bool, u64) {
    let mut left_out = 0;
    let next = |seen: u64| {
        let (of, number) = (seen >> 32, seen & 0xffff_ffff);
        if of == second & 0xffff_ffff {
            left_out = 0;
            Some((of << 32) | (number + 1).min(0xffff_ffff))
        } else {
            left_out = number.saturating_sub(PLUGIN_LINES_MAX);
            Some(((second & 0xffff_ffff) << 32) | 1)
        }
    };
    let before = SEEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
    let number = if before >> 32 == second & 0xffff_ffff { before & 0xffff_ffff } else { 0 };
    (number < PLUGIN_LINES_MAX, left_out)
}

/// Whose line it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) id: &'a CommandId,
    pub(crate) plugin: &'a str,
}

/// Writes a plugin's line to the log, unless there are too many.
pub(crate) fn plugin_line(of: Line<'_>, level: LogLevel, message: &str, fields: &str) {
    if !tracing::enabled!(target: PLUGINS, Level::ERROR) {
        return;
    }
    let second = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    let (write, left_out) = may_write(second);
    if left_out > 0 {
        tracing::warn!(target: PLUGINS, left_out, "lines of plugins were left out, more than {PLUGIN_LINES_MAX} a second");
    }
    if !write {
        return;
    }
    let Line { run_id, id, plugin } = of;
    macro_rules! write {
        ($level:expr) => {
            tracing::event!(target: PLUGINS, $level, run_id, %id, plugin, data = fields, "{message}")
        };
    }
    match level {
        LogLevel::Trace => write!(Level::TRACE),
        LogLevel::Debug => write!(Level::DEBUG),
        LogLevel::Info => write!(Level::INFO),
        LogLevel::Warn => write!(Level::WARN),
        LogLevel::Error => write!(Level::ERROR),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_plugins_are_bounded_each_second_and_those_left_out_are_counted() {
        let written = (0..150).filter(|_| may_write(7).0).count();
        assert_eq!(written as u64, PLUGIN_LINES_MAX);
        assert_eq!(may_write(8), (true, 50));
        assert_eq!(may_write(8), (true, 0));
    }
}
