//! Makes what was found smaller: first without faults, then a smaller world, then a simpler order of things. Spans of a
//! tape are deleted, set to 0 and halved as long as a problem remains. Structure follows by itself, since an absent
//! choice is the simplest one.

use crate::check::Problem;
use crate::seed::{Found, Tapes, replay};

/// Tries before the result is good enough.
const TRIES_MAX: u32 = 3_000;

/// The smallest choices found that still show a problem.
pub fn shrink(found: &Found) -> Found {
    let mut best = found.clone();
    let mut tries = 0;
    loop {
        let before = best.tapes.clone();
        for part in [part_faults as Part, part_plan, part_schedule] {
            shrink_part(&mut best, part, &mut tries);
        }
        if best.tapes == before || tries >= TRIES_MAX {
            return best;
        }
    }
}

type Part = fn(&mut Tapes) -> &mut Vec<u64>;

fn part_faults(tapes: &mut Tapes) -> &mut Vec<u64> {
    &mut tapes.faults
}

fn part_plan(tapes: &mut Tapes) -> &mut Vec<u64> {
    &mut tapes.plan
}

fn part_schedule(tapes: &mut Tapes) -> &mut Vec<u64> {
    &mut tapes.schedule
}

fn shrink_part(best: &mut Found, part: Part, tries: &mut u32) {
    let mut attempt = |best: &mut Found, change: &dyn Fn(&mut Vec<u64>)| -> bool {
        if *tries >= TRIES_MAX {
            return false;
        }
        let mut tapes = best.tapes.clone();
        change(part(&mut tapes));
        if tapes == best.tapes {
            return false;
        }
        *tries += 1;
        match replay(best.subject, &tapes, false) {
            Ok(_) => false,
            Err(Problem(problem)) => {
                best.problem = problem;
                best.tapes = tapes;
                true
            }
        }
    };
    if attempt(best, &Vec::clear) {
        return;
    }
    let mut span = part(&mut best.tapes).len().next_power_of_two() / 2;
    while span > 0 {
        let mut start = 0;
        while start < part(&mut best.tapes).len() {
            let deleted = attempt(best, &|tape: &mut Vec<u64>| {
                tape.drain(start..(start + span).min(tape.len()));
            });
            if deleted {
                continue;
            }
            let zeroed = attempt(best, &|tape: &mut Vec<u64>| {
                for choice in tape.iter_mut().skip(start).take(span) {
                    *choice = 0;
                }
            });
            if !zeroed && span <= 2 {
                attempt(best, &|tape: &mut Vec<u64>| {
                    for choice in tape.iter_mut().skip(start).take(span) {
                        *choice /= 2;
                    }
                });
            }
            start += span;
        }
        span /= 2;
    }
}
