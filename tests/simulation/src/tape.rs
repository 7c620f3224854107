//! The tape: every choice of a simulated world is a number read from it. A new seed records one; a found problem
//! replays an edited one. Absent choices are 0, and 0 is always the simplest choice, so a shorter tape is a simpler world.

/// A recorded, or being recorded, list of choices.
#[derive(Clone, Debug)]
pub struct Tape {
    choices: Vec<u64>,
    position: usize,
    dice: Option<Dice>,
}

impl Tape {
    /// A new tape, recorded from a seed.
    pub fn record(seed: u64) -> Tape {
        Tape { choices: Vec::new(), position: 0, dice: Some(Dice::new(seed)) }
    }

    /// A tape that plays back; behind its end every choice is 0.
    pub fn replay(choices: Vec<u64>) -> Tape {
        Tape { choices, position: 0, dice: None }
    }

    /// The choices made so far.
    pub fn into_choices(mut self) -> Vec<u64> {
        if self.dice.is_some() {
            self.choices.truncate(self.position);
        }
        self.choices
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let choice = match (self.choices.get(self.position), &mut self.dice) {
            (Some(choice), _) => *choice,
            (None, Some(dice)) => {
                // Small numbers on the tape are what halving can work on.
                let choice = dice.roll() >> 16;
                let choice = if bound > 0 { choice % bound } else { 0 };
                self.choices.push(choice);
                choice
            }
            (None, None) => 0,
        };
        self.position += 1;
        if bound == 0 { 0 } else { choice % bound }
    }

    /// True `percent` times in a hundred; the simplest choice is false.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) >= 100 - percent.min(100)
    }

    /// An index into a list that is not empty.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// One of a list that is not empty; the first is the simplest.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// Which of the things to come is next, and when the earliest of them comes. One time in ten it is any of them.
    pub fn next_of<T>(&mut self, coming: &[(i64, T)]) -> Option<(usize, i64)> {
        let (earliest, (at, _)) = coming.iter().enumerate().min_by_key(|(_, (at, _))| *at)?;
        let any = coming.len() > 1 && self.chance(10);
        let index = if any { self.index(coming.len()) } else { earliest };
        Some((index, *at))
    }
}

/// Small and repeatable (splitmix64).
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(mix(seed))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number that depends on a text only, not on when it is asked for.
pub fn hash(text: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(hash)
}
