//! What can go wrong outside of the core, and when it does.

use bandstand_engine::Timestamp;

use bandstand_driver::{Core, Message};

use super::{Asked, Coming, Host, Parcel};
use crate::check::Problem;
use crate::tape::Tape;

/// A fault; none: all goes well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Crash,
    OrderlyEnd,
    ClockJump(i64),
    SpuriousTick,
    Hold,
    FullDisk,
    UnknownAppend,
    RefusedAppend,
}

/// Decides about faults. Swarm: each world has half of the kinds only.
pub(super) struct Faults<'t> {
    tape: &'t mut Tape,
    on: [bool; 13],
    /// One in so many steps.
    rarity: u64,
    /// The disk is full until then.
    pub(super) full_until: i64,
    /// The next write has an unknown outcome.
    pub(super) unknown: bool,
    /// The next write is refused, for a reason of that run alone.
    pub(super) refused: bool,
    crashes_left: u32,
}

impl<'t> Faults<'t> {
    pub(super) fn new(tape: &'t mut Tape) -> Faults<'t> {
        let mut on = [false; 13];
        for one in &mut on {
            *one = tape.below(2) == 1;
        }
        let rarity = *tape.pick(&[200, 20, 50, 80]);
        Faults { tape, on, rarity, full_until: 0, unknown: false, refused: false, crashes_left: 12 }
    }

    pub(super) fn next(&mut self) -> Fault {
        if self.tape.below(self.rarity) + 1 != self.rarity {
            return Fault::None;
        }
        let which = self.tape.index(9);
        if which > 0 && !self.on[which] {
            return Fault::None;
        }
        match which {
            1 | 2 if self.crashes_left > 0 => {
                self.crashes_left -= 1;
                if which == 1 { Fault::Crash } else { Fault::OrderlyEnd }
            }
            3 => Fault::ClockJump(*self.tape.pick(&[-3_600_000, 86_400_000, 900, -50])),
            4 => Fault::SpuriousTick,
            5 => Fault::Hold,
            6 => Fault::FullDisk,
            7 if self.crashes_left > 0 => {
                self.crashes_left -= 1;
                Fault::UnknownAppend
            }
            8 => Fault::RefusedAppend,
            _ => Fault::None,
        }
    }

    /// The sandbox has no room for a call.
    pub(super) fn is_overloaded(&mut self) -> bool {
        self.on[9] && self.tape.chance(15)
    }

    /// A result is told twice.
    pub(super) fn repeats_result(&mut self) -> bool {
        self.on[10] && self.tape.chance(15)
    }

    /// The snapshot cannot be read.
    pub(super) fn drops_snapshot(&mut self) -> bool {
        self.on[11] && self.tape.chance(50)
    }

    /// The process dies before one run has told another.
    pub(super) fn dies_between(&mut self) -> bool {
        let dies = self.on[1] && self.crashes_left > 0 && self.tape.chance(20);
        self.crashes_left -= u32::from(dies);
        dies
    }

    /// A standing is not written.
    pub(super) fn loses_change(&mut self) -> bool {
        self.on[12] && self.tape.chance(30)
    }

    /// Whether an append that failed is on the disk all the same.
    pub(super) fn coin(&mut self) -> bool {
        self.tape.below(2) == 1
    }

    /// How late a tick comes.
    pub(super) fn tick_is_late_ms(&mut self) -> i64 {
        *self.tape.pick(&[0, 1, 20, 1_000, 10_000])
    }

    fn down_ms(&mut self) -> i64 {
        *self.tape.pick(&[0, 10, 1_000, 20_000])
    }
}

impl Host<'_> {
    /// Suffers a fault; `false`: nothing happened.
    pub(super) fn suffer(&mut self, fault: Fault) -> Result<bool, Problem> {
        match fault {
            Fault::None => return Ok(false),
            Fault::Crash => self.crash()?,
            Fault::OrderlyEnd => {
                if !self.core.is_flushed() {
                    return Ok(false);
                }
                // What runs is given up; nothing was interrupted. Marks of an earlier death that nobody took up yet stay.
                let found = &self.found;
                self.marks.retain(|(run_id, id)| found.get(run_id).is_some_and(|ids| ids.contains(id)));
                self.crash()?;
            }
            Fault::ClockJump(span_ms) => self.skew += span_ms,
            Fault::SpuriousTick => self.handle(Message::Tick)?,
            Fault::Hold => {
                let held = !self.held;
                self.tell(Parcel::Hold(held))?;
            }
            Fault::FullDisk => self.faults.full_until = self.time + 3_000,
            Fault::UnknownAppend => self.faults.unknown = true,
            Fault::RefusedAppend => self.faults.refused = true,
        }
        Ok(true)
    }

    /// The process dies: memory, messages and calls are gone. What is on the disk starts a new one.
    pub(super) fn crash(&mut self) -> Result<(), Problem> {
        self.dead = false;
        if self.shows {
            self.story.push(format!("{:>8} the process ends", self.time));
        }
        self.core = Core::new(self.limits);
        self.core.restore(self.quarantine.crash());
        self.coming.retain(|(_, coming)| matches!(coming, Coming::Ask(_)));
        self.writes.clear();
        self.failed = false;
        self.live.clear();
        self.wake = None;
        self.held = false;
        self.faults.unknown = false;
        self.faults.refused = false;
        self.time += self.faults.down_ms();
        // Who got no answer asks again.
        for (_, asked) in std::mem::take(&mut self.asked) {
            let again: Asked = asked;
            self.coming.push((self.time + 1, Coming::Ask(again)));
        }
        self.found.clear();
        for (run_id, id) in &self.marks {
            self.found.entry(run_id.clone()).or_default().push(id.clone());
            let owed = self.cases.get(run_id).is_some_and(|case| case.checker.owed().contains(id));
            if owed {
                self.interrupted.insert((run_id.clone(), id.clone()));
            }
        }
        self.turn_is_lost();
        self.nobody_is_forgotten()?;
        let mut messages = Vec::new();
        for (run_id, case) in &mut self.cases {
            case.published = None;
            case.stuck = false;
            case.standing = None;
            case.hushed = case.unwanted.is_some();
            let Some(summary) = case.stored.summary else { continue };
            if case.owes {
                messages.push(Message::Drive { run_id: run_id.clone() });
            } else if let Some(deadline) = summary.next_deadline {
                messages.push(Message::Sleeper { run_id: run_id.clone(), deadline });
            }
            // Reviews that opened while nobody was told are in the list of open reviews.
            for (review_id, path) in &case.checker.reviews {
                if case.told.insert(format!("{review_id} {}", case.retries)) {
                    let ask = Asked::Person {
                        run_id: run_id.clone(),
                        path: path.clone(),
                        number: 0,
                        review_id: review_id.clone(),
                    };
                    self.coming.push((self.time + 2, Coming::Ask(ask)));
                }
            }
        }
        // So are waits that would go on for ever.
        let mut wanted = Vec::new();
        for (run_id, case) in &mut self.cases {
            let for_ever = case.checker.waits.iter().filter(|(_, (_, _, for_ever))| *for_ever);
            for (path, _) in for_ever {
                if case.told.insert(format!("{path} {}", case.retries)) {
                    wanted.push(Asked::Wanted { run_id: run_id.clone(), path: path.clone(), number: 0 });
                }
            }
        }
        self.coming.extend(wanted.into_iter().map(|ask| (self.time + 3, Coming::Ask(ask))));
        let _: Timestamp = self.wall();
        for message in messages {
            self.handle(message)?;
        }
        Ok(())
    }
}
