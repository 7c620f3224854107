//! Follows a run until it ends or only a person can move it: a live tree on a terminal, plain lines elsewhere, one
//! event a line with `--json`; then its outcome and the exit code that goes with it.
//! Which run, and what is done about reviews besides asking, is the verbs' business.

use std::collections::BTreeMap;
use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use bandstand_engine::event::Event;
use bandstand_engine::{Status, Timestamp};
use serde_json::{Value, json};

use super::context::{Context, now, told_to_end};
use super::exit::{Exit, Failure};
use super::history::{self, End, History};
use super::site::Site;
use super::stored;
use super::term::ask::{self, Asked};
use super::term::out::{Out, Tone};
use super::term::{safe, words};
use super::tree::Tree;
use crate::host::{Access, Live, LiveKind, Published, Settled, Watch, Watched};
use crate::view::{event_value, live_value, moment};

/// How often the tree is drawn anew.
const REDRAW_MS: u64 = 100;

/// How a run is followed.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Events before this one are known already and not shown again.
    pub from_seq: u64,
    /// At a review, ask whoever sits at the terminal, in this name.
    pub ask_as: Option<String>,
    /// Print this text member of the result instead of the whole, as it is.
    pub print: Option<String>,
}

/// Follows a run to its end, or until only people can move it, and says how it went.
pub async fn to_the_end(
    access: &Access,
    run_id: &str,
    context: &Context,
    manner: &Manner,
) -> Result<Exit, Failure> {
    let mut follower = Follower {
        watch: access.watch(run_id, 0).await?,
        view: View::new(&context.out, manner.from_seq),
        history: History::default(),
    };
    // One for the whole loop: a signal between following and asking is not missed.
    let interrupt = told_to_end();
    tokio::pin!(interrupt);
    loop {
        let settled = match follower.until_settled(interrupt.as_mut()).await? {
            Some(settled) => settled,
            None => return interrupted(access, run_id, context),
        };
        if matches!(settled, Settled::Ended(_)) {
            end_of_children(access, run_id, context).await?;
        }
        let Settled::WaitingForPeople { reviews } = &settled else {
            return outcome(run_id, &follower.history, &settled, context, manner);
        };
        let Some(name) = manner.ask_as.as_ref().filter(|_| context.out.can_ask && !context.out.json) else {
            return outcome(run_id, &follower.history, &settled, context, manner);
        };
        let open = follower.history.open_reviews();
        let own = open.into_iter().map(|review| &review.opened.review_id).find(|id| reviews.contains(id));
        // Else one of its child runs asks.
        let asking = own.or(reviews.first()).and_then(|id| context.site().ok()?.review_detail(id).ok());
        let Some(review) = asking else {
            return outcome(run_id, &follower.history, &settled, context, manner);
        };
        let asked = tokio::select! {
            asked = ask::review(&context.out, &review, name) => asked?,
            () = &mut interrupt => return interrupted(access, run_id, context),
        };
        match asked {
            Asked::Later => return outcome(run_id, &follower.history, &settled, context, manner),
            Asked::Answer(answer) => match access.answer(*answer).await {
                Ok(_) => follower.view.restart(),
                // Somebody else was faster, or the edit does not fit: the person may look again.
                Err(error)
                    if error.exit_code() == Exit::NotFound.code()
                        || error.exit_code() == Exit::Usage.code() =>
                {
                    context
                        .out
                        .error_line(&context.out.paint_err(Tone::Bad, &safe::block(&error.to_string())));
                    // Nothing may have changed, and a watch says once only that the run waits.
                    follower.watch = access.watch(run_id, follower.watch.next_seq()).await?;
                    follower.view.restart();
                }
                Err(error) => return Err(error.into()),
            },
        }
    }
}

/// Waits until the child runs that an ended run does not want any more have ended too, so that this process leaves none behind.
pub async fn end_of_children(access: &Access, run_id: &str, context: &Context) -> Result<(), Failure> {
    // A server sees to its own.
    let Site::Store(store) = context.site()? else { return Ok(()) };
    for child in stored::open_children(&store.reader, run_id)? {
        access.until_settled(&child).await?;
    }
    Ok(())
}

/// What has been seen of a run, and how it is shown.
struct Follower {
    watch: Watch,
    view: View,
    history: History,
}

impl Follower {
    /// `None`: Ctrl-C.
    async fn until_settled(
        &mut self,
        mut interrupt: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Option<Settled>, Failure> {
        let mut ticks = tokio::time::interval(Duration::from_millis(REDRAW_MS));
        loop {
            let watched = {
                let next = self.watch.next();
                tokio::pin!(next);
                loop {
                    tokio::select! {
                        watched = &mut next => break watched?,
                        _ = ticks.tick() => self.view.tick(&self.history),
                        () = &mut interrupt => {
                            self.view.finish(&self.history);
                            return Ok(None);
                        }
                    }
                }
            };
            match watched {
                Watched::Published(row) => {
                    self.history.add(row.at, &row.events);
                    self.view.published(&row);
                }
                Watched::Live(live) => self.view.live(&live, &self.history),
                Watched::Settled(settled) => {
                    self.view.finish(&self.history);
                    return Ok(Some(settled));
                }
            }
        }
    }
}

/// Ctrl-C: the host closes, the run stays.
fn interrupted(access: &Access, run_id: &str, context: &Context) -> Result<Exit, Failure> {
    let data = context.data_option();
    let verb = if context.api().is_some() { "watch" } else { "drive" };
    let what = if access.is_holder() {
        format!("interrupted; run {run_id} stays as it is")
    } else if context.api().is_some() {
        format!("no longer following run {run_id}; it goes on at the server")
    } else {
        format!("no longer following run {run_id}; it goes on in the process that holds the data directory")
    };
    let failure = Failure {
        exit: Exit::Interrupted,
        what,
        help: Some(format!("to go on: bandstand runs {verb} {run_id}{data}")),
    };
    if context.out.json {
        let error = failure.to_json();
        context.out.json_line(&json!({
            "type": "outcome", "run_id": run_id, "status": "interrupted", "error": error,
            "exit_code": Exit::Interrupted.code(),
        }));
    }
    Err(failure)
}

/// Says how it went, on the right streams, and gives the exit code.
pub fn outcome(
    run_id: &str,
    history: &History,
    settled: &Settled,
    context: &Context,
    manner: &Manner,
) -> Result<Exit, Failure> {
    let exit = match settled {
        Settled::Ended(Status::Succeeded) => Exit::Succeeded,
        Settled::WaitingForPeople { .. } | Settled::QueuedBehind { .. } | Settled::Paused => Exit::Waiting,
        Settled::Ended(_) | Settled::Stuck(_) => Exit::Failed,
    };
    if context.out.json {
        let result = match settled {
            Settled::Ended(Status::Succeeded) => Some(context.site()?.result(run_id, context)?),
            _ => None,
        };
        let mut line = outcome_json(run_id, history, settled, result.as_deref(), exit);
        if matches!(settled, Settled::WaitingForPeople { .. }) {
            let signals = context.site()?.child_signals(run_id).into_iter();
            line["child_signals"] =
                signals.map(|(run_id, signal)| json!({ "run_id": run_id, "signal": signal })).collect();
        }
        context.out.json_line(&line);
        return Ok(exit);
    }
    let out = &context.out;
    let data = context.data_option();
    match settled {
        Settled::Ended(Status::Succeeded) => {
            print_result(&*context.site()?.result(run_id, context)?, manner.print.as_deref(), run_id, out)?;
        }
        Settled::Ended(_) => {
            let why = match &history.end {
                Some(End::Failed(error)) => {
                    let place = error.path.to_string();
                    let place = if place.is_empty() { String::new() } else { format!(" at {place}") };
                    format!("run {run_id} failed{place}: {}", history::error_line(error))
                }
                Some(End::Cancelled(by, reason)) => {
                    history::by_whom(&format!("run {run_id} was cancelled"), by, reason)
                }
                Some(End::Killed(by, reason)) => {
                    history::by_whom(&format!("run {run_id} was killed"), by, reason)
                }
                _ => format!("run {run_id} did not succeed"),
            };
            out.error_line(&format!("{} {why}", out.paint_err(Tone::Bad, "error:")));
            let help = format!("to see all of it: bandstand runs show {run_id}{data}");
            out.error_line(&format!(" {} {help}", out.paint_err(Tone::Good, "help:")));
        }
        Settled::Stuck(why) => {
            out.error_line(&format!(
                "{} run {run_id} is stuck: {}",
                out.paint_err(Tone::Bad, "error:"),
                safe::block(why)
            ));
            let help = format!("its history up to there: bandstand runs show {run_id}{data}");
            out.error_line(&format!(" {} {help}", out.paint_err(Tone::Good, "help:")));
        }
        Settled::WaitingForPeople { reviews } => waiting(run_id, history, reviews, context),
        Settled::QueuedBehind { run_id: ahead } => {
            let status = context.site().ok().and_then(|site| site.run(ahead).ok()).map(|run| run.status);
            let why = match status.as_deref() {
                Some("paused") => "is paused",
                Some("stuck") => "is stuck",
                _ => "waits for a person",
            };
            let what = format!("run {run_id} waits for its thread, which run {ahead} has; that one {why}");
            out.error_line(&out.paint_err(Tone::Attention, &what));
            if why == "is paused" {
                out.error_line(&format!("    resume:   bandstand runs resume {ahead}{data}"));
            }
            out.error_line(&format!("    look:     bandstand runs show {ahead}{data}"));
            let verb = if context.api().is_some() { "watch" } else { "drive" };
            out.error_line(&format!("    go on:    bandstand runs {verb} {run_id}{data}"));
        }
        Settled::Paused => {
            let what = format!("run {run_id} is paused");
            let told = match &history.paused {
                Some((_, by, reason)) => history::by_whom(&what, by, reason),
                None => what,
            };
            out.error_line(&out.paint_err(Tone::Attention, &told));
            out.error_line(&format!("    resume:   bandstand runs resume {run_id}{data}"));
        }
    }
    Ok(exit)
}

/// Whom the run waits for, and the commands that answer. Not silenced by `--quiet`: somebody must act.
fn waiting(run_id: &str, history: &History, reviews: &[String], context: &Context) {
    let (out, data) = (&context.out, context.data_option());
    let signals = &history.signal_waits;
    let counts: Vec<String> = [(reviews.len(), "review"), (signals.len(), "signal")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| words::count(count, what))
        .collect();
    let whom = if counts.is_empty() { "people".to_owned() } else { counts.join(" and ") };
    out.error_line(&out.paint_err(Tone::Attention, &format!("run {run_id} waits for {whom}")));
    let open = history.open_reviews();
    for id in reviews {
        let own = open.iter().find(|review| review.opened.review_id == *id);
        let own = own.map(|review| (review.opened.title.clone(), review.opened.deadline));
        // Else it is asked by one of its child runs.
        let of_child = || {
            let review = context.site().ok()?.review(id).ok()?;
            Some((review.title, moment(&review.deadline)))
        };
        if let Some((title, deadline)) = own.or_else(of_child) {
            let until = words::relative(deadline, now());
            out.error_line(&format!("  {} (expires {until})", safe::told(&title)));
        }
        out.error_line(&format!("    look:     bandstand review show {id}{data}"));
        out.error_line(&format!("    approve:  bandstand review approve {id} --by NAME{data}"));
        out.error_line(&format!("    reject:   bandstand review reject {id} --by NAME{data}"));
    }
    for (child, name) in context.site().map(|site| site.child_signals(run_id)).unwrap_or_default() {
        out.error_line(&format!("  signal {name}, for its child run {child}"));
        out.error_line(&format!("    send:     bandstand runs signal {child} {name} --input JSON{data}"));
    }
    for (name, until) in signals.values() {
        let until =
            until.map_or(String::new(), |until| format!(" (expires {})", words::relative(until, now())));
        out.error_line(&format!("  signal {name}{until}"));
        out.error_line(&format!("    send:     bandstand runs signal {run_id} {name} --input JSON{data}"));
    }
}

fn outcome_json(
    run_id: &str,
    history: &History,
    settled: &Settled,
    result: Option<&Value>,
    exit: Exit,
) -> Value {
    let mut line = json!({ "type": "outcome", "run_id": run_id, "exit_code": exit.code() });
    match settled {
        Settled::Ended(status) => {
            line["status"] = json!(status.name());
            match &history.end {
                Some(End::Succeeded) => line["result"] = result.cloned().unwrap_or_default(),
                Some(End::Failed(error)) => line["error"] = (*error.to_visible(None)).clone(),
                Some(End::Cancelled(by, reason)) => {
                    line["error"] = json!({ "message": format!("cancelled by {by}"), "reason": reason });
                }
                Some(End::Killed(by, reason)) => {
                    line["error"] = json!({ "message": format!("killed by {by}"), "reason": reason });
                }
                None => {}
            }
        }
        Settled::WaitingForPeople { reviews } => {
            line["status"] = json!("waiting");
            line["reviews"] = json!(reviews);
            line["signals"] = history.signal_waits.values().map(|(name, _)| json!(name)).collect();
        }
        Settled::QueuedBehind { run_id: ahead } => {
            line["status"] = json!("waiting");
            line["queued_behind"] = json!(ahead);
        }
        Settled::Paused => {
            line["status"] = json!("paused");
            if let Some((at, by, reason)) = &history.paused {
                line["paused"] = json!({ "by": by, "reason": reason, "at": at.to_string() });
            }
        }
        Settled::Stuck(why) => {
            line["status"] = json!("stuck");
            line["error"] = json!({ "message": why });
        }
    }
    line
}

/// The result as JSON, or one text member of it as it is.
fn print_result(result: &Value, member: Option<&str>, run_id: &str, out: &Out) -> Result<(), Failure> {
    let Some(member) = member else {
        out.document(result);
        return Ok(());
    };
    match text_member(result, member) {
        Ok(text) => {
            out.text(&safe::block(text));
            Ok(())
        }
        Err(problem) => Err(Failure::usage(format!("run {run_id} succeeded, but {problem}"))
            .help(format!("the whole result: bandstand runs show {run_id} --json"))),
    }
}

/// The text at a dotted path such as `report.markdown`.
pub fn text_member<'v>(value: &'v Value, path: &str) -> Result<&'v str, String> {
    let mut at = value;
    for name in path.split('.') {
        let next = match at {
            Value::Object(members) => members.get(name),
            Value::Array(items) => name.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        at = next.ok_or_else(|| {
            let names: Vec<&str> =
                at.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let has =
                if names.is_empty() { String::new() } else { format!("; there is {}", names.join(", ")) };
            format!("its result has no `{path}` (`{name}` is missing{has})")
        })?;
    }
    at.as_str().ok_or_else(|| format!("`{path}` of its result is no text"))
}

/// How a run is shown while it goes on.
struct View {
    out: Out,
    style: Style,
    from_seq: u64,
    /// Attempts that were told to wait, and until when.
    held: BTreeMap<String, Option<Timestamp>>,
}

enum Style {
    /// One event a line, on stdout.
    Json,
    /// One line for what people want to know, on stderr.
    Lines,
    /// Drawn over and over, on stderr.
    Tree(Box<Drawn>),
    /// Nothing.
    Silent,
}

#[derive(Default)]
struct Drawn {
    tree: Tree,
    /// Lines on the screen that the next drawing replaces.
    lines: usize,
    changed: bool,
}

impl View {
    fn new(out: &Out, from_seq: u64) -> View {
        let style = match out {
            _ if out.json => Style::Json,
            _ if out.quiet => Style::Silent,
            _ if out.can_redraw => Style::Tree(Box::default()),
            _ => Style::Lines,
        };
        View { out: out.clone(), style, from_seq, held: BTreeMap::new() }
    }

    fn published(&mut self, row: &Published) {
        for (seq, event) in (row.seq..).zip(row.events.iter()) {
            match &mut self.style {
                Style::Tree(drawn) => {
                    drawn.tree.add(row.at, event);
                    drawn.changed = true;
                }
                _ if seq < self.from_seq => {}
                Style::Json => self.out.json_line(&event_value(&row.run_id, seq, row.at, event)),
                Style::Lines => {
                    if let Some(line) = event_line(&self.out, row.at, event) {
                        self.out.note(&line);
                    }
                }
                Style::Silent => {}
            }
        }
    }

    fn live(&mut self, live: &Live, history: &History) {
        if let LiveKind::Held { plugin, since, probe_at, fault, .. } = &live.what {
            if self.held.insert(live.command_id.clone(), *probe_at) == Some(*probe_at) {
                return; // whoever else follows the run was told
            }
            if !matches!(self.style, Style::Json | Style::Silent) {
                let told = held_line(&live.command_id, plugin, *since, *probe_at, fault);
                self.beside(&told, history);
            }
        }
        if let LiveKind::Log { level, message, .. } = &live.what {
            let wanted = match level.as_str() {
                "error" | "warn" => true,
                "info" => self.out.verbose >= 1,
                _ => self.out.verbose >= 2,
            };
            if wanted && !matches!(self.style, Style::Json | Style::Silent) {
                self.beside(&format!("{}  {level}: {}", live.command_id, safe::told(message)), history);
            }
        }
        match &mut self.style {
            Style::Json if self.out.verbose >= 1 || matches!(live.what, LiveKind::Held { .. }) => {
                self.out.json_line(&live_value(live))
            }
            Style::Tree(drawn) => {
                drawn.changed = true;
                match &live.what {
                    LiveKind::Started => drawn.tree.running(&live.command_id, now()),
                    LiveKind::Held { probe_at, .. } => {
                        let next = probe_at.map(|at| format!(", tried again {}", words::instant(at)));
                        let text = format!("its plugin is in quarantine{}", next.unwrap_or_default());
                        drawn.tree.says(&live.command_id, text);
                    }
                    LiveKind::Progress { fraction, message } => {
                        let percent = fraction.map_or(String::new(), |done| format!("{:.0}% ", done * 100.0));
                        drawn.tree.says(&live.command_id, format!("{percent}{message}"));
                    }
                    LiveKind::Log { .. } | LiveKind::Chunk(_) | LiveKind::Restart => {}
                }
            }
            _ => {}
        }
    }

    fn tick(&mut self, history: &History) {
        if let Style::Tree(drawn) = &mut self.style
            && (drawn.changed || history.end.is_none())
        {
            draw(drawn, &self.out, history);
        }
    }

    /// What is drawn stays on the screen.
    fn finish(&mut self, history: &History) {
        if let Style::Tree(drawn) = &mut self.style {
            draw(drawn, &self.out, history);
            drawn.lines = 0;
        }
    }

    /// Something else stands on the screen now: what follows is drawn below it.
    fn restart(&mut self) {
        if let Style::Tree(drawn) = &mut self.style {
            drawn.lines = 0;
        }
    }

    /// A line that does not disturb the tree.
    fn beside(&mut self, line: &str, history: &History) {
        match &mut self.style {
            Style::Tree(drawn) => {
                erase(drawn.lines);
                drawn.lines = 0;
                self.out.note(line);
                draw(drawn, &self.out, history);
            }
            _ => self.out.note(line),
        }
    }
}

fn draw(drawn: &mut Drawn, out: &Out, history: &History) {
    let (width, height) = terminal_size::terminal_size_of(std::io::stderr())
        .map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)));
    let at = if history.end.is_some() { history.last_at } else { now() };
    let mut lines = drawn.tree.lines(out, at, height.saturating_sub(3).max(1), width.saturating_sub(1));
    if let Some(started) = &history.started {
        let stage = history.stage().map_or("init", |stage| stage.name());
        let took = words::span(at.since_ms(history.started_at) / 100 * 100);
        let waits = history.end.is_none() && drawn.tree.only_waits();
        let status = if waits { "waiting" } else { history.status() };
        let head = format!("{} {}  {}  {stage}  {took}", started.workflow.name, started.run_id, status);
        lines.insert(0, out.paint_err(Tone::Strong, &safe::short(&head, width.saturating_sub(1))));
    }
    erase(drawn.lines);
    for line in &lines {
        out.error_line(line);
    }
    drawn.lines = lines.len();
    drawn.changed = false;
}

/// Moves up so many lines and clears what is below.
fn erase(lines: usize) {
    if lines > 0 {
        // When stderr is gone there is nobody left to draw for.
        let _ = write!(std::io::stderr().lock(), "\u{1b}[{lines}A\u{1b}[J");
    }
}

/// Why an attempt does not begin, and what can be done.
fn held_line(
    command_id: &str,
    plugin: &str,
    since: Option<Timestamp>,
    probe_at: Option<Timestamp>,
    fault: &str,
) -> String {
    let since = since.map(|at| format!(" since {}", words::instant(at))).unwrap_or_default();
    let next = probe_at.map(|at| format!("; it is tried again {}", words::instant(at))).unwrap_or_default();
    safe::line(&format!(
        "{command_id}  waits: its plugin is in quarantine{since}, after {fault}{next}; to release it: bandstand plugin \
         release {plugin}"
    ))
}

/// An event as a line for people; none: not worth one.
pub fn event_line(out: &Out, at: Timestamp, event: &Event) -> Option<String> {
    let (tone, text) = history::describe(event, out.verbose > 0)?;
    let place = event.path().map(ToString::to_string).filter(|path| !path.is_empty());
    let place = place.map_or(String::new(), |path| format!("{path}  "));
    Some(format!("{}  {place}{}", words::clock(at), out.paint_err(tone, &safe::line(&text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_member_of_a_result_is_found_or_the_names_that_are_there_are_told() {
        let result = json!({"report": {"markdown": "# Hi", "pages": 2}, "list": ["a"]});
        assert_eq!(text_member(&result, "report.markdown"), Ok("# Hi"));
        assert_eq!(text_member(&result, "list.0"), Ok("a"));
        assert_eq!(
            text_member(&result, "report.pages").unwrap_err(),
            "`report.pages` of its result is no text"
        );
        let missing = text_member(&result, "report.html").unwrap_err();
        assert!(missing.contains("there is markdown, pages"), "{missing}");
    }
}
