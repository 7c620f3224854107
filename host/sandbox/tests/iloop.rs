//! R7.3, R7.4: a guest that never ends is ended, by the wall clock or by its processor time, and nobody else waits
//! for it. Where else a guest can fail to end is in `tests/sandbox`.

mod support;

use bandstand_sandbox::{CallLimits, Class, MemoryGrant};
use bandstand_test_guests as guests;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{TestMemory, end, limits, memory_grant, request, run, sandbox, settings, still_works};

// More loops than threads: each still ends, and an ordinary call gets its turn between them.
#[tokio::test]
async fn loops_on_every_thread_keep_nobody_waiting() {
    let sandbox = Arc::new(sandbox());
    let plugin = sandbox.load(&guests::endless_loop(), &Default::default()).unwrap();
    let loops: Vec<_> = (0..4)
        .map(|_| {
            let (sandbox, plugin) = (sandbox.clone(), plugin.clone());
            let mut call = request("{}");
            call.limits = CallLimits { wall_ms: 2_000, ..limits() };
            tokio::spawn(async move { sandbox.call(&plugin, call).await })
        })
        .collect();
    while sandbox.instances_in_use() < 4 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    let outcome = run(&sandbox, &guests::echo(), request("{}")).await;
    assert!(outcome.result.is_ok());
    assert!(start.elapsed() < Duration::from_millis(1_500), "it waited {:?}", start.elapsed());
    for one in loops {
        assert_eq!(end(&one.await.unwrap()), (Class::Timeout, "attempt-timeout"));
    }
    still_works(&sandbox).await;
}

// Waiting for the host is wall time but not processor time.
#[tokio::test]
async fn a_slow_host_call_ends_at_the_timeout_and_costs_no_processor_time() {
    let sandbox = sandbox();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let mut call = request("{}");
    call.limits = CallLimits { wall_ms: 200, cpu_ms: 100, ..limits() };
    call.grants = memory_grant(MemoryGrant::Write);
    call.memory = Some(TestMemory::with_hook(move || {
        // Ends when the test is done with it.
        let _ = held.lock().unwrap().recv();
    }));
    let outcome = run(&sandbox, &guests::keeps_input(), call).await;
    assert_eq!(end(&outcome), (Class::Timeout, "attempt-timeout"));
    drop(release);
    still_works(&sandbox).await;
}

#[tokio::test]
async fn the_queue_is_not_part_of_the_timeout() {
    let mut settings = settings();
    settings.instances_max = 1;
    let sandbox = Arc::new(bandstand_sandbox::Sandbox::new(settings).unwrap());
    let blocker = sandbox.load(&guests::endless_loop(), &Default::default()).unwrap();
    let first = {
        let (sandbox, mut call) = (sandbox.clone(), request("{}"));
        call.limits = CallLimits { wall_ms: 400, ..limits() };
        tokio::spawn(async move { sandbox.call(&blocker, call).await })
    };
    while sandbox.instances_in_use() < 1 {
        tokio::task::yield_now().await;
    }
    let mut call = request("{}");
    call.limits = CallLimits { wall_ms: 300, ..limits() };
    let outcome = run(&sandbox, &guests::echo(), call).await;
    assert!(outcome.result.is_ok(), "{outcome:?}");
    assert!(outcome.usage.queued_ms > 0);
    assert_eq!(end(&first.await.unwrap()).0, Class::Timeout);
}

// As good as none, and no overflow on the way.
#[tokio::test]
async fn a_limit_beyond_all_measure_is_no_fault() {
    let sandbox = sandbox();
    let mut call = request("{}");
    call.limits =
        CallLimits { wall_ms: u64::MAX, cpu_ms: u64::MAX, output_bytes_max: usize::MAX, ..limits() };
    assert!(run(&sandbox, &guests::echo(), call).await.result.is_ok());
}
