//! Retrying a failed run: it goes on where it failed. The same visits, the same keys; the budgets of their retries
//! begin afresh, the attempts' numbers go on.

use std::collections::BTreeMap;

use super::Run;
use super::point::{self, Purpose};
use super::request;
use super::state::End;
use super::thread::ThreadNow;
use crate::event::{AttemptCause, Event, Lease, RunRetried};
use crate::input::{Rejected, Retry};
use crate::path::Path;

impl Run {
    /// `false`: it was retried so already.
    pub(super) fn check_retry(&self, retry: &Retry) -> Result<bool, Rejected> {
        if self.knows_request(retry.request_id.as_deref(), request::of_retry)? {
            return Ok(false);
        }
        match &self.state.end {
            Some(End::Failed { .. }) => {}
            _ => return Err(Rejected::NotFailed(self.status().name())),
        }
        let (has, seen) = (self.state.seq, retry.point.seq());
        if has == seen { Ok(true) } else { Err(Rejected::WentOn { has, seen }) }
    }

    /// Goes on from the point of the failure, which was checked.
    pub(super) fn retry(&mut self, retry: Retry) {
        let mut point = retry.point;
        let (failed_at, stage) = (point.at, point.stage);
        point.steps = self.state.steps;
        point.wake_at(self.clock);
        let mut works = Vec::new();
        let now = self.clock;
        let lease = self.state.started.lease.map(|_| match &retry.thread {
            Some(ThreadNow::Taken) => Lease::Queued,
            Some(ThreadNow::Free(_)) | None => Lease::Held,
        });
        let queued = lease == Some(Lease::Queued);
        // It failed before it had its thread: it has nothing to go on with, and begins.
        let begins = self.state.gate.is_some();
        if !queued {
            point::lay_down(&self.graph, &Path::root(), &mut point.root, Purpose::Retry, now, &mut works);
        }
        self.emit(Event::RunRetried(Box::new(RunRetried {
            by: retry.by,
            paths: point.failed.clone(),
            failed_at,
            snapshot: point.to_payload(),
            deadline: self
                .graph
                .timeout_ms
                .filter(|_| !queued)
                .map(|timeout_ms| self.clock.plus_ms(timeout_ms)),
            request_id: retry.request_id,
            lease,
        })));
        self.begin_anew(stage, works, AttemptCause::Person);
        if begins && !queued {
            let values = match retry.thread {
                Some(ThreadNow::Free(values)) => values,
                Some(ThreadNow::Taken) | None => BTreeMap::new(),
            };
            self.enter_thread(&values);
        }
    }
}
