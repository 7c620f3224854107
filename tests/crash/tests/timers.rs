//! A retry delay, a wait and the deadline of a review outlive the host: killed meanwhile and started again, each fires
//! once, at its time and not before; started again too late, at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use bandstand_crash::{Row, Site, now_ms, sleep_ms, wait_for};
use serde_json::{Value, json};

/// What a busy machine may add before a timer is served, the start of the host included. Milliseconds.
const LATE_MS_MAX: i64 = 3_000;
/// As long as the timers of the workflows below.
const TIMER_MS: i64 = 3_000;

const RETRY: &str = r#"
format: 1
name: retry
version: 1
plugins: { flaky: { path: flaky.wasm } }
nodes:
  busy:
    agent: flaky
    input: { fail_times: 1, result: done }
    retry: { strategy: fixed, base-delay: 3s }
    next: end
result: { result: "${{ output.result }}", attempt: "${{ output.attempt }}" }
"#;

const WAIT: &str = r#"
format: 1
name: wait
version: 1
nodes:
  nap: { wait: { for: 3s }, next: end }
result: { rested: true }
"#;

/// Its review is answered by nobody; the wait beside it keeps the host running, since for a review alone it does not.
const REVIEW: &str = r#"
format: 1
name: review
version: 1
nodes:
  both:
    parallel:
      join: all
      branches:
        awake: { wait: { for: 6s } }
        ask:
          nodes:
            ask:
              review: { title: Well?, propose: { word: proposed }, timeout: 3s, on-timeout: FORM }
              approved: yes
              rejected: no
            yes: { value: { by: "${{ review.decided_by }}", word: "${{ review.value.word }}" }, next: end }
            no: { value: { by: "${{ review.decided_by }}", word: rejected }, next: end }
            shelf: { value: { by: nobody, word: shelved }, next: end }
          result: "${{ output }}"
    next: end
result: "${{ output.results.ask }}"
"#;

/// The host is killed while the timer runs, and started again in time.
fn in_time(file: &str, text: &str, starts: &str, fires: &str) -> (Site, String, Row) {
    let site = Site::new(&[(file, text)]);
    let mut first = site.run(file, "{}");
    let run_id = first.run_id();
    let due = due(&site, &run_id, starts);
    assert!(due > now_ms(), "the machine is too slow for this test: the timer is over already");
    first.kill_nine();
    let second = site.start(&["runs", "drive", &run_id, "--no-ask"]);
    let fired = wait_for(fires, || site.journal().of_type(&run_id, fires).pop());
    assert!(fired.at >= due, "fired {} ms before its time", due - fired.at);
    assert!(fired.at <= due + LATE_MS_MAX, "fired {} ms after its time", fired.at - due);
    second.wait();
    (site, run_id, fired)
}

/// The host is killed while the timer runs, and started again when its time is over.
fn too_late(file: &str, text: &str, starts: &str, fires: &str) -> (Site, String, Row) {
    let site = Site::new(&[(file, text)]);
    let mut first = site.run(file, "{}");
    let run_id = first.run_id();
    let due = due(&site, &run_id, starts);
    first.kill_nine();
    sleep_ms(u64::try_from(due + 300 - now_ms()).unwrap());
    assert_eq!(site.journal().of_type(&run_id, fires), [], "without a host nothing fires");
    let again = now_ms();
    let second = site.start(&["runs", "drive", &run_id, "--no-ask"]);
    let fired = wait_for(fires, || site.journal().of_type(&run_id, fires).pop());
    assert!(
        (again..=again + LATE_MS_MAX).contains(&fired.at),
        "fired {} ms after the start",
        fired.at - again
    );
    second.wait();
    (site, run_id, fired)
}

/// When the timer is to fire, as the journal promises.
fn due(site: &Site, run_id: &str, starts: &str) -> i64 {
    let time = |row: &Row| ["due", "until", "deadline"].iter().find_map(|name| row.event[*name].as_i64());
    let found = wait_for(starts, || {
        site.journal().of_type(run_id, starts).iter().find_map(|row| Some((row.at, time(row)?)))
    });
    assert_eq!(found.1 - found.0, TIMER_MS, "{starts}");
    found.1
}

fn result(site: &Site, run_id: &str) -> Value {
    let ended = site.journal().of_type(run_id, "run.succeeded");
    assert_eq!(ended.len(), 1, "{:?}", site.journal().events(run_id));
    ended[0].event["output"]["v"].clone()
}

// R1.6
#[test]
fn a_retry_happens_once_and_at_its_time() {
    for run in [in_time, too_late] {
        let (site, run_id, fired) = run("retry.yaml", RETRY, "attempt.scheduled", "attempt.due");
        assert_eq!(fired.event["attempt"], 2);
        assert_eq!(result(&site, &run_id), json!({ "result": "done", "attempt": 2 }));
        assert_eq!(site.journal().of_type(&run_id, "attempt.due").len(), 1);
        assert_eq!(site.journal().of_type(&run_id, "attempt.scheduled").len(), 2);
    }
}

// R5.4
#[test]
fn a_wait_ends_once_and_at_its_time() {
    for run in [in_time, too_late] {
        let (site, run_id, _) = run("wait.yaml", WAIT, "wait.started", "wait.ended");
        assert_eq!(result(&site, &run_id), json!({ "rested": true }));
        assert_eq!(site.journal().of_type(&run_id, "wait.ended").len(), 1);
    }
}

// R2.4
#[test]
fn a_review_expires_once_and_at_its_time_in_each_way() {
    let ways = [
        ("approve", Ok(json!({ "by": "policy", "word": "proposed" }))),
        ("reject", Ok(json!({ "by": "policy", "word": "rejected" }))),
        ("{ to: shelf }", Ok(json!({ "by": "nobody", "word": "shelved" }))),
        ("fail", Err("review-expired")),
    ];
    std::thread::scope(|scope| {
        for (form, wanted) in &ways {
            for run in [in_time, too_late] {
                scope.spawn(move || {
                    let text = REVIEW.replace("FORM", form);
                    let (site, run_id, fired) = run("review.yaml", &text, "review.opened", "review.decided");
                    assert_eq!(fired.event["because"], "timeout", "{form}");
                    assert_eq!(site.journal().of_type(&run_id, "review.decided").len(), 1, "{form}");
                    match wanted {
                        Ok(wanted) => assert_eq!(result(&site, &run_id), *wanted, "{form}"),
                        Err(code) => {
                            let failed = site.journal().of_type(&run_id, "node.failed");
                            assert!(
                                failed.iter().any(|row| row.event["error"]["code"] == *code),
                                "{form}: {failed:?}"
                            );
                            assert_eq!(site.journal().status(&run_id).unwrap(), "failed");
                        }
                    }
                });
            }
        }
    });
}
