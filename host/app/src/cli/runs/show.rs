//! `bandstand runs show`: all that R5.3 asks of one run, or its events one by one.

use std::collections::{BTreeMap, BTreeSet};

use bandstand_engine::graph::Kind;
use bandstand_engine::run::Waiting;
use bandstand_engine::{Callee, Command, CommandId, Id, Path, Run, Timestamp};
use bandstand_store::{AuditRecord, KeptBreaker, Link, LinkKind, Links, Reader, RunLease, RunRow, Scope};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::context::{Context, now};
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::event_line;
use crate::cli::history::{
    self, Block, End, Failed, History, ReceivedSignal, Review, error_line, route_line,
};
use crate::cli::plugin::quarantine;
use crate::cli::runs::list::{self, status_words};
use crate::cli::stored::{self, LISTED_MAX};
use crate::cli::term::out::Tone;
use crate::cli::term::table::Table;
use crate::cli::term::{safe, words};
use crate::view::{event_value, problem};

/// Audit entries that are shown, the newest.
const AUDIT_SHOWN_MAX: usize = 100;
/// Characters of a channel's value that a line shows; `--json` has it whole.
const VALUE_LENGTH_MAX: usize = 200;
/// Characters of an audit entry's payload that a line shows.
const PAYLOAD_LENGTH_MAX: usize = 200;

/// Rows of the journal that are read at a time.
const PAGE_ROWS: u32 = 500;

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
    let reader = stored::open(context)?;
    let run = stored::run(&reader, &args.run)?;
    if args.events {
        return events(args, &reader, &run, context);
    }
    let history = stored::history(&reader, &run.run_id)?;
    if let Some(member) = &args.print {
        let data = context.data_option();
        let Some(End::Succeeded) = &history.end else {
            let what = format!("run {} has no result: it is {}", run.run_id, run.status.name());
            let help = format!("what there is of it: bandstand runs show {}{data}", run.run_id);
            return Err(Failure::not_found(what).help(help));
        };
        let result = stored::result(context, &run.run_id)?;
        let text = crate::cli::follow::text_member(&result, member).map_err(|problem| {
            let help = format!("the whole result: bandstand runs show {} --json{data}", run.run_id);
            Failure::usage(format!("run {}: {problem}", run.run_id)).help(help)
        })?;
        context.out.text(&safe::block(text));
        return Ok(Exit::Succeeded);
    }
    let report = Report::of(&reader, run, history)?;
    if context.out.json {
        context.out.json_line(&report.as_json());
    } else {
        report.lines(context).iter().for_each(|line| context.out.data(line));
    }
    Ok(Exit::Succeeded)
}

/// What of a run waits for a plugin that is in quarantine.
fn quarantined(reader: &Reader, run: Option<&Run>) -> Result<Vec<(CommandId, String, KeptBreaker)>, Failure> {
    let Some(run) = run.filter(|run| !run.status().is_ended() && !run.is_paused()) else {
        return Ok(Vec::new());
    };
    let breakers: BTreeMap<String, KeptBreaker> = reader
        .breakers()?
        .into_iter()
        .filter(quarantine::is_quarantined)
        .map(|breaker| (breaker.plugin.clone(), breaker))
        .collect();
    let of = |command: &Command| {
        let Callee::Plugin(name) = &command.callee else { return None };
        let breaker = breakers.get(&run.started().plugins.get(name)?.digest)?;
        Some((command.id.clone(), name.to_string(), breaker.clone()))
    };
    Ok(run.owed().filter_map(of).take(LISTED_MAX).collect())
}

/// Its events from one on, so many and no more.
fn events(args: &ShowArgs, reader: &Reader, run: &RunRow, context: &Context) -> Result<Exit, Failure> {
    let (mut from, mut shown) = (args.from, 0);
    while shown < args.limit {
        let page = reader.history(&run.run_id, from, PAGE_ROWS)?;
        for row in &page.rows {
            if shown >= args.limit {
                from = row.seq;
                break;
            }
            for (seq, event) in (row.seq..).zip(&row.events) {
                if context.out.json {
                    context.out.json_line(&event_value(&row.run_id, seq, row.at, event));
                } else if let Some(line) = event_line(&context.out, row.at, event) {
                    context.out.data(&line);
                }
            }
            shown += row.events.len() as u64;
            from = row.seq + row.events.len() as u64;
        }
        if page.next.is_none() && page.rows.last().is_none_or(|row| row.seq < from) {
            return Ok(Exit::Succeeded);
        }
    }
    if !reader.history(&run.run_id, from, 1)?.rows.is_empty() {
        context.out.note(&format!("there are more events: --from {from}"));
    }
    Ok(Exit::Succeeded)
}

struct Report {
    run: RunRow,
    history: History,
    /// The run as the engine has it, or why that cannot be told.
    folded: Result<Run, String>,
    /// The latest audit entries of its thread, oldest first; one more than is shown if there are more.
    audit: Vec<AuditRecord>,
    /// The runs it comes from and that come from it.
    links: Links,
    /// Runs whose kept replies it used and that are not in the store any more.
    gone: BTreeSet<String>,
    /// Attempts that it owes and that wait for a plugin in quarantine: which, the plugin's name, and what is known against it.
    quarantined: Vec<(CommandId, String, KeptBreaker)>,
}

fn gone(reader: &Reader, history: &History) -> Result<BTreeSet<String>, Failure> {
    let mut gone = BTreeSet::new();
    let runs: BTreeSet<&String> = newest(&history.cached).iter().map(|(_, _, from)| &from.run).collect();
    for run in runs {
        if reader.run(run)?.is_none() {
            gone.insert(run.clone());
        }
    }
    Ok(gone)
}

/// What agents wrote into the audit log of the run's thread.
fn audit(reader: &Reader, run: &RunRow) -> Result<Vec<AuditRecord>, Failure> {
    let scope = Scope {
        workflow: run.workflow.clone(),
        run_id: run.run_id.clone(),
        thread_id: run.thread_id.clone(),
        user_id: run.user_id.clone(),
        node: String::new(),
    };
    Ok(reader.audit(&scope, AUDIT_SHOWN_MAX as u32 + 1)?)
}

/// All that there is to say about a run, as JSON.
pub fn report(reader: &Reader, run: RunRow) -> Result<Value, Failure> {
    let history = stored::history(reader, &run.run_id)?;
    Ok(Report::of(reader, run, history)?.as_json())
}

impl Report {
    fn of(reader: &Reader, run: RunRow, history: History) -> Result<Report, Failure> {
        let audit = audit(reader, &run)?;
        let links = reader.links(&run.run_id)?;
        let gone = gone(reader, &history)?;
        let folded = stored::folded(reader, &run.run_id);
        let quarantined = quarantined(reader, folded.as_ref().ok())?;
        Ok(Report { folded, run, history, audit, links, gone, quarantined })
    }

    /// The run's channels.
    fn state(&self) -> Result<Value, &str> {
        let channels = self.folded.as_ref().map_err(String::as_str)?.channels();
        Ok(Value::Object(channels.iter().map(|(id, value)| (id.to_string(), (**value).clone())).collect()))
    }

    /// What it came to, if it succeeded.
    fn result(&self) -> Option<Value> {
        let succeeded = matches!(self.history.end, Some(End::Succeeded));
        let run = self.folded.as_ref().ok().filter(|_| succeeded)?;
        run.output().map(|output| (**output).clone())
    }

    /// The audit entries that are shown, and whether there are earlier ones.
    fn audit(&self) -> (&[AuditRecord], bool) {
        let earlier = self.audit.len().saturating_sub(AUDIT_SHOWN_MAX);
        (&self.audit[earlier..], earlier > 0)
    }

    /// How many entries of each list are older than those that are shown; of lists that are shown whole, nothing.
    fn cut(&self) -> serde_json::Map<String, Value> {
        let history = &self.history;
        let lists = [
            ("stages", history.stages_left_out + history.stages.len()),
            ("errors", history.errors.len()),
            ("retries", self.retried().len()),
            ("reviews", history.reviews.len()),
            ("routing", history.routes_left_out + history.routes.len()),
            ("parallel", history.blocks.len()),
            ("warnings", history.warnings.len()),
            ("cached", history.cached.len()),
        ];
        let earlier = lists.into_iter().map(|(name, length)| (name, length.saturating_sub(LISTED_MAX)));
        earlier.filter(|(_, cut)| *cut > 0).map(|(name, cut)| (name.to_owned(), json!(cut))).collect()
    }

    /// Visits that were tried more than once, or failed: attempts made and allowed.
    fn retried(&self) -> Vec<(&Path, (u32, u32))> {
        let retries = self.history.retries.iter();
        retries.map(|(path, counts)| (path, *counts)).collect()
    }

    /// The plugin of an agent's visit, by the name that the workflow file gives it.
    fn plugin_of(&self, path: &Path) -> Option<&Id> {
        match &self.folded.as_ref().ok()?.graph().node(path)?.kind {
            Kind::Agent(agent) => Some(&agent.plugin),
            _ => None,
        }
    }

    fn failed_json(&self, failed: &Failed) -> Value {
        let mut line = (*failed.error.to_visible(None)).clone();
        line["id"] = json!(failed.error.id);
        line["at"] = json!(failed.at.to_string());
        line["of"] = json!(if failed.strategy.is_some() { "attempt" } else { "node" });
        line["plugin"] = json!(self.plugin_of(&failed.error.path));
        line["strategy"] = json!(failed.strategy);
        line["exhausted"] = json!(failed.exhausted);
        line["caught"] = json!(failed.caught);
        line["backtrace"] = json!(failed.error.failure.backtrace);
        line["last_words"] = json!(failed.error.failure.last_words);
        line
    }

    fn failed_lines(&self, failed: &Failed) -> Vec<String> {
        let error = &failed.error;
        let what = match &failed.strategy {
            Some(strategy) => format!("attempt {} of {} ({strategy})", error.attempt, error.attempts),
            None if failed.caught => "node failed, caught by on-failure".to_owned(),
            None => "node failed".to_owned(),
        };
        let mut lines =
            vec![format!("{}  {}  {what}: {}", words::clock(failed.at), error.path, error_line(error))];
        if failed.strategy.is_some() {
            lines.extend(self.plugin_of(&error.path).map(|plugin| format!("  plugin {plugin}")));
            for (name, text) in
                [("last words", &error.failure.last_words), ("backtrace", &error.failure.backtrace)]
            {
                if let Some(text) = text {
                    lines.push(format!("  {name}:"));
                    lines.extend(safe::block(text).lines().map(|line| format!("    {line}")));
                }
            }
        }
        lines
    }

    fn as_json(&self) -> Value {
        let history = &self.history;
        let started = history.started.as_deref();
        let mut report = list::as_json(&self.run);
        let plugins: serde_json::Map<String, Value> = started
            .into_iter()
            .flat_map(|started| &started.plugins)
            .map(|(id, pin)| (id.to_string(), json!(pin.digest)))
            .collect();
        let stages: Vec<_> = newest(&history.stages)
            .iter()
            .map(|(at, stage, path)| json!({ "stage": stage.name(), "at": at.to_string(), "path": path.to_string() }))
            .collect();
        let retries: Vec<_> = newest(&self.retried())
            .iter()
            .map(|(path, (made, allowed))| {
                json!({ "path": path.to_string(), "attempt": made, "attempts_max": allowed })
            })
            .collect();
        let nodes: Vec<_> = history
            .nodes
            .iter()
            .map(|(node, times)| {
                let tools = history.tools.iter().filter(|((of, _), _)| of == node);
                let tools: Vec<_> = tools
                    .map(|((_, name), sums)| {
                        json!({
                            "name": name, "calls": sums.calls, "failed": sums.failed, "took_ms": sums.took_ms,
                        })
                    })
                    .collect();
                json!({
                    "tools": tools,
                    "node": node, "visits": times.visits, "failed": times.failed, "attempts": times.attempts,
                    "cached": times.cached, "total_ms": times.total_ms, "longest_ms": times.longest_ms, "cpu_us": times.cpu_us,
                    "model_calls": times.model_calls, "model_ms": times.model_ms, "tokens_in": times.spent.tokens_in,
                    "tokens_out": times.spent.tokens_out, "cost_micros": times.spent.cost_micros,
                })
            })
            .collect();
        let warnings: Vec<_> = newest(&history.warnings)
            .iter()
            .map(
                |(at, path, text)| json!({ "at": at.to_string(), "path": path.to_string(), "message": text }),
            )
            .collect();
        let (audit, audit_cut) = self.audit();
        let further = json!({
            "events": history.events,
            "duration_ms": self.run.ended_at.unwrap_or_else(now).since_ms(self.run.started_at),
            "input": started.and_then(|started| history.value(&started.input)),
            "pins": started.map(|started| json!({
                "source": started.workflow.source, "graph": started.workflow.graph, "plugins": plugins,
                "host_version": started.host_version,
            })),
            "from": self.links.from.as_ref().map(link_json),
            "edits": history.adopted.iter().flat_map(|adopted| &adopted.edits).map(|edit| {
                json!({ "path": edit.path, "value": edit.value.value() })
            }).collect::<Vec<_>>(),
            "forks": self.links.to.iter().filter(|link| link.kind != LinkKind::Child).map(link_json).collect::<Vec<_>>(),
            "children": self.links.to.iter().filter(|link| link.kind == LinkKind::Child).map(link_json).collect::<Vec<_>>(),
            "retried": history.retried.iter().map(|(at, by)| {
                json!({ "at": at.to_string(), "by": by })
            }).collect::<Vec<_>>(),
            "stages": stages,
            "waiting_for": self.waiting_for(),
            "errors": newest(&history.errors).iter().map(|failed| self.failed_json(failed)).collect::<Vec<_>>(),
            "retries": retries,
            "reviews": newest(&history.reviews).iter().map(review_json).collect::<Vec<_>>(),
            "routing": newest(&history.routes).iter().map(|(at, route)| {
                let mut line = serde_json::to_value(route).unwrap_or_default();
                line["at"] = json!(at.to_string());
                line
            }).collect::<Vec<_>>(),
            "parallel": newest(&history.blocks).iter().map(block_json).collect::<Vec<_>>(),
            "nodes": nodes,
            "cached": newest(&history.cached).iter().map(|(at, path, from)| json!({
                "path": path.to_string(), "at": at.to_string(), "from_run": from.run,
                "from_path": from.p.to_string(), "from_is_gone": self.gone.contains(&from.run),
            })).collect::<Vec<_>>(),
            "checkpoints": history.checkpoints.iter().map(|(at, seq, name, path)| json!({
                "name": name, "path": path.to_string(), "at": at.to_string(), "seq": seq,
            })).collect::<Vec<_>>(),
            "signals": history.signals.iter().map(signal_json).collect::<Vec<_>>(),
            "usage": history.usage,
            "interruptions": history.interruptions,
            "warnings": warnings,
            "cut": self.cut(),
            "audit": audit.iter().map(audit_json).collect::<Vec<_>>(),
            "audit_cut": audit_cut,
            "state": self.state().ok(),
            "problem": self.folded.as_ref().err().map(String::as_str).or(problem(&self.run)),
            "result": self.result(),
            "error": match &history.end { Some(End::Failed(error)) => Some(error.to_visible(None)), _ => None },
            "cancelled": match &history.end {
                Some(End::Cancelled(by, reason)) => Some(json!({ "by": by, "reason": reason })),
                _ => None,
            },
            "killed": match &history.end {
                Some(End::Killed(by, reason)) => Some(json!({ "by": by, "reason": reason })),
                _ => None,
            },
            "paused": self.paused().map(|(at, by, reason)| {
                json!({ "by": by, "reason": reason, "at": at.to_string() })
            }),
        });
        if let (Value::Object(report), Value::Object(further)) = (&mut report, further) {
            report.extend(further);
        }
        report
    }

    /// Since when it is paused, by whom, and why.
    fn paused(&self) -> Option<&(Timestamp, String, String)> {
        self.history.paused.as_ref().filter(|_| self.history.end.is_none())
    }

    fn waiting_for(&self) -> Vec<Value> {
        let reviews = self.history.open_reviews().into_iter().map(|review| {
            json!({
                "kind": "review", "path": review.opened.p.to_string(), "until": review.opened.deadline.to_string(),
                "review_id": review.opened.review_id, "title": review.opened.title,
            })
        });
        let timers = self.history.timers.iter().map(|(path, (kind, until))| {
            json!({ "kind": kind, "path": path.to_string(), "until": until.to_string() })
        });
        let signals = self.history.signal_waits.iter().map(|(path, (name, until))| {
            json!({
                "kind": "signal", "path": path.to_string(), "until": until.map(|until| until.to_string()),
                "signal": name,
            })
        });
        let children = self
            .children()
            .into_iter()
            .map(|(path, run_id)| json!({ "kind": "child", "path": path, "until": null, "run_id": run_id }));
        let thread = match &self.run.lease {
            Some(RunLease::Queued { behind }) => {
                Some(json!({ "kind": "thread", "thread_id": self.run.thread_id, "behind": behind }))
            }
            Some(RunLease::Held) | None => None,
        };
        let start = self.run.starts_at.map(|until| json!({ "kind": "start", "until": until.to_string() }));
        let quarantined = self.quarantined.iter().map(|(id, name, breaker)| {
            json!({
                "kind": "plugin", "path": id.path.to_string(), "until": quarantine::as_json(Some(breaker))["next_probe_at"],
                "plugin": name, "digest": breaker.plugin, "quarantine": quarantine::as_json(Some(breaker)),
            })
        });
        start
            .into_iter()
            .chain(quarantined)
            .chain(thread)
            .chain(reviews)
            .chain(signals)
            .chain(children)
            .chain(timers)
            .collect()
    }

    /// The child runs that it waits for, each with the visit.
    fn children(&self) -> Vec<(String, String)> {
        let child = |waiting| match waiting {
            Waiting::Child { path, run_id } => Some((path.to_string(), run_id)),
            _ => None,
        };
        self.folded.iter().flat_map(Run::waiting).filter_map(child).collect()
    }

    fn lines(&self, context: &Context) -> Vec<String> {
        let (run, history, out) = (&self.run, &self.history, &context.out);
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
        fact("from", self.links.from.as_ref().map(from_words).unwrap_or_default());
        for link in &self.links.to {
            fact("to", to_words(link));
        }
        fact("status", status_words(run));
        fact("problem", problem(run).unwrap_or_default().to_owned());
        for (at, by) in &history.retried {
            fact("retried", format!("{} by {by}", words::instant(*at)));
        }
        fact("stage", self.stages());
        fact("thread", thread_words(run));
        fact("user", run.user_id.clone().unwrap_or_default());
        fact("started", words::instant(run.started_at));
        fact("ended", run.ended_at.map(words::instant).unwrap_or_default());
        fact("took", words::span(run.ended_at.unwrap_or_else(now).since_ms(run.started_at)));
        if let Some(started) = &history.started {
            fact("input", history.value(&started.input).map(|input| safe::json(&input)).unwrap_or_default());
        }
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
        section(
            "Errors",
            newest(&history.errors).iter().flat_map(|failed| self.failed_lines(failed)).collect(),
        );
        section("Retries", self.retry_lines());
        section("Reviews", newest(&history.reviews).iter().flat_map(review_lines).collect());
        section("Routing", self.route_lines());
        section("Signals", newest(&history.signals).iter().map(signal_line).collect());
        section("Cached", self.cached_lines());
        section("Checkpoints", self.checkpoint_lines());
        section("Branches", newest(&history.blocks).iter().flat_map(block_lines).collect());
        section("Warnings", self.warning_lines());
        section("Audit", self.audit_lines());
        section("State", self.state_lines());
        section("Outcome", self.outcome_lines());
        section("Not shown", self.cut_lines(context));
        lines
    }

    fn cut_lines(&self, context: &Context) -> Vec<String> {
        let mut lines: Vec<String> =
            self.cut().into_iter().map(|(name, cut)| format!("{cut} earlier entries of {name}")).collect();
        if !lines.is_empty() {
            let data = context.data_option();
            lines.push(format!("every event: bandstand runs show {} --events{data}", self.run.run_id));
        }
        lines
    }

    fn stages(&self) -> String {
        let names: Vec<String> = newest(&self.history.stages)
            .iter()
            .map(|(at, stage, _)| {
                format!("{} ({})", stage.name(), words::span(at.since_ms(self.run.started_at)))
            })
            .collect();
        names.join(" -> ")
    }

    fn waiting_lines(&self) -> Vec<String> {
        let reviews = self.history.open_reviews().into_iter().map(|review| {
            let opened = &review.opened;
            let until = words::relative(opened.deadline, now());
            safe::line(&format!(
                "review {} at {}: {} (expires {until})",
                opened.review_id, opened.p, opened.title
            ))
        });
        let timers = self.history.timers.iter().map(|(path, (kind, until))| {
            format!("{kind} at {path}, {} ({})", words::instant(*until), words::relative(*until, now()))
        });
        let paused = self.paused().map(|(at, by, reason)| {
            format!("resumption: {} ({})", history::by_whom("paused", by, reason), words::instant(*at))
        });
        let signals = self.history.signal_waits.iter().map(|(path, (name, until))| {
            let until =
                until.map_or(String::new(), |until| format!(" (expires {})", words::relative(until, now())));
            format!("signal {name} at {path}{until}")
        });
        let thread = match &self.run.lease {
            Some(RunLease::Queued { behind: Some(ahead) }) => Some(format!(
                "thread {}, which run {ahead} has",
                self.run.thread_id.as_deref().unwrap_or_default()
            )),
            Some(RunLease::Queued { behind: None }) => {
                Some(format!("thread {}", self.run.thread_id.as_deref().unwrap_or_default()))
            }
            Some(RunLease::Held) | None => None,
        };
        let children =
            self.children().into_iter().map(|(path, run_id)| format!("child run {run_id} at {path}"));
        let start = self
            .run
            .starts_at
            .map(|until| format!("its start, {} ({})", words::instant(until), words::relative(until, now())));
        let quarantined = self.quarantined.iter().map(|(id, name, breaker)| {
            format!("plugin {name} at {id}, in quarantine: {}", quarantine::sentence(breaker))
        });
        paused
            .into_iter()
            .chain(start)
            .chain(quarantined)
            .chain(thread)
            .chain(reviews)
            .chain(signals)
            .chain(children)
            .chain(timers)
            .collect()
    }

    fn cached_lines(&self) -> Vec<String> {
        let cached = newest(&self.history.cached).iter();
        cached
            .map(|(at, path, from)| {
                let gone = if self.gone.contains(&from.run) { ", which is gone" } else { "" };
                let from = history::cached_line(from);
                safe::line(&format!("{}  {path}  {from}{gone}", words::clock(*at)))
            })
            .collect()
    }

    fn checkpoint_lines(&self) -> Vec<String> {
        let checkpoints = self.history.checkpoints.iter();
        checkpoints
            .map(|(at, seq, name, path)| format!("{}  {name} after {path} (event {seq})", words::clock(*at)))
            .collect()
    }

    fn node_lines(&self) -> Vec<String> {
        let mut table = Table::new(&["node", "visits", "failed", "attempts", "total", "longest", "cpu"]);
        for (node, times) in &self.history.nodes {
            table.row([
                node.clone(),
                times.visits.to_string(),
                times.failed.to_string(),
                times.attempts.to_string(),
                words::span(times.total_ms),
                words::span(times.longest_ms),
                if times.attempts > 0 { words::span(times.cpu_us / 1_000) } else { String::new() },
            ]);
        }
        if table.is_empty() {
            return Vec::new();
        }
        let mut lines = table.lines(0);
        let usage = &self.history.usage;
        lines.push(format!(
            "attempts together: {} of processor time, {} of memory at most, queued {}; interrupted {} times",
            words::span(usage.cpu_us / 1_000),
            words::size(usage.memory_bytes_max),
            words::span(usage.queued_ms),
            self.history.interruptions
        ));
        lines
    }

    /// What models were asked, and what they cost, by node and together.
    fn model_lines(&self) -> Vec<String> {
        let usage = &self.history.usage;
        if usage.model_calls == 0 {
            return Vec::new();
        }
        let mut table = Table::new(&["node", "calls", "tokens in", "tokens out", "cost", "waited"]);
        let asked = self.history.nodes.iter().filter(|(_, times)| times.model_calls > 0);
        for (node, times) in asked {
            table.row([
                node.clone(),
                times.model_calls.to_string(),
                times.spent.tokens_in.to_string(),
                times.spent.tokens_out.to_string(),
                words::money(times.spent.cost_micros),
                words::span(times.model_ms),
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
        if self.history.tools.is_empty() {
            return Vec::new();
        }
        let mut table = Table::new(&["node", "tool", "calls", "failed", "time"]);
        for ((node, name), sums) in &self.history.tools {
            table.row([
                node.clone(),
                name.clone(),
                sums.calls.to_string(),
                sums.failed.to_string(),
                words::span(sums.took_ms),
            ]);
        }
        table.lines(0)
    }

    fn retry_lines(&self) -> Vec<String> {
        let retries = self.retried();
        newest(&retries)
            .iter()
            .map(|(path, (made, allowed))| match allowed {
                0 => format!("{path}: attempt {made}"),
                allowed => format!("{path}: attempt {made} of {allowed}"),
            })
            .collect()
    }

    fn route_lines(&self) -> Vec<String> {
        newest(&self.history.routes)
            .iter()
            .map(|(at, route)| {
                safe::line(&format!("{}  {}  {}", words::clock(*at), route.p, route_line(route)))
            })
            .collect()
    }

    fn warning_lines(&self) -> Vec<String> {
        newest(&self.history.warnings)
            .iter()
            .map(|(at, path, text)| safe::line(&format!("{}  {path}  {text}", words::clock(*at))))
            .collect()
    }

    fn audit_lines(&self) -> Vec<String> {
        let (audit, cut) = self.audit();
        let mut lines = Vec::new();
        if cut {
            lines.push(format!("the newest {AUDIT_SHOWN_MAX}; there are earlier ones"));
        }
        lines.extend(audit.iter().map(|record| {
            let tags = if record.entry.tags.is_empty() {
                String::new()
            } else {
                format!(" [{}]", record.entry.tags.join(", "))
            };
            let payload = safe::short(&record.entry.payload, PAYLOAD_LENGTH_MAX);
            let by = record.user_id.as_ref().map_or(String::new(), |user| format!(" for {user}"));
            safe::line(&format!(
                "{}  {}  {}{by}: {} {payload}{tags}",
                words::instant(record.at),
                record.id,
                record.source,
                record.entry.action
            ))
        }));
        lines
    }

    fn state_lines(&self) -> Vec<String> {
        match self.state() {
            Ok(Value::Object(channels)) => channels
                .iter()
                .map(|(name, value)| {
                    format!("{name} = {}", safe::short(&safe::json(value), VALUE_LENGTH_MAX))
                })
                .collect(),
            Ok(_) => Vec::new(),
            Err(problem) => vec![format!("cannot be told: {}", safe::line(problem))],
        }
    }

    fn outcome_lines(&self) -> Vec<String> {
        match &self.history.end {
            Some(End::Succeeded) => self
                .result()
                .map(|result| safe::json_pretty(&result).lines().map(str::to_owned).collect())
                .unwrap_or_default(),
            Some(End::Failed(error)) => vec![format!("failed at {}: {}", error.path, error_line(error))],
            Some(End::Cancelled(by, reason)) => vec![history::by_whom("cancelled", by, reason)],
            Some(End::Killed(by, reason)) => vec![history::by_whom("killed", by, reason)],
            None => Vec::new(),
        }
    }
}

/// The entries of a list that are shown.
fn newest<T>(all: &[T]) -> &[T] {
    &all[all.len().saturating_sub(LISTED_MAX)..]
}

fn link_json(link: &Link) -> Value {
    json!({ "run_id": link.run_id, "kind": link.kind.name(), "seq": link.seq, "path": link.path })
}

/// The run that this one comes from.
fn from_words(link: &Link) -> String {
    match (link.kind, link.seq) {
        (LinkKind::Fork, Some(seq)) => format!("fork of run {} from its event {seq}", link.run_id),
        (LinkKind::Child, _) => {
            format!("run {}, of which it is {}", link.run_id, link.path.as_deref().unwrap_or("a part"))
        }
        _ => format!("{} of run {}", link.kind.name(), link.run_id),
    }
}

/// A run that comes from this one.
fn to_words(link: &Link) -> String {
    match (link.kind, link.seq) {
        (LinkKind::Fork, Some(seq)) => format!("run {}, a fork from event {seq}", link.run_id),
        (LinkKind::Child, _) => {
            format!("run {}, its child at {}", link.run_id, link.path.as_deref().unwrap_or("a node"))
        }
        _ => format!("run {}, a {}", link.run_id, link.kind.name()),
    }
}

/// An audit entry, as agents see it in a snapshot.
fn audit_json(record: &AuditRecord) -> Value {
    let payload = &record.entry.payload;
    json!({
        "id": record.id,
        "at": record.at.to_string(),
        "user_id": record.user_id,
        "thread_id": record.thread_id,
        "source": record.source,
        "action": record.entry.action,
        "payload": serde_json::from_str(payload).unwrap_or_else(|_| json!(payload)),
        "tags": record.entry.tags,
    })
}

fn signal_json(signal: &ReceivedSignal) -> Value {
    json!({
        "signal_id": signal.id,
        "name": signal.name,
        "at": signal.at.to_string(),
        "by": signal.by,
        "data": signal.data,
        "taken_by": signal.taken.as_ref().map(|(_, path)| path.to_string()),
        "taken_at": signal.taken.as_ref().map(|(at, _)| at.to_string()),
    })
}

fn signal_line(signal: &ReceivedSignal) -> String {
    let taken = match &signal.taken {
        Some((_, path)) => format!("taken by {path}"),
        None => "not taken".to_owned(),
    };
    let data = safe::short(&safe::json(&signal.data), VALUE_LENGTH_MAX);
    safe::line(&format!("{}  {} by {}, {taken}: {data}", words::clock(signal.at), signal.name, signal.by))
}

/// A review as JSON, with everything that was said about it.
pub fn review_json(review: &Review) -> Value {
    let opened = &review.opened;
    json!({
        "review_id": opened.review_id,
        "path": opened.p.to_string(),
        "asked_by": opened.asked_by,
        "title": opened.title,
        "reason": opened.reason,
        "proposed": review.proposed,
        "reviewers": opened.reviewers,
        "quorum": opened.quorum,
        "opened_at": review.at.to_string(),
        "deadline": opened.deadline.to_string(),
        "on_timeout": opened.on_timeout,
        "outcome": review.outcome,
        "answers": review.answers,
    })
}

fn review_lines(review: &Review) -> Vec<String> {
    let opened = &review.opened;
    let mut lines = vec![safe::line(&format!(
        "{}  {}  {}: {}",
        opened.review_id,
        opened.p,
        review.outcome.unwrap_or("open"),
        opened.title
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

fn block_json(block: &Block) -> Value {
    let mut line = block.gathered();
    line["path"] = json!(block.path.to_string());
    line["kind"] = json!(if block.is_map { "map" } else { "parallel" });
    line["size"] = json!(block.size);
    line["satisfied"] = json!(block.satisfied);
    line
}

fn block_lines(block: &Block) -> Vec<String> {
    let word = match block.satisfied {
        Some(true) => "joined",
        Some(false) => "failed",
        None => "open",
    };
    let of =
        words::count(block.size, if block.is_map { "item" } else { "branch" }).replace("branchs", "branches");
    let mut lines = vec![format!("{}  {word}, {} of {of} ended", block.path, block.ended.len())];
    for (key, outcome, _, error, took_ms) in &block.ended {
        let key = match key {
            bandstand_engine::event::BranchKey::Item(index) => format!("[{index}]"),
            bandstand_engine::event::BranchKey::Name(name) => name.to_string(),
        };
        let outcome = serde_json::to_value(outcome).unwrap_or_default();
        let took = took_ms.map_or(String::new(), |took_ms| format!(" after {}", words::span(took_ms)));
        let error = error.as_ref().map_or(String::new(), |error| format!(": {}", error_line(error)));
        lines.push(format!("  {key} {}{took}{error}", outcome.as_str().unwrap_or_default()));
    }
    lines
}

/// The thread, and whether it is the run's or the run waits for it.
fn thread_words(run: &RunRow) -> String {
    let thread = run.thread_id.clone().unwrap_or_default();
    match &run.lease {
        None => thread,
        Some(RunLease::Held) => format!("{thread} (no other run writes it until this one ends)"),
        Some(RunLease::Queued { .. }) => format!("{thread} (waits for it)"),
    }
}
