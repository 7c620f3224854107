//! `bandstand runs show`: all that R5.3 asks of one run, or its events one by one.

use clap::Args;
use serde_json::{Value, json};

use super::report::AUDIT_SHOWN_MAX;
use crate::cli::context::{Context, now};
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::{event_line, text_member};
use crate::cli::history::{self, route_line};
use crate::cli::plugin::quarantine;
use crate::cli::runs::list::status_words;
use crate::cli::site::Site;
use crate::cli::term::out::Tone;
use crate::cli::term::table::Table;
use crate::cli::term::{safe, words};
use crate::view::{
    LeaseIs, ReportBlock, ReportError, ReportLink, ReportReview, ReportSignal, RunReport, RunSummary,
    VisibleError, WaitsFor, event_value, moment,
};

/// Characters of a channel's value that a line shows; `--json` has it whole.
const VALUE_LENGTH_MAX: usize = 200;
/// Characters of an audit entry's payload that a line shows.
const PAYLOAD_LENGTH_MAX: usize = 200;

/// Events that are read at a time.
const PAGE_EVENTS: u32 = 500;

/// What `show` is given.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = crate::cli::arguments::id)]
    pub run: String,
    /// Show its events instead, one a line
    #[arg(long)]
    pub events: bool,
    /// With --events: leave out what was before this event
    #[arg(long, value_name = "SEQ", default_value_t = 0, hide_default_value = true, requires = "events")]
    pub from: u64,
    /// With --events: how many at most; what one decision led to is not cut
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, requires = "events", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// Print one text member of its result as it is, such as `report.markdown`
    #[arg(long, value_name = "PATH", conflicts_with_all = ["json", "events"])]
    pub print: Option<String>,
}

/// Prints it.
pub fn execute(args: &ShowArgs, context: &Context) -> Result<Exit, Failure> {
    let site = context.site()?;
    let run = site.run(&args.run)?;
    if args.events {
        return events(args, &site, &run, context);
    }
    let report = site.report(&run.run_id)?;
    if let Some(member) = &args.print {
        print_member(&report, member, context)?;
    } else if context.out.json {
        context.out.json_line(&json!(report));
    } else {
        Shown { report: &report, context }.lines().iter().for_each(|line| context.out.data(line));
    }
    Ok(Exit::Succeeded)
}

fn print_member(report: &RunReport, member: &str, context: &Context) -> Result<(), Failure> {
    let (run, data) = (&report.run, context.data_option());
    if run.status != "succeeded" {
        let what = format!("run {} has no result: it is {}", run.run_id, run.status);
        let help = format!("what there is of it: bandstand runs show {}{data}", run.run_id);
        return Err(Failure::not_found(what).help(help));
    }
    let Some(result) = &report.result else {
        let problem = report.unreadable.as_deref().unwrap_or("it has none");
        let what = format!("run {} succeeded, but its result cannot be told: {problem}", run.run_id);
        let help = format!("its history: bandstand runs show {} --events{data}", run.run_id);
        return Err(Failure::storage(what).help(help));
    };
    let text = text_member(result, member).map_err(|problem| {
        let help = format!("the whole result: bandstand runs show {} --json{data}", run.run_id);
        Failure::usage(format!("run {}: {problem}", run.run_id)).help(help)
    })?;
    context.out.text(&safe::block(text));
    Ok(())
}

/// Its events from one on, so many and no more.
fn events(args: &ShowArgs, site: &Site, run: &RunSummary, context: &Context) -> Result<Exit, Failure> {
    let (mut from, mut shown) = (args.from, 0);
    while shown < args.limit {
        let wanted = u32::try_from(args.limit - shown).unwrap_or(PAGE_EVENTS).min(PAGE_EVENTS);
        let rows = site.events(&run.run_id, from, wanted)?;
        if rows.is_empty() {
            return Ok(Exit::Succeeded);
        }
        for row in rows {
            for (seq, event) in (row.seq..).zip(row.events.iter()) {
                if context.out.json {
                    context.out.json_line(&event_value(&run.run_id, seq, row.at, event));
                } else if let Some(line) = event_line(&context.out, row.at, event) {
                    context.out.data(&line);
                }
            }
            shown += row.events.len() as u64;
            from = row.seq + row.events.len() as u64;
        }
    }
    if !site.events(&run.run_id, from, 1)?.is_empty() {
        context.out.note(&format!("there are more events: --from {from}"));
    }
    Ok(Exit::Succeeded)
}

/// A report as people read it.
struct Shown<'a> {
    report: &'a RunReport,
    context: &'a Context,
}

impl Shown<'_> {
    fn lines(&self) -> Vec<String> {
        let (report, run, out) = (self.report, &self.report.run, &self.context.out);
        let mut lines = Vec::new();
        let mut fact = |name: &str, text: String| {
            if !text.is_empty() {
                lines.push(format!(
                    "{}  {}",
                    out.paint(Tone::Faint, &format!("{name:<9}")),
                    safe::line(&text)
                ));
            }
        };
        fact("run", run.run_id.clone());
        fact("workflow", format!("{} version {}", run.workflow, run.version));
        fact("from", report.from.as_ref().map(from_words).unwrap_or_default());
        for link in report.forks.iter().chain(&report.children) {
            fact("to", to_words(link));
        }
        fact("status", status_words(run));
        fact("problem", run.problem.clone().filter(|_| run.status == "stuck").unwrap_or_default());
        for retried in &report.retried {
            fact("retried", format!("{} by {}", words::instant(moment(&retried.at)), retried.by));
        }
        fact("stage", self.stages());
        fact("thread", thread_words(run));
        fact("user", run.user_id.clone().unwrap_or_default());
        fact("started", words::instant(moment(&run.started_at)));
        fact("ended", run.ended_at.as_deref().map(moment).map(words::instant).unwrap_or_default());
        fact("took", words::span(report.duration_ms));
        fact("input", report.input.as_ref().map(safe::json).unwrap_or_default());
        let mut section = |title: &str, body: Vec<String>| {
            if !body.is_empty() {
                lines.push(String::new());
                lines.push(out.paint(Tone::Strong, title));
                lines.extend(body.into_iter().map(|line| format!("  {line}")));
            }
        };
        section("Waits for", self.waiting_lines());
        section("Nodes", self.node_lines());
        section("Models", self.model_lines());
        section("Tools", self.tool_lines());
        section("Errors", report.errors.iter().flat_map(failed_lines).collect());
        section("Retries", self.retry_lines());
        section("Reviews", report.reviews.iter().flat_map(review_lines).collect());
        section("Routing", self.route_lines());
        section("Signals", report.signals.iter().map(signal_line).collect());
        section("Cached", self.cached_lines());
        section("Checkpoints", self.checkpoint_lines());
        section("Branches", report.parallel.iter().flat_map(block_lines).collect());
        section("Warnings", self.warning_lines());
        section("Audit", self.audit_lines());
        section("State", self.state_lines());
        section("Outcome", self.outcome_lines());
        section("Not shown", self.cut_lines());
        lines
    }

    fn cut_lines(&self) -> Vec<String> {
        let cut = self.report.cut.iter();
        let mut lines: Vec<String> =
            cut.map(|(name, cut)| format!("{cut} earlier entries of {}", safe::line(name))).collect();
        if !lines.is_empty() {
            let (run_id, data) = (&self.report.run.run_id, self.context.data_option());
            lines.push(format!("every event: bandstand runs show {run_id} --events{data}"));
        }
        lines
    }

    fn stages(&self) -> String {
        let started = moment(&self.report.run.started_at);
        let stages = self.report.stages.iter();
        let names: Vec<String> = stages
            .map(|entered| {
                format!("{} ({})", entered.stage, words::span(moment(&entered.at).since_ms(started)))
            })
            .collect();
        names.join(" -> ")
    }

    fn waiting_lines(&self) -> Vec<String> {
        let paused = self.report.paused.iter().map(|paused| {
            let by = history::by_whom("paused", &paused.by, &paused.reason);
            format!("resumption: {by} ({})", words::instant(moment(&paused.at)))
        });
        let waiting = self.report.waiting_for.iter().map(waiting_line);
        paused.chain(waiting).map(|line| safe::line(&line)).collect()
    }

    fn cached_lines(&self) -> Vec<String> {
        let cached = self.report.cached.iter();
        cached
            .map(|cached| {
                let gone = if cached.from_is_gone { ", which is gone" } else { "" };
                let from = history::cached_words(&cached.from_path, &cached.from_run);
                safe::line(&format!("{}  {}  {from}{gone}", words::clock(moment(&cached.at)), cached.path))
            })
            .collect()
    }

    fn checkpoint_lines(&self) -> Vec<String> {
        let checkpoints = self.report.checkpoints.iter();
        checkpoints
            .map(|passed| {
                let at = words::clock(moment(&passed.at));
                safe::line(&format!("{at}  {} after {} (event {})", passed.name, passed.path, passed.seq))
            })
            .collect()
    }

    fn node_lines(&self) -> Vec<String> {
        let mut table = Table::new(&["node", "visits", "failed", "attempts", "total", "longest", "cpu"]);
        for node in &self.report.nodes {
            table.row([
                node.node.clone(),
                node.visits.to_string(),
                node.failed.to_string(),
                node.attempts.to_string(),
                words::span(node.total_ms),
                words::span(node.longest_ms),
                if node.attempts > 0 { words::span(node.cpu_us / 1_000) } else { String::new() },
            ]);
        }
        if table.is_empty() {
            return Vec::new();
        }
        let mut lines = table.lines(0);
        let usage = &self.report.usage;
        lines.push(format!(
            "attempts together: {} of processor time, {} of memory at most, queued {}; interrupted {} times",
            words::span(usage.cpu_us / 1_000),
            words::size(usage.memory_bytes_max),
            words::span(usage.queued_ms),
            self.report.interruptions
        ));
        lines
    }

    /// What models were asked, and what they cost, by node and together.
    fn model_lines(&self) -> Vec<String> {
        let usage = &self.report.usage;
        if usage.model_calls == 0 {
            return Vec::new();
        }
        let mut table = Table::new(&["node", "calls", "tokens in", "tokens out", "cost", "waited"]);
        for node in self.report.nodes.iter().filter(|node| node.model_calls > 0) {
            table.row([
                node.node.clone(),
                node.model_calls.to_string(),
                node.tokens_in.to_string(),
                node.tokens_out.to_string(),
                words::money(node.cost_micros),
                words::span(node.model_ms),
            ]);
        }
        let mut lines = table.lines(0);
        lines.push(format!(
            "together: {} calls, {} tokens in, {} tokens out, cost {}, waited {}",
            usage.model_calls,
            usage.tokens_in,
            usage.tokens_out,
            words::money(usage.cost_micros),
            words::span(usage.model_ms)
        ));
        lines
    }

    /// Which tools were called, by node.
    fn tool_lines(&self) -> Vec<String> {
        let mut table = Table::new(&["node", "tool", "calls", "failed", "time"]);
        for node in &self.report.nodes {
            for tool in &node.tools {
                table.row([
                    node.node.clone(),
                    tool.name.clone(),
                    tool.calls.to_string(),
                    tool.failed.to_string(),
                    words::span(tool.took_ms),
                ]);
            }
        }
        if table.is_empty() { Vec::new() } else { table.lines(0) }
    }

    fn retry_lines(&self) -> Vec<String> {
        let retries = self.report.retries.iter();
        retries
            .map(|retries| match retries.attempts_max {
                0 => safe::line(&format!("{}: attempt {}", retries.path, retries.attempt)),
                allowed => safe::line(&format!("{}: attempt {} of {allowed}", retries.path, retries.attempt)),
            })
            .collect()
    }

    fn route_lines(&self) -> Vec<String> {
        let routes = self.report.routing.iter();
        routes
            .map(|decided| {
                let at = words::clock(moment(&decided.at));
                safe::line(&format!("{at}  {}  {}", decided.route.p, route_line(&decided.route)))
            })
            .collect()
    }

    fn warning_lines(&self) -> Vec<String> {
        let warnings = self.report.warnings.iter();
        warnings
            .map(|told| {
                safe::line(&format!("{}  {}  {}", words::clock(moment(&told.at)), told.path, told.message))
            })
            .collect()
    }

    fn audit_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.report.audit_cut {
            lines.push(format!("the newest {AUDIT_SHOWN_MAX}; there are earlier ones"));
        }
        lines.extend(self.report.audit.iter().map(|entry| {
            let tags =
                if entry.tags.is_empty() { String::new() } else { format!(" [{}]", entry.tags.join(", ")) };
            let payload = safe::short(&entry.payload.to_string(), PAYLOAD_LENGTH_MAX);
            let by = entry.user_id.as_ref().map_or(String::new(), |user| format!(" for {user}"));
            let at = words::instant(moment(&entry.at));
            safe::line(&format!("{at}  {}  {}{by}: {} {payload}{tags}", entry.id, entry.source, entry.action))
        }));
        lines
    }

    fn state_lines(&self) -> Vec<String> {
        match (&self.report.state, &self.report.unreadable) {
            (Some(Value::Object(channels)), _) => channels
                .iter()
                .map(|(name, value)| {
                    let value = safe::short(&safe::json(value), VALUE_LENGTH_MAX);
                    format!("{} = {value}", safe::line(name))
                })
                .collect(),
            (None, Some(problem)) => vec![format!("cannot be told: {}", safe::line(problem))],
            _ => Vec::new(),
        }
    }

    fn outcome_lines(&self) -> Vec<String> {
        let report = self.report;
        if let Some(result) = &report.result {
            return safe::json_pretty(result).lines().map(str::to_owned).collect();
        }
        if let Some(error) = &report.error {
            return vec![safe::line(&format!("failed at {}: {}", error.path, error_words(error)))];
        }
        let ended = [("cancelled", &report.cancelled), ("killed", &report.killed)];
        let ended = ended.into_iter().filter_map(|(what, ended)| Some((what, ended.as_ref()?)));
        ended.map(|(what, ended)| history::by_whom(what, &ended.by, &ended.reason)).collect()
    }
}

fn waiting_line(waits: &WaitsFor) -> String {
    let relative = |until: &str| words::relative(moment(until), now());
    match waits {
        WaitsFor::Plugin { path, attempt, plugin, quarantine, .. } => {
            let told = quarantine::sentence(quarantine);
            format!("plugin {plugin} at {path}#{attempt}, in quarantine: {told}")
        }
        WaitsFor::Start { until } => {
            format!("its start, {} ({})", words::instant(moment(until)), relative(until))
        }
        WaitsFor::Thread { thread_id, behind } => {
            let thread = thread_id.as_deref().unwrap_or_default();
            match behind {
                Some(ahead) => format!("thread {thread}, which run {ahead} has"),
                None => format!("thread {thread}"),
            }
        }
        WaitsFor::Review { path, until, review_id, title } => {
            format!("review {review_id} at {path}: {title} (expires {})", relative(until))
        }
        WaitsFor::Signal { path, until, signal } => {
            let until =
                until.as_ref().map_or(String::new(), |until| format!(" (expires {})", relative(until)));
            format!("signal {signal} at {path}{until}")
        }
        WaitsFor::Child { path, run_id, .. } => format!("child run {run_id} at {path}"),
        WaitsFor::Wait { path, until } => {
            format!("wait at {path}, {} ({})", words::instant(moment(until)), relative(until))
        }
        WaitsFor::Retry { path, until } => {
            format!("retry at {path}, {} ({})", words::instant(moment(until)), relative(until))
        }
    }
}

/// `agent/overloaded: the service is busy`.
fn error_words(error: &VisibleError) -> String {
    history::error_words(&error.class, &error.code, &error.message)
}

fn failed_lines(failed: &ReportError) -> Vec<String> {
    let error = &failed.error;
    let what = match &failed.strategy {
        Some(strategy) => format!("attempt {} of {} ({strategy})", error.attempt, error.attempts),
        None if failed.caught => "node failed, caught by on-failure".to_owned(),
        None => "node failed".to_owned(),
    };
    let at = words::clock(moment(&failed.at));
    let mut lines = vec![safe::line(&format!("{at}  {}  {what}: {}", error.path, error_words(error)))];
    if failed.strategy.is_some() {
        lines.extend(failed.plugin.as_ref().map(|plugin| safe::line(&format!("  plugin {plugin}"))));
        for (name, text) in [("last words", &failed.last_words), ("backtrace", &failed.backtrace)] {
            if let Some(text) = text {
                lines.push(format!("  {name}:"));
                lines.extend(safe::block(text).lines().map(|line| format!("    {line}")));
            }
        }
    }
    lines
}

/// The run that this one comes from.
fn from_words(link: &ReportLink) -> String {
    match (link.kind.as_str(), link.seq) {
        ("fork", Some(seq)) => format!("fork of run {} from its event {seq}", link.run_id),
        ("child", _) => {
            format!("run {}, of which it is {}", link.run_id, link.path.as_deref().unwrap_or("a part"))
        }
        (kind, _) => format!("{kind} of run {}", link.run_id),
    }
}

/// A run that comes from this one.
fn to_words(link: &ReportLink) -> String {
    match (link.kind.as_str(), link.seq) {
        ("fork", Some(seq)) => format!("run {}, a fork from event {seq}", link.run_id),
        ("child", _) => {
            format!("run {}, its child at {}", link.run_id, link.path.as_deref().unwrap_or("a node"))
        }
        (kind, _) => format!("run {}, a {kind}", link.run_id),
    }
}

fn signal_line(signal: &ReportSignal) -> String {
    let taken = match &signal.taken_by {
        Some(path) => format!("taken by {path}"),
        None => "not taken".to_owned(),
    };
    let data = safe::short(&safe::json(&signal.data), VALUE_LENGTH_MAX);
    let at = words::clock(moment(&signal.at));
    safe::line(&format!("{at}  {} by {}, {taken}: {data}", signal.name, signal.by))
}

fn review_lines(review: &ReportReview) -> Vec<String> {
    let mut lines = vec![safe::line(&format!(
        "{}  {}  {}: {}",
        review.review_id,
        review.path,
        review.outcome.as_deref().unwrap_or("open"),
        review.title
    ))];
    lines.extend(review.answers.iter().map(answer_line));
    lines
}

/// An answer to a review, for people.
pub fn answer_line(answer: &Value) -> String {
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    let mut line = format!("  {} {} by {}", text("at"), text("decision"), text("reviewer"));
    if let Some(confidence) = answer["confidence"].as_f64() {
        line.push_str(&format!(", confidence {}", words::confidence(confidence)));
    }
    if !text("comments").is_empty() {
        line.push_str(&format!(": {}", text("comments")));
    }
    if !answer["changes"].is_null() {
        line.push_str(&format!(" [edit {}: {}]", text("id"), answer["changes"]));
    }
    safe::line(&line)
}

fn block_lines(block: &ReportBlock) -> Vec<String> {
    let word = match block.satisfied {
        Some(true) => "joined",
        Some(false) => "failed",
        None => "open",
    };
    let size = usize::try_from(block.size).unwrap_or(usize::MAX);
    let of = words::count(size, if block.kind == "map" { "item" } else { "branch" })
        .replace("branchs", "branches");
    let head = format!("{}  {word}, {} of {of} ended", block.path, block.ended.len());
    let ended = block.ended.iter().map(|branch| {
        let key = match &branch.branch {
            Value::Number(index) => format!("[{index}]"),
            name => name.as_str().unwrap_or_default().to_owned(),
        };
        let took = branch.took_ms.map_or(String::new(), |took_ms| format!(" after {}", words::span(took_ms)));
        let error = branch.error.as_ref().map_or(String::new(), |error| format!(": {}", error_words(error)));
        format!("  {key} {}{took}{error}", branch.outcome)
    });
    std::iter::once(head).chain(ended).map(|line| safe::line(&line)).collect()
}

/// The thread, and whether it is the run's or the run waits for it.
fn thread_words(run: &RunSummary) -> String {
    let thread = run.thread_id.clone().unwrap_or_default();
    match run.lease.as_ref().map(|lease| lease.is) {
        None => thread,
        Some(LeaseIs::Held) => format!("{thread} (no other run writes it until this one ends)"),
        Some(LeaseIs::Queued) => format!("{thread} (waits for it)"),
    }
}
