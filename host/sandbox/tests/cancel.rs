//! R7.3: an attempt ends from outside at any moment, and leaves nothing behind.

mod support;

use bandstand_sandbox::{Class, MemoryGrant};
use bandstand_test_guests as guests;
use std::sync::Arc;
use support::{TestMemory, end, memory_grant, request, run, sandbox, settings, still_works};

#[tokio::test]
async fn a_running_guest_is_cancelled() {
    let sandbox = Arc::new(sandbox());
    let call = request("{}");
    let token = call.cancel.clone();
    let task = {
        let sandbox = sandbox.clone();
        tokio::spawn(async move { run(&sandbox, &guests::endless_loop(), call).await })
    };
    while sandbox.instances_in_use() == 0 {
        tokio::task::yield_now().await;
    }
    token.cancel();
    let outcome = task.await.unwrap();
    assert_eq!(end(&outcome), (Class::Cancelled, "cancelled"));
    assert!(!support::failure(outcome).recoverable);
    still_works(&sandbox).await;
}

#[tokio::test]
async fn a_guest_that_waits_for_the_host_is_cancelled() {
    let sandbox = Arc::new(sandbox());
    let (asked, was_asked) = std::sync::mpsc::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let mut call = request("{}");
    call.grants = memory_grant(MemoryGrant::Write);
    call.memory = Some(TestMemory::with_hook(move || {
        asked.send(()).unwrap();
        // Ends when the test is done with it.
        let _ = held.lock().unwrap().recv();
    }));
    let token = call.cancel.clone();
    let task = {
        let sandbox = sandbox.clone();
        tokio::spawn(async move { run(&sandbox, &guests::keeps_input(), call).await })
    };
    tokio::task::spawn_blocking(move || was_asked.recv().unwrap()).await.unwrap();
    token.cancel();
    assert_eq!(end(&task.await.unwrap()), (Class::Cancelled, "cancelled"));
    drop(release);
    still_works(&sandbox).await;
}

#[tokio::test]
async fn a_queued_attempt_is_cancelled_and_one_that_was_cancelled_before_never_starts() {
    let mut settings = settings();
    settings.instances_max = 1;
    let sandbox = Arc::new(bandstand_sandbox::Sandbox::new(settings).unwrap());
    let (first, second) = (request("{}"), request("{}"));
    let (end_first, end_second) = (first.cancel.clone(), second.cancel.clone());
    let spawn = |call| {
        let sandbox = sandbox.clone();
        tokio::spawn(async move { run(&sandbox, &guests::endless_loop(), call).await })
    };
    let first = spawn(first);
    while sandbox.instances_in_use() == 0 {
        tokio::task::yield_now().await;
    }
    let second = spawn(second);
    tokio::task::yield_now().await;
    end_second.cancel();
    assert_eq!(end(&second.await.unwrap()), (Class::Cancelled, "cancelled"));
    end_first.cancel();
    assert_eq!(end(&first.await.unwrap()), (Class::Cancelled, "cancelled"));

    let call = request("{}");
    call.cancel.cancel();
    assert_eq!(end(&run(&sandbox, &guests::echo(), call).await), (Class::Cancelled, "cancelled"));
    still_works(&sandbox).await;
}

#[tokio::test]
async fn dropping_the_call_ends_the_attempt() {
    let sandbox = Arc::new(sandbox());
    let task = {
        let sandbox = sandbox.clone();
        tokio::spawn(async move { run(&sandbox, &guests::endless_loop(), request("{}")).await })
    };
    while sandbox.instances_in_use() == 0 {
        tokio::task::yield_now().await;
    }
    task.abort();
    while sandbox.instances_in_use() > 0 {
        tokio::task::yield_now().await;
    }
    still_works(&sandbox).await;
}

#[tokio::test]
async fn a_full_queue_is_overload_and_says_so() {
    let mut settings = settings();
    settings.instances_max = 1;
    settings.queue_max = 1;
    settings.queue_wait_ms_max = 50;
    let sandbox = Arc::new(bandstand_sandbox::Sandbox::new(settings).unwrap());
    let first = request("{}");
    let end_first = first.cancel.clone();
    let plugin = sandbox.load(&guests::endless_loop(), &Default::default()).unwrap();
    let spawn = |call| {
        let (sandbox, plugin) = (sandbox.clone(), plugin.clone());
        tokio::spawn(async move { sandbox.call(&plugin, call).await })
    };
    let first = spawn(first);
    while sandbox.instances_in_use() == 0 {
        tokio::task::yield_now().await;
    }
    let (second, third) = (spawn(request("{}")), spawn(request("{}")));
    let (second, third) = (second.await.unwrap(), third.await.unwrap());
    let mut codes = [end(&second), end(&third)];
    codes.sort_by_key(|(_, code)| code.len());
    assert_eq!(codes, [(Class::Overload, "queue"), (Class::Overload, "instances")]);
    end_first.cancel();
    first.await.unwrap();
    still_works(&sandbox).await;
}
