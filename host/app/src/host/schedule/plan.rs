//! What a cron trigger does now. Pure: the time is an argument.

use bandstand_engine::Timestamp;
use bandstand_engine::graph::Overlap;
use bandstand_workflow::cron::Cron;

/// Windows that are looked through for the latest time that has come, the nearest first. Milliseconds.
const WINDOWS_MS: [u64; 5] =
    [3_600_000, 24 * 3_600_000, 32 * 24 * 3_600_000, 400 * 24 * 3_600_000, 5 * 366 * 24 * 3_600_000];

/// How far a trigger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// Everything up to then has fired, or was passed over.
    pub(super) up_to: Timestamp,
    /// A time that waits for the last run to end.
    pub(super) queued_at: Option<Timestamp>,
    /// Whether the last run that it began is still going.
    pub(super) running: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Begin a run for this time. When it has begun, everything up to it has fired.
    pub(super) fire: Option<Timestamp>,
    /// Pass everything up to then over.
    pub(super) pass: Option<Timestamp>,
    /// The time that waits from now on.
    pub(super) queued_at: Option<Timestamp>,
    /// When it fires next.
    pub(super) next: Option<Timestamp>,
}

/// The plan for now. Of several times that came since the last look (the host was down), only the latest counts.
pub(super) fn plan(cron: &Cron, overlap: Overlap, stand: Stand, now: Timestamp) -> Plan {
    let due = latest(cron, stand.up_to, now);
    let next = cron.next_after(now.max(stand.up_to));
    let nothing = Plan { queued_at: stand.queued_at, next, ..Plan::default() };
    let held = stand.running && overlap != Overlap::Allow;
    match (due, held, overlap) {
        (None, false, _) if stand.queued_at.is_some() => {
            Plan { fire: stand.queued_at, queued_at: None, ..nothing }
        }
        (None, _, _) => nothing,
        (Some(due), true, Overlap::Queue) => Plan { pass: Some(due), queued_at: Some(due), ..nothing },
        (Some(due), true, _) => Plan { pass: Some(due), ..nothing },
        (Some(due), false, _) => Plan { fire: Some(due), queued_at: None, ..nothing },
    }
}

/// The latest time after `after` that has come.
fn latest(cron: &Cron, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
    for window_ms in WINDOWS_MS {
        let edge = Timestamp(now.0.saturating_sub_unsigned(window_ms));
        let mut found = None;
        let mut from = edge.max(after);
        while let Some(next) = cron.next_after(from).filter(|next| *next <= now) {
            found = Some(next);
            from = next;
        }
        if found.is_some() || edge <= after {
            return found;
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn stand(up_to: &str) -> Stand {
        Stand { up_to: at(up_to), queued_at: None, running: false }
    }

    #[test]
    fn it_fires_at_its_time_and_once() {
        let cron = Cron::new("0 6 * * *", "UTC").unwrap();
        let plan = |stand, now| plan(&cron, Overlap::Skip, stand, at(now));
        let before = plan(stand("2026-01-01T07:00:00Z"), "2026-01-02T05:59:59Z");
        assert_eq!(before, Plan { next: Some(at("2026-01-02T06:00:00Z")), ..Plan::default() });
        let due = plan(stand("2026-01-01T07:00:00Z"), "2026-01-02T06:00:00Z");
        assert_eq!(due.fire, Some(at("2026-01-02T06:00:00Z")));
        assert_eq!(due.next, Some(at("2026-01-03T06:00:00Z")));
        let again = plan(stand("2026-01-02T06:00:00Z"), "2026-01-02T06:00:01Z");
        assert_eq!((again.fire, again.pass), (None, None));
        // The clock was set back: nothing comes twice.
        let back = plan(stand("2026-01-02T06:00:00Z"), "2026-01-02T05:30:00Z");
        assert_eq!((back.fire, back.next), (None, Some(at("2026-01-03T06:00:00Z"))));
    }

    #[test]
    fn of_what_a_host_missed_one_is_made_up() {
        let cron = Cron::new("*/5 * * * *", "Europe/Berlin").unwrap();
        for down in
            ["2026-01-01T00:00:00Z", "2026-05-01T00:00:00Z", "2026-10-25T00:42:00Z", "2019-01-01T00:00:00Z"]
        {
            let plan = plan(&cron, Overlap::Skip, stand(down), at("2026-10-25T00:53:00Z"));
            assert_eq!(plan.fire, Some(at("2026-10-25T00:50:00Z")), "down since {down}");
        }
        let rare = Cron::new("0 0 1 1 *", "UTC").unwrap();
        let plan = plan(&rare, Overlap::Skip, stand("2023-06-01T00:00:00Z"), at("2026-10-25T00:00:00Z"));
        assert_eq!(plan.fire, Some(at("2026-01-01T00:00:00Z")));
    }

    #[test]
    fn while_its_last_run_goes_on_it_skips_queues_one_or_fires_all_the_same() {
        let cron = Cron::new("0 * * * *", "UTC").unwrap();
        let running = Stand { running: true, ..stand("2026-01-01T05:00:00Z") };
        let six = at("2026-01-01T06:00:00Z");
        let seven = at("2026-01-01T07:00:00Z");
        let skipped = plan(&cron, Overlap::Skip, running, six);
        assert_eq!((skipped.fire, skipped.pass, skipped.queued_at), (None, Some(six), None));
        let beside = plan(&cron, Overlap::Allow, running, six);
        assert_eq!(beside.fire, Some(six));
        let queued = plan(&cron, Overlap::Queue, running, six);
        assert_eq!((queued.fire, queued.pass, queued.queued_at), (None, Some(six), Some(six)));
        // Another time comes: one of them waits.
        let waiting = Stand { up_to: six, queued_at: Some(six), running: true };
        let later = plan(&cron, Overlap::Queue, waiting, seven);
        assert_eq!((later.fire, later.queued_at), (None, Some(seven)));
        // The run has ended between two times.
        let ended = Stand { running: false, ..waiting };
        let fired = plan(&cron, Overlap::Queue, ended, six.plus_ms(60_000));
        assert_eq!((fired.fire, fired.queued_at, fired.pass), (Some(six), None, None));
        let fired = plan(&cron, Overlap::Queue, ended, seven);
        assert_eq!((fired.fire, fired.queued_at), (Some(seven), None), "one run for both");
    }
}
