//! Gathers all that is known of one run (R5.3) from the store. How it is shown is [`super::show`]'s business.

use std::collections::{BTreeMap, BTreeSet};

use bandstand_engine::graph::Kind;
use bandstand_engine::run::Waiting;
use bandstand_engine::{Callee, Command, CommandId, ErrorRecord, Id, Path, Run};
use bandstand_store::{AuditRecord, KeptBreaker, Link, LinkKind, Links, Reader, RunLease, RunRow, Scope};
use serde_json::{Value, json};

use crate::cli::context::now;
use crate::cli::exit::Failure;
use crate::cli::history::{Block, End, Failed, History, NodeTimes, ReceivedSignal, Review};
use crate::cli::plugin::quarantine;
use crate::cli::stored::{self, LISTED_MAX};
use crate::view::{
    ByWhom, PausedBy, Quarantine, ReportAudit, ReportBlock, ReportBranch, ReportCached, ReportCheckpoint,
    ReportEdit, ReportError, ReportLink, ReportNode, ReportPins, ReportRetried, ReportRetries, ReportReview,
    ReportRoute, ReportSignal, ReportStage, ReportTool, ReportWarning, RunReport, RunSummary, VisibleError,
    WaitsFor, problem,
};

/// Audit entries that are shown, the newest.
pub(super) const AUDIT_SHOWN_MAX: usize = 100;

/// All that there is to say about a run.
///
/// # Errors
/// When the store cannot be read.
pub fn of(reader: &Reader, run: RunRow) -> Result<RunReport, Failure> {
    let history = stored::history(reader, &run.run_id)?;
    let folded = stored::folded(reader, &run.run_id);
    let material = Material {
        audit: audit(reader, &run)?,
        links: reader.links(&run.run_id)?,
        gone: gone(reader, &history)?,
        quarantined: quarantined(reader, folded.as_ref().ok())?,
        folded,
        run,
        history,
    };
    Ok(material.report())
}

/// What a report is made of.
struct Material {
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

/// What of a run waits for a plugin that is in quarantine.
fn quarantined(reader: &Reader, run: Option<&Run>) -> Result<Vec<(CommandId, String, KeptBreaker)>, Failure> {
    let Some(run) = run.filter(|run| !run.status().is_ended() && !run.is_paused()) else {
        return Ok(Vec::new());
    };
    let breakers: BTreeMap<String, KeptBreaker> = reader
        .breakers()?
        .into_iter()
        .filter(quarantine::holds)
        .map(|breaker| (breaker.plugin.clone(), breaker))
        .collect();
    let of = |command: &Command| {
        let Callee::Plugin(name) = &command.callee else { return None };
        let breaker = breakers.get(&run.started().plugins.get(name)?.digest)?;
        Some((command.id.clone(), name.to_string(), breaker.clone()))
    };
    Ok(run.owed().filter_map(of).take(LISTED_MAX).collect())
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

impl Material {
    fn report(&self) -> RunReport {
        let history = &self.history;
        let started = history.started.as_deref();
        let unreadable = self.folded.as_ref().err();
        let mut run = RunSummary::from(&self.run);
        run.problem = unreadable.cloned().or(problem(&self.run).map(str::to_owned));
        let earlier = self.audit.len().saturating_sub(AUDIT_SHOWN_MAX);
        let (children, forks): (Vec<&Link>, Vec<&Link>) =
            self.links.to.iter().partition(|link| link.kind == LinkKind::Child);
        RunReport {
            run,
            events: history.events,
            duration_ms: self.run.ended_at.unwrap_or_else(now).since_ms(self.run.started_at),
            input: started.and_then(|started| history.value(&started.input)).map(|input| (*input).clone()),
            pins: self.pins(),
            from: self.links.from.as_ref().map(link),
            edits: self.edits(),
            forks: forks.into_iter().map(link).collect(),
            children: children.into_iter().map(link).collect(),
            retried: history
                .retried
                .iter()
                .map(|(at, by)| ReportRetried { at: at.to_string(), by: by.clone() })
                .collect(),
            stages: newest(&history.stages)
                .iter()
                .map(|(at, stage, path)| ReportStage {
                    stage: stage.name().to_owned(),
                    at: at.to_string(),
                    path: path.to_string(),
                })
                .collect(),
            waiting_for: self.waiting_for(),
            errors: newest(&history.errors).iter().map(|failed| self.failed(failed)).collect(),
            retries: newest(&self.retried()).to_vec(),
            reviews: newest(&history.reviews).iter().map(review).collect(),
            routing: newest(&history.routes)
                .iter()
                .map(|(at, route)| ReportRoute { route: route.clone(), at: at.to_string() })
                .collect(),
            parallel: newest(&history.blocks).iter().map(block).collect(),
            nodes: history.nodes.iter().map(|(name, times)| self.node(name, times)).collect(),
            cached: self.cached(),
            checkpoints: history
                .checkpoints
                .iter()
                .map(|(at, seq, name, path)| ReportCheckpoint {
                    name: name.clone(),
                    path: path.to_string(),
                    at: at.to_string(),
                    seq: *seq,
                })
                .collect(),
            signals: history.signals.iter().map(signal).collect(),
            usage: history.usage.clone(),
            interruptions: history.interruptions,
            warnings: newest(&history.warnings)
                .iter()
                .map(|(at, path, message)| ReportWarning {
                    at: at.to_string(),
                    path: path.to_string(),
                    message: message.clone(),
                })
                .collect(),
            cut: self.cut(),
            audit: self.audit[earlier..].iter().map(audited).collect(),
            audit_cut: earlier > 0,
            state: self.state(),
            unreadable: unreadable.cloned(),
            result: self.result(),
            error: match &history.end {
                Some(End::Failed(error)) => Some(visible(error)),
                _ => None,
            },
            cancelled: match &history.end {
                Some(End::Cancelled(by, reason)) => Some(by_whom(by, reason)),
                _ => None,
            },
            killed: match &history.end {
                Some(End::Killed(by, reason)) => Some(by_whom(by, reason)),
                _ => None,
            },
            paused: history.paused.as_ref().filter(|_| history.end.is_none()).map(|(at, by, reason)| {
                PausedBy { by: by.clone(), reason: reason.clone(), at: at.to_string() }
            }),
        }
    }

    fn pins(&self) -> Option<ReportPins> {
        let started = self.history.started.as_deref()?;
        let plugins = started.plugins.iter().map(|(id, pin)| (id.to_string(), pin.digest.clone()));
        Some(ReportPins {
            source: started.workflow.source.clone(),
            graph: started.workflow.graph.clone(),
            plugins: plugins.collect(),
            host_version: started.host_version.clone(),
        })
    }

    fn edits(&self) -> Vec<ReportEdit> {
        let edits = self.history.adopted.iter().flat_map(|adopted| &adopted.edits);
        edits
            .map(|edit| ReportEdit {
                path: edit.path.clone(),
                value: edit.value.value().map(|value| (**value).clone()),
            })
            .collect()
    }

    /// The run's channels.
    fn state(&self) -> Option<Value> {
        let channels = self.folded.as_ref().ok()?.channels();
        Some(Value::Object(channels.iter().map(|(id, value)| (id.to_string(), (**value).clone())).collect()))
    }

    /// What it came to, if it succeeded.
    fn result(&self) -> Option<Value> {
        let succeeded = matches!(self.history.end, Some(End::Succeeded));
        let run = self.folded.as_ref().ok().filter(|_| succeeded)?;
        run.output().map(|output| (**output).clone())
    }

    /// How many entries of each list are older than those that are shown; of lists that are shown whole, nothing.
    fn cut(&self) -> BTreeMap<String, u64> {
        let history = &self.history;
        let lists = [
            ("stages", history.stages_left_out + history.stages.len()),
            ("errors", history.errors.len()),
            ("retries", history.retries.len()),
            ("reviews", history.reviews.len()),
            ("routing", history.routes_left_out + history.routes.len()),
            ("parallel", history.blocks.len()),
            ("warnings", history.warnings.len()),
            ("cached", history.cached.len()),
        ];
        let earlier = lists.into_iter().map(|(name, length)| (name, length.saturating_sub(LISTED_MAX)));
        earlier.filter(|(_, cut)| *cut > 0).map(|(name, cut)| (name.to_owned(), cut as u64)).collect()
    }

    /// Visits that were tried more than once, or failed: attempts made and allowed.
    fn retried(&self) -> Vec<ReportRetries> {
        let retries = self.history.retries.iter();
        retries
            .map(|(path, (made, allowed))| ReportRetries {
                path: path.to_string(),
                attempt: *made,
                attempts_max: *allowed,
            })
            .collect()
    }

    /// The plugin of an agent's visit, by the name that the workflow file gives it.
    fn plugin_of(&self, path: &Path) -> Option<&Id> {
        match &self.folded.as_ref().ok()?.graph().node(path)?.kind {
            Kind::Agent(agent) => Some(&agent.plugin),
            _ => None,
        }
    }

    fn failed(&self, failed: &Failed) -> ReportError {
        let failure = &failed.error.failure;
        ReportError {
            error: visible(&failed.error),
            id: failed.error.id.clone(),
            at: failed.at.to_string(),
            of: if failed.strategy.is_some() { "attempt" } else { "node" }.to_owned(),
            plugin: self.plugin_of(&failed.error.path).map(ToString::to_string),
            strategy: failed.strategy.clone(),
            exhausted: failed.exhausted,
            caught: failed.caught,
            backtrace: failure.backtrace.clone(),
            last_words: failure.last_words.clone(),
        }
    }

    fn node(&self, name: &str, times: &NodeTimes) -> ReportNode {
        let tools = self.history.tools.iter().filter(|((of, _), _)| of == name);
        let tools = tools.map(|((_, name), sums)| ReportTool {
            name: name.clone(),
            calls: sums.calls,
            failed: sums.failed,
            took_ms: sums.took_ms,
        });
        ReportNode {
            node: name.to_owned(),
            visits: times.visits,
            failed: times.failed,
            attempts: times.attempts,
            cached: times.cached,
            total_ms: times.total_ms,
            longest_ms: times.longest_ms,
            cpu_us: times.cpu_us,
            model_calls: times.model_calls,
            model_ms: times.model_ms,
            tokens_in: times.spent.tokens_in,
            tokens_out: times.spent.tokens_out,
            cost_micros: times.spent.cost_micros,
            tools: tools.collect(),
        }
    }

    fn cached(&self) -> Vec<ReportCached> {
        let cached = newest(&self.history.cached).iter();
        cached
            .map(|(at, path, from)| ReportCached {
                path: path.to_string(),
                at: at.to_string(),
                from_run: from.run.clone(),
                from_path: from.p.to_string(),
                from_is_gone: self.gone.contains(&from.run),
            })
            .collect()
    }

    fn waiting_for(&self) -> Vec<WaitsFor> {
        let history = &self.history;
        let start = self.run.starts_at.map(|until| WaitsFor::Start { until: until.to_string() });
        let quarantined = self.quarantined.iter().map(|(id, name, breaker)| {
            let quarantine = Quarantine::from(Some(breaker));
            WaitsFor::Plugin {
                path: id.path.to_string(),
                attempt: id.attempt,
                until: quarantine.next_probe_at.clone(),
                plugin: name.clone(),
                digest: breaker.plugin.clone(),
                quarantine,
            }
        });
        let thread = match &self.run.lease {
            Some(RunLease::Queued { behind }) => {
                Some(WaitsFor::Thread { thread_id: self.run.thread_id.clone(), behind: behind.clone() })
            }
            Some(RunLease::Held) | None => None,
        };
        let reviews = history.open_reviews().into_iter().map(|review| WaitsFor::Review {
            path: review.opened.p.to_string(),
            until: review.opened.deadline.to_string(),
            review_id: review.opened.review_id.clone(),
            title: review.opened.title.clone(),
        });
        let signals = history.signal_waits.iter().map(|(path, (name, until))| WaitsFor::Signal {
            path: path.to_string(),
            until: until.map(|until| until.to_string()),
            signal: name.clone(),
        });
        let child = |waiting| match waiting {
            Waiting::Child { path, run_id } => {
                Some(WaitsFor::Child { path: path.to_string(), until: None, run_id })
            }
            _ => None,
        };
        let children = self.folded.iter().flat_map(Run::waiting).filter_map(child);
        let timers = history.timers.iter().map(|(path, (kind, until))| {
            let (path, until) = (path.to_string(), until.to_string());
            if *kind == "retry" { WaitsFor::Retry { path, until } } else { WaitsFor::Wait { path, until } }
        });
        let held = start.into_iter().chain(quarantined).chain(thread);
        held.chain(reviews).chain(signals).chain(children).chain(timers).collect()
    }
}

/// The entries of a list that are shown.
fn newest<T>(all: &[T]) -> &[T] {
    &all[all.len().saturating_sub(LISTED_MAX)..]
}

fn link(link: &Link) -> ReportLink {
    ReportLink {
        run_id: link.run_id.clone(),
        kind: link.kind.name().to_owned(),
        seq: link.seq,
        path: link.path.clone(),
    }
}

fn by_whom(by: &str, reason: &str) -> ByWhom {
    ByWhom { by: by.to_owned(), reason: reason.to_owned() }
}

/// As expressions see it.
fn visible(error: &ErrorRecord) -> VisibleError {
    let failure = &error.failure;
    VisibleError {
        class: failure.class.name().to_owned(),
        code: failure.code.clone(),
        message: failure.message.clone(),
        node: error.path.node_name().map(ToString::to_string),
        path: error.path.to_string(),
        attempt: error.attempt,
        attempts: error.attempts,
        recoverable: failure.recoverable,
        data: failure.data.as_ref().and_then(|data| data.value()).map(|data| (**data).clone()),
    }
}

fn audited(record: &AuditRecord) -> ReportAudit {
    let payload = &record.entry.payload;
    ReportAudit {
        id: record.id.clone(),
        at: record.at.to_string(),
        user_id: record.user_id.clone(),
        thread_id: record.thread_id.clone(),
        source: record.source.clone(),
        action: record.entry.action.clone(),
        payload: serde_json::from_str(payload).unwrap_or_else(|_| json!(payload)),
        tags: record.entry.tags.clone(),
    }
}

fn signal(signal: &ReceivedSignal) -> ReportSignal {
    ReportSignal {
        signal_id: signal.id.clone(),
        name: signal.name.clone(),
        at: signal.at.to_string(),
        by: signal.by.clone(),
        data: (*signal.data).clone(),
        taken_by: signal.taken.as_ref().map(|(_, path)| path.to_string()),
        taken_at: signal.taken.as_ref().map(|(at, _)| at.to_string()),
    }
}

fn review(review: &Review) -> ReportReview {
    let opened = &review.opened;
    ReportReview {
        review_id: opened.review_id.clone(),
        path: opened.p.to_string(),
        asked_by: opened.asked_by,
        title: opened.title.clone(),
        reason: opened.reason.clone(),
        proposed: (*review.proposed).clone(),
        reviewers: opened.reviewers.clone(),
        quorum: opened.quorum,
        opened_at: review.at.to_string(),
        deadline: opened.deadline.to_string(),
        on_timeout: opened.on_timeout.clone(),
        outcome: review.outcome.map(str::to_owned),
        answers: review.answers.clone(),
    }
}

fn block(block: &Block) -> ReportBlock {
    let mut gathered = block.gathered();
    let ended = block.ended.iter().map(|(branch, outcome, _, error, took_ms)| {
        let outcome = serde_json::to_value(outcome).unwrap_or_default();
        ReportBranch {
            branch: json!(branch),
            outcome: outcome.as_str().unwrap_or_default().to_owned(),
            took_ms: *took_ms,
            error: error.as_ref().map(visible),
        }
    });
    ReportBlock {
        path: block.path.to_string(),
        kind: if block.is_map { "map" } else { "parallel" }.to_owned(),
        size: block.size as u64,
        satisfied: block.satisfied,
        ended: ended.collect(),
        results: gathered["results"].take(),
        errors: gathered["errors"].take(),
        times: gathered["times"].take(),
    }
}
