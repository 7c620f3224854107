//! Attempts of agents: replies, failures, retries.

use super::Run;
use super::advance::Leave;
use super::state::{Attempt, Phase};
use super::write::{VALUE_DEPTH_MAX, is_too_deep};
use crate::event::{
    AskedBy, AttemptCancelled, AttemptCause, AttemptDue, AttemptFailed, AttemptInterrupted, AttemptScheduled,
    AttemptSucceeded, CancelCause, Event, Payload, ReviewOpened,
};
use crate::failure::{Class, ErrorRecord, Failure};
use crate::graph::{Kind, Retry, Strategy};
use crate::input::{Reply, ReplyNext, ReviewRequest, Usage};
use crate::mistake::{self, Mistake};
use crate::path::{CommandId, Path};
use crate::schema::Schema;
use crate::time::Timestamp;

/// No review waits longer than the longest duration of the language, a year.
const REVIEW_TIMEOUT_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1_000;

/// How many attempts a policy allows, the first included.
pub(super) fn attempts_max(retry: &Retry) -> u32 {
    match retry.strategy {
        Strategy::None => 1,
        Strategy::Exponential | Strategy::Fixed | Strategy::Immediate => retry.max_retries.saturating_add(1),
    }
}

impl Run {
    /// Records that an attempt is to be made.
    pub(super) fn schedule(
        &mut self,
        id: CommandId,
        due: Option<Timestamp>,
        delay_ms: Option<u64>,
        because: AttemptCause,
    ) {
        let child = self.child_run_id(&id);
        let CommandId { path: p, attempt } = id;
        self.emit(Event::AttemptScheduled(AttemptScheduled { p, attempt, due, delay_ms, because, child }));
    }

    /// Records that an attempt is ended from outside.
    pub(super) fn cancel_attempt(&mut self, id: CommandId, because: CancelCause) {
        // One that waits for its time has no run yet.
        let child = self.index.commands.contains_key(&id).then(|| self.child_run_id(&id)).flatten();
        let CommandId { path: p, attempt } = id;
        self.emit(Event::AttemptCancelled(AttemptCancelled { p, attempt, because, child }));
    }

    /// An attempt gave a reply. `false`: it is not owed.
    pub(super) fn attempt_done(&mut self, id: &CommandId, reply: Reply, usage: Usage) -> bool {
        if !self.index.commands.contains_key(id) {
            return false;
        }
        if let Err(failure) = self.check_reply(&reply) {
            return self.attempt_failed(id, failure, None, usage);
        }
        let succeeded = AttemptSucceeded::new(id.path.clone(), id.attempt, &reply, usage);
        self.emit(Event::AttemptSucceeded(succeeded));
        match reply.next {
            ReplyNext::Review(request) => self.agent_review(&id.path, &request),
            next => {
                let kept = self.kept(&id.path, &next);
                let output = Payload::Output(id.path.clone());
                let leave = Leave::ByReply(&next);
                self.leave_noted(&id.path, output, reply.output, reply.confidence, &leave, kept);
            }
        }
        true
    }

    /// What the language asks of a reply, beyond what the sandbox has checked.
    pub(super) fn check_reply(&self, reply: &Reply) -> Result<(), Failure> {
        let invalid = |code: &str, message: String| Failure {
            recoverable: true,
            ..Failure::permanent(Class::InvalidOutput, code, message)
        };
        if !reply.output.is_object() {
            let found = super::write::type_name(&reply.output);
            return Err(invalid(
                "not-object",
                format!("the agent's output is {found}; it must be an object"),
            ));
        }
        let asked = match &reply.next {
            ReplyNext::Review(request) => [request.propose.as_ref(), request.form.as_ref()],
            ReplyNext::Edges | ReplyNext::Goto(_) | ReplyNext::Choose(_) => [None, None],
        };
        let mut values = asked.into_iter().flatten().filter_map(Payload::value).chain([&reply.output]);
        if values.any(|value| is_too_deep(value)) {
            return Err(invalid("bad-reply", format!("the reply nests more than {VALUE_DEPTH_MAX} deep")));
        }
        let choices = match &reply.next {
            ReplyNext::Choose(choices) => choices.as_slice(),
            ReplyNext::Edges | ReplyNext::Goto(_) | ReplyNext::Review(_) => &[],
        };
        let sure = reply.confidence.into_iter().map(|confidence| (None, confidence));
        let sure = sure.chain(choices.iter().map(|choice| (Some(&choice.name), choice.confidence)));
        // Also because JSON, and so the journal, has no infinity.
        if let Some((of, confidence)) = sure.into_iter().find(|(_, sure)| !(0.0..=1.0).contains(sure)) {
            let of = of.map_or_else(|| "the reply".to_owned(), |name| format!("the choice `{name}`"));
            return Err(invalid(
                "bad-reply",
                format!("the confidence of {of} is {confidence}; it must lie in 0..1"),
            ));
        }
        if let ReplyNext::Review(request) = &reply.next
            && let Some(form) = request.form.as_ref().and_then(Payload::value)
            && let Err(problem) = Schema::new(form.clone())
        {
            return Err(invalid(
                "bad-reply",
                format!("the form of the review that the agent asks for is {problem}"),
            ));
        }
        self.check_payload("the agent's output", super::write::json_bytes(&reply.output))
    }

    fn agent_review(&mut self, p: &Path, request: &ReviewRequest) {
        let timeout_ms = request.timeout_ms.unwrap_or(crate::graph::Review::TIMEOUT_MS_DEFAULT);
        let proposed = request.propose.clone().unwrap_or_else(|| Payload::Output(p.clone()));
        self.emit(Event::ReviewOpened(Box::new(ReviewOpened {
            review_id: self.review_id(p),
            p: p.clone(),
            asked_by: AskedBy::Agent,
            title: request.title.clone(),
            reason: request.reason.clone(),
            proposed,
            form: request.form.clone(),
            reviewers: request.reviewers.clone(),
            quorum: request.quorum.max(1),
            deadline: self.clock.plus_ms(timeout_ms.min(REVIEW_TIMEOUT_MS_MAX)),
            on_timeout: "fail".to_owned(),
            self_approval: true,
        })));
    }

    /// An attempt failed: it is tried again, or its node fails. `false`: it is not owed.
    pub(super) fn attempt_failed(
        &mut self,
        id: &CommandId,
        failure: Failure,
        retry_after_ms: Option<u64>,
        usage: Usage,
    ) -> bool {
        let failure = self.with_bounded_data(failure);
        if !self.index.commands.contains_key(id) {
            return false;
        }
        let graph = self.graph.clone();
        let Some(kind) = graph.node(&id.path).map(|node| &node.kind) else { return false };
        let Some(retry) = kind.retry() else { return false };
        let before = self.visit(&id.path).map_or(0, |visit| visit.attempts_before);
        let (by_policy, made) = (attempts_max(retry), id.attempt.saturating_sub(before));
        let allowed = before.saturating_add(by_policy);
        let error = ErrorRecord {
            id: self.derived_id("error", &id.to_string()),
            failure: failure.clone(),
            path: id.path.clone(),
            attempt: id.attempt,
            attempts: allowed,
            block: None,
        };
        self.emit(Event::AttemptFailed(Box::new(AttemptFailed {
            p: id.path.clone(),
            attempt: id.attempt,
            error,
            strategy: retry.strategy.name().to_owned(),
            retry_after_ms,
            usage,
        })));
        // A child's failure keeps its class, and was retried by its class where it happened.
        let by_class = matches!(kind, Kind::Workflow(_)) || retry.retry_on.contains(&failure.class);
        let wanted = failure.recoverable && by_class && by_policy > 1;
        if wanted && made < by_policy {
            self.schedule_retry(id, retry, made, retry_after_ms);
            return true;
        }
        let failure = match wanted {
            true => exhausted(&id.path, id.attempt, failure),
            false => failure,
        };
        self.fail_visit(&id.path, failure, (id.attempt, id.attempt), wanted, None);
        true
    }

    /// Data of a failure that is too large or too deep to be kept is left out, and the message says so.
    fn with_bounded_data(&self, failure: Failure) -> Failure {
        let Some(data) = failure.data.as_ref().and_then(Payload::value) else { return failure };
        let problem = match self.check_payload("its data", super::write::json_bytes(data)) {
            Err(limit) => limit.message,
            Ok(()) if is_too_deep(data) => format!("its data nests more than {VALUE_DEPTH_MAX} deep"),
            Ok(()) => return failure,
        };
        Failure {
            message: format!("{} ({problem} and was left out)", failure.message),
            data: None,
            ..failure
        }
    }

    /// `made`: attempts that count for the policy.
    fn schedule_retry(&mut self, id: &CommandId, retry: &Retry, made: u32, retry_after_ms: Option<u64>) {
        let next = CommandId { path: id.path.clone(), attempt: id.attempt + 1 };
        let by_policy = self.delay_ms(&next, retry, made);
        let asked = retry_after_ms.unwrap_or(0).min(Retry::DELAY_MS_MAX);
        let (delay_ms, because) = match asked > by_policy {
            true => (asked, AttemptCause::RetryAfter),
            false => (by_policy, AttemptCause::Policy),
        };
        let due = (delay_ms > 0).then(|| self.clock.plus_ms(delay_ms));
        self.schedule(next, due, Some(delay_ms), because);
    }

    /// The policy's delay before attempt `next`, after `made` attempts that count.
    fn delay_ms(&self, next: &CommandId, retry: &Retry, made: u32) -> u64 {
        let base = retry.base_delay_ms as f64;
        let delay = match retry.strategy {
            Strategy::None | Strategy::Immediate => return 0,
            Strategy::Fixed => base,
            Strategy::Exponential => {
                base * retry.factor.powi(i32::try_from(made.saturating_sub(1)).unwrap_or(i32::MAX))
            }
        };
        let delay = delay.min(retry.max_delay_ms as f64);
        let spread = 1.0 + retry.jitter * self.random(&format!("jitter/{next}"));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped to 0..=one day
        let delay_ms = (delay * spread).round().clamp(0.0, Retry::DELAY_MS_MAX as f64) as u64;
        delay_ms
    }

    /// The host died while the attempt ran. `false`: it is not owed.
    pub(super) fn attempt_interrupted(&mut self, id: &CommandId) -> bool {
        let Some(command) = self.index.commands.get(id) else { return false };
        let times = command.interruptions + 1;
        if mistake::is(Mistake::InterruptionSpends) {
            let failure = Failure {
                recoverable: true,
                ..Failure::permanent(Class::Trap, "interrupted", "interrupted")
            };
            return self.attempt_failed(id, failure, None, Usage::default());
        }
        self.emit(Event::AttemptInterrupted(AttemptInterrupted {
            p: id.path.clone(),
            attempt: id.attempt,
            times,
        }));
        true
    }

    /// The visit's deadline has passed before a reply was taken, or its child run ended.
    pub(super) fn deadline_passed(&mut self, p: &Path) {
        let Some(Phase::Attempt(attempt)) = self.visit(p).map(|visit| &visit.phase) else { return };
        // One that waits for its time was not made.
        let (number, made) = (attempt.number, attempt.number - u32::from(attempt.due.is_some()));
        let graph = self.graph.clone();
        let Some(kind) = graph.node(p).map(|node| &node.kind) else { return };
        let span_ms = kind.visit_ms_max().unwrap_or(0);
        let (because, code, message) = if matches!(kind, Kind::Workflow(_)) {
            let message = format!("the child run did not end within the node's `timeout` of {span_ms} ms");
            (CancelCause::Timeout, "block-timeout", message)
        } else {
            let message =
                format!("no reply came within the visit's `deadline` of {span_ms} ms, in {made} attempts");
            (CancelCause::Deadline, "deadline", message)
        };
        self.cancel_attempt(CommandId { path: p.clone(), attempt: number }, because);
        self.fail_visit(p, Failure::permanent(Class::Timeout, code, message), (made, made), false, None);
    }

    /// The time of a delayed attempt has come.
    pub(super) fn attempt_due(&mut self, p: &Path) {
        let Some(Phase::Attempt(Attempt { number, due: Some(_), .. })) =
            self.visit(p).map(|visit| &visit.phase)
        else {
            return;
        };
        if mistake::is(Mistake::DropRetry) {
            return;
        }
        let attempt = *number;
        self.emit(Event::AttemptDue(AttemptDue { p: p.clone(), attempt }));
    }
}

/// R1.5: the failure of the last allowed attempt, in words that name node, attempts and last error.
fn exhausted(p: &Path, attempts: u32, last: Failure) -> Failure {
    let name = p.node_name().map_or_else(String::new, |id| format!(" of `{id}`"));
    let message =
        format!("retries exhausted after {attempts} attempts{name}; the last error: {}", last.message);
    Failure { message, ..last }
}
