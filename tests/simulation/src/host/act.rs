//! Carries out what the core wants, and holds it against what is durable.

use bandstand_driver::{Action, Refusal, Request, Row, RunId, Standing};
use bandstand_engine::input::Verdict;
use bandstand_engine::{Command, CommandId, Event, Outcome};

use super::{Asked, Case, Coming, Host, Parcel, child, store};
use crate::check::{Problem, problem};
use crate::signals::Sending;
use crate::verbs::{Expected, Verb};

pub(super) fn act(host: &mut Host<'_>, action: Action) -> Result<(), Problem> {
    match action {
        Action::Append { run_id, rows, summary, token } => {
            let case = host.case(&run_id)?;
            let next = rows.first().map(|row| row.seq);
            if next != Some(case.checker.seq()) {
                return problem(format!(
                    "{run_id}: an append starts at {next:?}, {} are durable",
                    case.checker.seq()
                ));
            }
            let ends = rows.last().and_then(|row| row.events.last()).is_some_and(is_end);
            if case.hushed && !ends {
                return problem(format!("{run_id}: its parent does not want it any more, and it goes on"));
            }
            if host.writes.values().any(|write| write.token.is_some() && write.run_id == run_id) {
                return problem(format!("{run_id}: two appends at once"));
            }
            host.hand_over(store::Write { token: Some(token), run_id, rows, summary });
            Ok(())
        }
        Action::LookUp { run_id, id, .. } => host.look_up(run_id, id),
        Action::StartCall { run_id, command } => host.start(run_id, command),
        Action::StartChild { run_id, new } => host.start_child(run_id, *new),
        Action::Change { run_id, summary } => {
            if !host.faults.loses_change() {
                host.hand_over(store::Write { token: None, run_id, rows: Vec::new(), summary });
            }
            Ok(())
        }
        Action::StopCall { run_id, id } => {
            let case = host.case(&run_id)?;
            if case.checker.owed().contains(&id) && !case.stuck {
                return problem(format!("{run_id}: {id} is stopped, but still owed by what is durable"));
            }
            if host.live.contains_key(&(run_id.clone(), id.clone())) && host.tape.chance(70) {
                let at = host.later(50);
                host.message(at, Parcel::Stopped { run_id, id });
            }
            Ok(())
        }
        Action::ClearMark { run_id, id } => {
            let owed = host.case(&run_id)?.checker.owed().contains(&id);
            let key = (run_id, id);
            if owed && host.live.contains_key(&key) {
                return problem(format!("the mark of {} was removed while it runs", key.1));
            }
            host.marks.remove(&key);
            Ok(())
        }
        Action::Answer { request, result } => host.answered(request, result),
        Action::Publish { run_id, rows } => host.published(&run_id, &rows),
        Action::Stands { run_id, standing } => {
            let stuck_below = host.is_stuck_below(&run_id);
            let case = host.case(&run_id)?;
            case.standing = Some(standing.clone());
            match standing {
                Standing::Stuck(_) if case.stuck || stuck_below => Ok(()),
                Standing::Queued if !case.checker.is_queued() => {
                    problem(format!("{run_id} stands as queued, durable is otherwise"))
                }
                Standing::Paused if !case.checker.is_paused() => {
                    problem(format!("{run_id} stands as paused, durable is otherwise"))
                }
                Standing::Stuck(why) => problem(format!("{run_id} is stuck: {why}")),
                Standing::Ended(status) if case.checker.ended() != Some(status.name()) => problem(format!(
                    "{run_id} stands as {}, durable is {:?}",
                    status.name(),
                    case.checker.ended()
                )),
                _ => Ok(()),
            }
        }
        Action::Load { run_id } => {
            let at = host.later(10);
            host.message(at, Parcel::Load { run_id });
            Ok(())
        }
        Action::Evict { run_id } => {
            if host.writes.values().any(|write| write.token.is_some() && write.run_id == run_id)
                || host.live.keys().any(|(of, _)| *of == run_id)
            {
                return problem(format!("{run_id} left memory with an append or a call under way"));
            }
            let case = host.case(&run_id)?;
            if case.standing == Some(Standing::Running) && case.checker.ended().is_none() {
                return problem(format!("{run_id} left memory and is shown as running"));
            }
            Ok(())
        }
        Action::SaveSnapshot { run_id, snapshot } => {
            let case = host.case(&run_id)?;
            if snapshot.seq > case.checker.seq() {
                return problem(format!(
                    "{run_id}: a snapshot of {} events, {} are durable",
                    snapshot.seq,
                    case.checker.seq()
                ));
            }
            let text =
                serde_json::to_string(&snapshot).map_err(|error| Problem(format!("no snapshot: {error}")))?;
            case.stored.snapshot = Some((snapshot.seq, text));
            Ok(())
        }
        Action::Breaker { plugin, breaker } => {
            host.quarantine.keep(plugin, breaker);
            Ok(())
        }
        Action::ShutOut { .. } => Ok(()),
        Action::WakeAt { at } => {
            host.wake = match at {
                None => None,
                Some(at) => Some((at, host.faults.tick_is_late_ms())),
            };
            Ok(())
        }
        Action::RunEnded { run_id, status } => {
            let case = host.case(&run_id)?;
            if case.checker.ended() != Some(status.name()) {
                return problem(format!("{run_id} ended by what the core says, not by what is durable"));
            }
            Ok(())
        }
        Action::ThreadLeft { .. } if host.thread.is_none() => problem("a run of no thread left one"),
        Action::ThreadLeft { .. } => {
            host.hand_on_soon();
            Ok(())
        }
        Action::Die { .. } => {
            host.dead = true;
            Ok(())
        }
    }
}

impl Host<'_> {
    fn case(&mut self, run_id: &RunId) -> Result<&mut Case, Problem> {
        self.cases.get_mut(run_id).ok_or_else(|| Problem(format!("the core speaks of run {run_id}")))
    }

    pub(super) fn message(&mut self, at: i64, parcel: Parcel) {
        self.coming.push((at, Coming::Message(Box::new(parcel))));
    }

    fn start(&mut self, run_id: RunId, command: Command) -> Result<(), Problem> {
        let id = command.id.clone();
        if self.held {
            return problem(format!("{run_id}: {id} starts although the host holds"));
        }
        let case = self.case(&run_id)?;
        if case.checker.is_paused() {
            return problem(format!("{run_id}: {id} starts, but by what is durable the run is paused"));
        }
        if case.hushed {
            return problem(format!("{run_id}: {id} starts, but its parent does not want it any more"));
        }
        if !case.checker.owed().contains(&id) {
            return problem(format!("{run_id}: {id} starts, but is not owed by what is durable"));
        }
        let key = (run_id.clone(), id.clone());
        if self.interrupted.contains(&key) {
            return problem(format!("{run_id}: {id} is repeated before its interruption is durable"));
        }
        if self.live.insert(key.clone(), command.clone()).is_some() {
            return problem(format!("{run_id}: two calls of {id} at once"));
        }
        self.marks.insert(key);
        if self.faults.is_overloaded() {
            let at = self.later(5);
            self.message(at, Parcel::Refused { run_id, id });
            return Ok(());
        }
        let (duration_ms, input) = self.cases[&run_id].world.script.call(&command);
        let at = self.time + i64::try_from(duration_ms).unwrap_or(0);
        let parcel = Parcel::Ended { run_id, id, input };
        if self.faults.repeats_result() {
            let again = at + i64::try_from(self.tape.below(3_000)).unwrap_or(0);
            self.message(again, parcel.clone());
        }
        self.message(at, parcel);
        Ok(())
    }

    /// What is kept is scripted. A hit is worth no more than any input: the core must make it durable.
    fn look_up(&mut self, run_id: RunId, id: CommandId) -> Result<(), Problem> {
        if self.held {
            return problem(format!("{run_id}: {id} is looked up although the host holds"));
        }
        let case = self.case(&run_id)?;
        if case.checker.is_paused() {
            return problem(format!("{run_id}: {id} is looked up, but by what is durable the run is paused"));
        }
        if !case.checker.owed().contains(&id) {
            return problem(format!("{run_id}: {id} is looked up, but is not owed by what is durable"));
        }
        let command = self.core.run(&run_id).and_then(|run| run.command(&id)).cloned();
        let case = self.case(&run_id)?;
        let cached = command.and_then(|command| case.world.script.cached(&command));
        let found = cached.filter(|_| self.tape.chance(50));
        let at = self.later(20);
        self.message(at, Parcel::LookedUp { run_id, id, found });
        Ok(())
    }

    fn published(&mut self, run_id: &RunId, rows: &[Row]) -> Result<(), Problem> {
        let case =
            self.cases.get_mut(run_id).ok_or_else(|| Problem(format!("the core publishes {run_id}")))?;
        let (mut opened, mut wanted, mut unwanted) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            if case.published.is_some_and(|next| next != row.seq) {
                return problem(format!("{run_id}: published {} after {:?}", row.seq, case.published));
            }
            let next = row.seq + row.events.len() as u64;
            if next > case.checker.seq() {
                return problem(format!(
                    "{run_id}: events up to {next} are published, {} are durable",
                    case.checker.seq()
                ));
            }
            case.published = Some(next);
            for event in row.events.iter() {
                unwanted.extend(child::unwanted(event).map(|(child, _)| child));
                if let Event::ReviewOpened(review) = event
                    && case.told.insert(case.once(&review.review_id))
                {
                    opened.push((review.p.clone(), review.review_id.clone()));
                }
                if let Event::WaitStarted(wait) = event
                    && wait.signal.is_some()
                    && wait.deadline.is_none()
                    && case.told.insert(case.once(&wait.p.to_string()))
                {
                    wanted.push(wait.p.clone());
                }
            }
        }
        self.hush(&unwanted);
        for (path, review_id) in opened {
            self.next_answer(run_id.clone(), path, review_id, 0);
        }
        for path in wanted {
            let at = self.later(4_000);
            self.coming.push((at, Coming::Ask(Asked::Wanted { run_id: run_id.clone(), path, number: 0 })));
        }
        Ok(())
    }

    fn next_answer(&mut self, run_id: RunId, path: bandstand_engine::Path, review_id: String, number: usize) {
        let plan = self.cases.get(&run_id).and_then(|case| case.world.script.review(&path));
        if let Some(answer) = plan.and_then(|plan| plan.answers.get(number)) {
            let at = self.time + i64::try_from(answer.delay_ms).unwrap_or(0);
            self.coming.push((at, Coming::Ask(Asked::Person { run_id, path, number, review_id })));
        }
    }

    fn answered(&mut self, request: Request, result: Result<Outcome, Refusal>) -> Result<(), Problem> {
        let Some(asked) = self.asked.remove(&request.0) else {
            return problem(format!("request {} is answered, but nobody waits", request.0));
        };
        self.turn_is_over(&asked);
        if let Err(Refusal::Stuck { run_id, problem: why }) = &result {
            if !self.case(run_id)?.stuck {
                return problem(format!("{run_id} is stuck: {why}"));
            }
            // Whoever was told so asks again.
            let at = self.time + 2_000;
            self.coming.push((at, Coming::Ask(asked)));
            return Ok(());
        }
        match asked {
            Asked::Start { run_id } => {
                if result != Ok(Outcome::Changed) || self.case(&run_id)?.checker.seq() == 0 {
                    return problem(format!(
                        "{run_id}: the start was answered with {result:?}, and is not durable"
                    ));
                }
            }
            // It may have ended before that.
            Asked::Enter { run_id } => {
                if result.is_err() || self.case(&run_id)?.checker.is_queued() {
                    return problem(format!("{run_id}: being given its thread came to {result:?}"));
                }
            }
            Asked::Verb { run_id, verb } => {
                let ended = self.case(&run_id)?.checker.ended();
                let wanted = match verb {
                    Verb::Cancel => Some("cancelled"),
                    Verb::Kill => Some("killed"),
                    Verb::Pause { .. } | Verb::Resume => None,
                };
                let retried = self.case(&run_id)?.retries > 0;
                match (&result, ended) {
                    // It may go on again by now.
                    (Err(Refusal::Rejected(_)), None) if retried => {}
                    (Ok(_), how) if wanted.is_none() || wanted == how => {}
                    (Err(Refusal::Rejected(_)), Some(how)) if wanted != Some(how) => {}
                    _ => {
                        return problem(format!("{run_id}: {verb:?} got {result:?}, durable is {ended:?}"));
                    }
                }
                if let Verb::Pause { for_ms } = verb {
                    let at = self.time + i64::try_from(for_ms).unwrap_or(0);
                    self.coming.push((at, Coming::Ask(Asked::Verb { run_id, verb: Verb::Resume })));
                }
            }
            Asked::Signal { run_id, sending } => self.signalled(&run_id, &sending, &result)?,
            Asked::Wanted { .. } => {}
            // Somebody else may have been first.
            Asked::Retry { .. } => {}
            Asked::Noise { answer, .. } => {
                if result == Ok(Outcome::Changed) {
                    return problem(format!("an answer changed what it must not: {answer:?}"));
                }
            }
            Asked::Person { .. } => {}
            Asked::Answer { run_id, path, number, review_id, answer } => {
                let durable = self.case(&run_id)?.checker.answers.contains(&answer.feedback_id);
                if result == Ok(Outcome::Changed) && !durable {
                    return problem(format!(
                        "{run_id}: answer {} was acknowledged, but is not durable",
                        answer.feedback_id
                    ));
                }
                if let Err(Refusal::Busy { .. }) = &result {
                    return problem("too busy, with so few inputs");
                }
                if durable && result.is_ok() && self.tape.chance(25) {
                    self.noise(run_id.clone(), *answer);
                }
                self.next_answer(run_id, path, review_id, number + 1);
            }
        }
        Ok(())
    }

    fn signalled(
        &mut self,
        run_id: &RunId,
        sending: &Sending,
        result: &Result<Outcome, Refusal>,
    ) -> Result<(), Problem> {
        let case = self.case(run_id)?;
        let recorded = case.checker.signals.contains(&sending.id);
        let known = case.checker.requests.contains(&sending.request);
        // Whether it is known, and whether the run goes on, may have changed since it was sent.
        let open = sending.expected(&case.world, None, false);
        let fits = match result {
            Ok(Outcome::Changed) => recorded && open == Expected::Changed,
            Ok(_) => known,
            Err(Refusal::Rejected(_)) => {
                case.checker.ended().is_some() || case.retries > 0 || open == Expected::Refused
            }
            Err(_) => false,
        };
        if !fits {
            return problem(format!("{run_id}: {sending:?} got {result:?}, recorded is {recorded}"));
        }
        if recorded && self.tape.chance(25) && !sending.id.starts_with("again") {
            let at = self.later(3_000);
            let again = Asked::Signal { run_id: run_id.clone(), sending: sending.again() };
            self.coming.push((at, Coming::Ask(again)));
        }
        Ok(())
    }

    fn noise(&mut self, run_id: RunId, mut answer: bandstand_engine::Answer) {
        match self.tape.below(4) {
            0 => {}
            1 => answer.request_id = None,
            2 => {
                answer.request_id = None;
                answer.decision = match answer.decision {
                    Verdict::Approved => Verdict::Rejected,
                    Verdict::Rejected => Verdict::Approved,
                };
            }
            _ => {
                answer.request_id = None;
                answer.review_id = "nosuchreview".to_owned();
            }
        }
        let at = self.later(5_000);
        self.coming.push((at, Coming::Ask(Asked::Noise { run_id, answer: Box::new(answer) })));
    }

    /// Hands something to the disk, after all that was handed over before.
    fn hand_over(&mut self, write: store::Write) {
        self.writes.insert(self.next_write, write);
        self.next_write += 1;
        let at = self.later(20);
        self.coming.push((at, Coming::Write));
    }

    /// The disk writes what was handed over first, or fails to.
    pub(super) fn write(&mut self) -> Result<(), Problem> {
        if self.faults.full_until > self.time {
            // The store keeps the rows and tries again.
            let at = self.faults.full_until;
            self.coming.push((at, Coming::Write));
            return Ok(());
        }
        if self.failed {
            return Ok(());
        }
        let Some((_, write)) = self.writes.pop_first() else { return problem("a write of nothing") };
        let Some(token) = write.token else {
            let case = self.case(&write.run_id)?;
            if case.is_there() {
                case.owes = write.summary.owes;
                case.stored.summary = Some(write.summary);
            }
            return Ok(());
        };
        if std::mem::take(&mut self.faults.refused) {
            self.case(&write.run_id)?.stuck = true;
            let at = self.later(5);
            self.message(at, Parcel::AppendRefused { token });
            self.coming.push((at + 1_000, Coming::Restart));
            return Ok(());
        }
        let unknown = std::mem::take(&mut self.faults.unknown);
        if unknown {
            if self.faults.coin() {
                self.durable(write)?;
            }
            self.failed = true;
            let at = self.later(5);
            self.message(at, Parcel::AppendFailed { token });
            return Ok(());
        }
        let size_bytes = self.durable(write)?;
        let at = self.later(5);
        self.message(at, Parcel::Appended { token, size_bytes });
        Ok(())
    }

    fn durable(&mut self, write: store::Write) -> Result<u64, Problem> {
        let run_id = write.run_id;
        self.first_row_is_wanted(&run_id)?;
        let case = self.cases.get_mut(&run_id).ok_or_else(|| Problem(format!("the core writes {run_id}")))?;
        let named = |Problem(what): Problem| Problem(format!("{run_id}: {what}"));
        let (mut size_bytes, mut written) = (0, Vec::new());
        let (begins, mut ends, mut unwanted) = (!case.is_there(), false, Vec::new());
        for row in &write.rows {
            let text = serde_json::to_string(&*row.events)
                .map_err(|error| Problem(format!("events do not serialize: {error}")))?;
            size_bytes += text.len() as u64;
            case.checker.row(row.seq, row.at, &row.events).map_err(named)?;
            case.stored.rows.push((row.seq, row.at, text));
            written.extend(row.events.iter().cloned());
            for event in row.events.iter() {
                unwanted.extend(child::unwanted(event));
                ends = is_end(event);
                match event {
                    Event::AttemptInterrupted(e) => {
                        let id = CommandId { path: e.p.clone(), attempt: e.attempt };
                        self.interrupted.remove(&(run_id.clone(), id));
                    }
                    // Somebody wants it, whatever its parent wants.
                    Event::RunRetried(_) => case.retries += 1,
                    _ => {}
                }
            }
        }
        let summary = write.summary;
        let is_child = |id: &CommandId| case.checker.children.contains_key(id);
        let calls = case.checker.owed().iter().any(|id| !is_child(id));
        let (owed, paused) = (!case.checker.owed().is_empty(), case.checker.is_paused());
        // A child run that goes on by itself need not be looked after.
        let fits = summary.owes == (calls && !paused) || (summary.owes && owed && !paused);
        let deadline = case.checker.next_deadline();
        if !fits || (summary.next_deadline != deadline && !case.checker.is_amid_steps()) {
            return problem(format!(
                "{run_id}: the table of runs says {summary:?}, the journal {owed} {calls} {deadline:?}"
            ));
        }
        case.stored.summary = Some(summary);
        (case.owes, case.changed) = (summary.owes, true);
        self.check_thread(&run_id, &written)?;
        self.mark_unwanted(unwanted);
        if ends {
            self.run_ended(&run_id)?;
        }
        if begins {
            self.child_begun(&run_id);
        }
        Ok(size_bytes)
    }
}

/// Whether nothing comes after it, unless the run is retried.
fn is_end(event: &Event) -> bool {
    matches!(
        event,
        Event::RunSucceeded(_) | Event::RunFailed(_) | Event::RunCancelled(_) | Event::RunKilled(_)
    )
}
