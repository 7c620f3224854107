//! The simulator finds planted mistakes, each within 10,000 seeds; otherwise it would prove nothing.
//! Run with `cargo test -p bandstand-simulation --features mistakes`.
#![cfg(feature = "mistakes")]
#![allow(clippy::print_stdout)] // which seed found what

use bandstand_simulation::planted::Planted;
use bandstand_simulation::report::run_seeds;

#[test]
fn every_planted_mistake_is_found() {
    let all = Planted::all();
    assert!(all.len() >= 12);
    let mut missed = Vec::new();
    for planted in all {
        Planted::plant(Some(planted));
        match run_seeds(0, 10_000, None) {
            Some((seed, found)) => {
                println!("{}: seed {seed}: {}", planted.name(), first_line(&found.problem))
            }
            None => missed.push(planted.name()),
        }
    }
    Planted::plant(None);
    assert!(missed.is_empty(), "not found within 10,000 seeds: {missed:?}");
    assert!(run_seeds(0, 200, None).is_none(), "without a mistake nothing is found");
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("").chars().take(160).collect()
}
