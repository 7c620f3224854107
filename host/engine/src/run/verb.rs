//! What people may ask of a whole run, and in which states: one place for all verbs, so that each does what it says or
//! refuses with a reason. `Ok(false)` is a wish that has come true already; it changes nothing.

use super::Run;
use super::state::End;
use crate::input::{REASON_BYTES_MAX, Rejected};

impl Run {
    /// Ends the run in order.
    pub(super) fn check_cancel(&self, reason: &str) -> Result<bool, Rejected> {
        check_reason(reason)?;
        match &self.state.end {
            Some(End::Cancelled { .. }) => Ok(false),
            _ => self.check_open().map(|()| true),
        }
    }

    /// Ends the run at once.
    pub(super) fn check_kill(&self, reason: &str) -> Result<bool, Rejected> {
        check_reason(reason)?;
        match &self.state.end {
            Some(End::Killed { .. }) => Ok(false),
            _ => self.check_open().map(|()| true),
        }
    }

    /// Nothing new starts.
    pub(super) fn check_pause(&self, reason: &str) -> Result<bool, Rejected> {
        check_reason(reason)?;
        self.check_open().map(|()| !self.state.paused)
    }

    /// Carries on.
    pub(super) fn check_resume(&self, reason: &str) -> Result<bool, Rejected> {
        check_reason(reason)?;
        self.check_open().map(|()| self.state.paused)
    }

    /// Refuses when the run has ended.
    pub(super) fn check_open(&self) -> Result<(), Rejected> {
        match &self.state.end {
            None => Ok(()),
            Some(End::Succeeded { .. }) => Err(Rejected::Ended("succeeded")),
            Some(End::Failed { .. }) => Err(Rejected::Ended("failed")),
            Some(End::Cancelled { .. }) => Err(Rejected::Ended("been cancelled")),
            Some(End::Killed { .. }) => Err(Rejected::Ended("been killed")),
        }
    }
}

/// Refuses a reason that is too long to stand in journal and lists.
fn check_reason(reason: &str) -> Result<(), Rejected> {
    let bytes = reason.len();
    if bytes > REASON_BYTES_MAX { Err(Rejected::ReasonTooLong { bytes }) } else { Ok(()) }
}
