//! Choices that once showed a problem: none does any more.
#![cfg(not(feature = "mistakes"))]
#![allow(clippy::unwrap_used, clippy::panic)] // a test may

use bandstand_simulation::seed::{Found, replay};

#[test]
fn what_was_found_stays_fixed() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/found");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let found: Found = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if let Err(problem) = replay(found.subject, &found.tapes, true) {
            panic!("{}: {}", path.display(), problem.0);
        }
        count += 1;
    }
    assert!(count > 0, "there are cases in {directory}");
}
