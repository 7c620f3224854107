//! People: answers to reviews, and what becomes of a review that is decided or not answered in time.

use std::sync::Arc;

use super::Run;
use super::advance::Leave;
use super::apply::{approvals, edit_digest, merge_patch};
use super::request;
use super::state::{ClosedReview, End, ReviewState};
use super::write::{VALUE_DEPTH_MAX, is_too_deep, json_bytes};
use crate::event::{Event, Payload, ReviewAnswered, ReviewCause, ReviewDecided, ReviewOutcome};
use crate::failure::{Class, Failure};
use crate::graph::{Kind, OnTimeout};
use crate::input::{Answer, Rejected, Verdict};
use crate::mistake::{self, Mistake};
use crate::path::Path;
use crate::schema::Schema;

impl Run {
    /// Whether an answer can be taken: the visit it is for; `None` when it is known already and changes nothing.
    pub(super) fn check_answer(&self, answer: &Answer) -> Result<Option<Path>, Rejected> {
        if self.knows_request(answer.request_id.as_deref(), || request::of_answer_given(answer))? {
            return Ok(None);
        }
        let id = &answer.review_id;
        let Some(p) = self.index.reviews.get(id) else {
            let closed = self.state.closed_reviews.iter().rev().find(|(closed, _)| closed == id);
            return match closed {
                // A kill ends reviews without a word about each.
                None if matches!(self.state.end, Some(End::Killed { .. })) => {
                    self.check_open().map(|()| None)
                }
                None => Err(Rejected::UnknownReview(id.clone())),
                Some((_, ClosedReview::Withdrawn)) => Err(Rejected::Withdrawn(id.clone())),
                Some((_, ClosedReview::Decided { outcome, edits })) => match (outcome, answer.decision) {
                    // An edit that came too late would be lost: only one that was taken is the same answer.
                    (ReviewOutcome::Approved, Verdict::Approved)
                    | (ReviewOutcome::Rejected, Verdict::Rejected)
                        if answer
                            .changes
                            .as_ref()
                            .is_none_or(|changes| edits.contains(&edit_digest(changes))) =>
                    {
                        Ok(None)
                    }
                    _ => Err(Rejected::Decided { review_id: id.clone(), outcome: outcome.name() }),
                },
            };
        };
        let review = self.visit(p).and_then(|visit| visit.review());
        let review = review.ok_or_else(|| Rejected::UnknownReview(id.clone()))?;
        check_reviewer(review, answer)?;
        self.check_self_approval(review, answer)?;
        if let Some(confidence) = answer.confidence.filter(|confidence| !(0.0..=1.0).contains(confidence)) {
            return Err(Rejected::BadConfidence(confidence));
        }
        let earlier = review.answers.iter().find(|given| given.reviewer == answer.reviewer);
        if let Some(earlier) = earlier.filter(|_| !mistake::is(Mistake::AnswerCountsTwice)) {
            if earlier.decision == answer.decision && earlier.changes == answer.changes {
                return Ok(None);
            }
            return Err(Rejected::Answered {
                review_id: id.clone(),
                reviewer: answer.reviewer.clone(),
                decision: earlier.decision.name(),
            });
        }
        self.check_edit(p, review, answer)?;
        Ok(Some(p.clone()))
    }

    /// Four eyes: whoever wants or began the run, or the one that it comes from, may say no to it, not yes.
    fn check_self_approval(&self, review: &ReviewState, answer: &Answer) -> Result<(), Rejected> {
        let started = &self.state.started;
        let by_self = started.user_id.iter().chain(&started.starters).any(|who| *who == answer.reviewer);
        if review.not_by_self && by_self && answer.decision == Verdict::Approved {
            return Err(Rejected::SelfApproval {
                review_id: review.id.clone(),
                reviewer: answer.reviewer.clone(),
            });
        }
        Ok(())
    }

    fn check_edit(&self, p: &Path, review: &ReviewState, answer: &Answer) -> Result<(), Rejected> {
        let bytes_max = self.graph.limits.payload_bytes;
        let bytes =
            answer.comments.len() as u64 + answer.changes.as_ref().map_or(0, |changes| json_bytes(changes));
        if bytes > bytes_max {
            return Err(Rejected::TooLarge { bytes, bytes_max });
        }
        if answer.decision == Verdict::Rejected {
            return if answer.changes.is_some() { Err(Rejected::ChangesOnReject) } else { Ok(()) };
        }
        let edited = review.answers.iter().rev().find(|given| given.changes.is_some());
        if let (Some(edited), Some(_)) = (edited, &answer.changes)
            && answer.saw.as_deref() != Some(edited.id.as_str())
        {
            return Err(Rejected::Edited {
                review_id: review.id.clone(),
                reviewer: edited.reviewer.clone(),
                feedback_id: edited.id.clone(),
            });
        }
        if answer.changes.as_ref().is_some_and(|changes| is_too_deep(changes)) {
            let problem = format!("the changes nest more than {VALUE_DEPTH_MAX} deep");
            return Err(Rejected::BadEdit { review_id: review.id.clone(), problem });
        }
        let Some(form) = &review.form else { return Ok(()) };
        let value = match &answer.changes {
            Some(changes) => Arc::new(merge_patch(&review.value, changes)),
            None => review.value.clone(),
        };
        let refused = |problem: String| Rejected::BadEdit { review_id: review.id.clone(), problem };
        // The graph holds a review node's form compiled; one that an agent asked with comes as a document.
        let compiled = match self.graph.node(p).map(|node| &node.kind) {
            Some(Kind::Review(node)) => node.form.clone(),
            _ => None,
        };
        let schema = match compiled {
            Some(schema) => schema,
            None => Schema::new(form.clone()).map_err(|problem| refused(problem.to_string()))?,
        };
        schema.check(&value).map_err(|problem| refused(problem.to_string()))
    }

    /// Takes an answer that was checked.
    pub(super) fn take_answer(&mut self, p: &Path, answer: Answer) {
        self.emit(Event::ReviewAnswered(Box::new(ReviewAnswered {
            review_id: answer.review_id,
            p: p.clone(),
            feedback_id: answer.feedback_id,
            request_id: answer.request_id,
            reviewer: answer.reviewer,
            decision: answer.decision,
            comments: answer.comments,
            changes: answer.changes.map(Payload::Value),
            confidence: answer.confidence,
            at: self.clock,
        })));
        let enough = self.visit(p).and_then(|visit| visit.review()).is_some_and(|r| approvals(r) >= r.quorum);
        match answer.decision {
            Verdict::Rejected => self.decide_review(p, ReviewOutcome::Rejected, ReviewCause::Answers),
            Verdict::Approved if enough => {
                self.decide_review(p, ReviewOutcome::Approved, ReviewCause::Answers)
            }
            Verdict::Approved => {}
        }
    }

    /// A review's time is up.
    pub(super) fn review_expired(&mut self, p: &Path) {
        let on_timeout = match self.graph.node(p).map(|node| &node.kind) {
            Some(Kind::Review(review)) => review.on_timeout.clone(),
            _ => OnTimeout::Fail,
        };
        match on_timeout {
            OnTimeout::Approve => self.decide_review(p, ReviewOutcome::Approved, ReviewCause::Timeout),
            OnTimeout::Reject => self.decide_review(p, ReviewOutcome::Rejected, ReviewCause::Timeout),
            OnTimeout::Fail => {
                self.emit_decided(p, ReviewOutcome::Expired, ReviewCause::Timeout);
                let failure = Failure::permanent(
                    Class::Review,
                    "review-expired",
                    "nobody answered the review in time; `on-timeout` says what else could happen",
                );
                let attempts = self.attempts_made(p);
                self.fail_visit(p, failure, (attempts, attempts), false, None);
            }
            OnTimeout::To(to) => {
                self.emit_decided(p, ReviewOutcome::Expired, ReviewCause::Timeout);
                let payload = Payload::Output(p.clone());
                let output = self.resolve(&payload).expect("a decided review has an output");
                self.leave(p, payload, output, None, &Leave::Expired(to));
            }
        }
    }

    fn emit_decided(&mut self, p: &Path, outcome: ReviewOutcome, because: ReviewCause) {
        let review = self.visit(p).and_then(|visit| visit.review()).expect("an open review is at its visit");
        let review_id = review.id.clone();
        self.emit(Event::ReviewDecided(ReviewDecided { review_id, p: p.clone(), outcome, because }));
    }

    fn decide_review(&mut self, p: &Path, outcome: ReviewOutcome, because: ReviewCause) {
        self.emit_decided(p, outcome, because);
        let graph = self.graph.clone();
        let node = graph.node(p).expect("a visit is at a node of the graph");
        if outcome == ReviewOutcome::Rejected && node.rejected.is_none() {
            let by = match because {
                ReviewCause::Answers => "a reviewer",
                ReviewCause::Timeout => "policy, since nobody answered in time",
            };
            let message = format!("the review was rejected by {by}, and the node has no `rejected` edge");
            let failure = Failure::permanent(Class::Review, "review-rejected", message);
            let attempts = self.attempts_made(p);
            return self.fail_visit(p, failure, (attempts, attempts), false, None);
        }
        let payload = Payload::Output(p.clone());
        let output = self.resolve(&payload).expect("a decided review has an output");
        let confidence = self.visit(p).and_then(|visit| visit.confidence);
        let leave = if outcome == ReviewOutcome::Approved { Leave::Approved } else { Leave::Rejected };
        self.leave(p, payload, output, confidence, &leave);
    }
}

fn check_reviewer(review: &ReviewState, answer: &Answer) -> Result<(), Rejected> {
    let allowed = review.reviewers.is_empty()
        || review.reviewers.iter().any(|reviewer| match reviewer.split_once(':') {
            Some(("user", id)) => id == answer.reviewer,
            Some(("group", id)) => answer.groups.iter().any(|group| group == id),
            _ => *reviewer == answer.reviewer,
        });
    if allowed {
        return Ok(());
    }
    Err(Rejected::NotAllowed {
        review_id: review.id.clone(),
        reviewer: answer.reviewer.clone(),
        allowed: review.reviewers.join(", "),
    })
}
