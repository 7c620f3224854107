//! What is known against plugins outlives the process (R1.10, R5.4): kept, replaced, forgotten, and left alone by a rebuild.

mod support;

use bandstand_engine::time::Timestamp;
use bandstand_store::{KeptBreaker, Options, RunStatus, Store};
use serde_json::json;
use support::*;

fn breaker(plugin: &str, state: &str, faults: u32) -> KeptBreaker {
    KeptBreaker {
        plugin: plugin.to_owned(),
        name: "classify".to_owned(),
        workflow: "triage".to_owned(),
        state: state.to_owned(),
        faults,
        opened: 2,
        since: Some(Timestamp(1_000)),
        probe_at: Some(Timestamp(2_000)),
        fault: "trap (unreachable): it died".to_owned(),
    }
}

#[test]
fn what_is_known_against_plugins_outlives_the_process() {
    let (directory, store) = store();
    assert_eq!(store.reader().breakers().expect("read"), []);
    let closed = KeptBreaker { since: None, probe_at: None, ..breaker("sha256:b", "closed", 1) };
    store.keep_breaker("sha256:a", Some(breaker("sha256:a", "open", 10))).expect("queued");
    store.keep_breaker("sha256:b", Some(closed.clone())).expect("queued");
    store.keep_breaker("sha256:c", Some(breaker("sha256:c", "half-open", 12))).expect("queued");
    store.keep_breaker("sha256:a", Some(breaker("sha256:a", "half-open", 11))).expect("queued");
    store.keep_breaker("sha256:c", None).expect("queued");
    store.keep_breaker("sha256:none", None).expect("queued");
    store.flush().expect("written");
    let wanted = [breaker("sha256:a", "half-open", 11), closed];
    assert_eq!(store.reader().breakers().expect("read"), wanted);
    append(&store, "run-1", 0, 4, vec![started("run-1", "w", json!({}))]);
    store.rebuild(|_| Ok(change(RunStatus::Running))).expect("rebuilt");
    store.close();
    assert!(store.flush().is_err(), "closed");
    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    assert_eq!(store.reader().breakers().expect("read"), wanted);
}
