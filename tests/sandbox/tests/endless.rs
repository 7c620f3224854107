//! R7.3, R7.4: what never ends is ended by the wall clock or by its processor time, wherever it does not end: in `run`,
//! before it, after it, in a host call, in one instruction.

use bandstand_hostile::{attack, prove, sandbox};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_loop_ends_wherever_it_stands() {
    for name in ["loop", "start-loop", "realloc-loop", "post-return-loop"] {
        prove(name).await;
    }
}

#[tokio::test]
async fn waiting_for_ever_in_a_host_call_ends() {
    for name in ["sleep", "sleep-until", "late-reply", "memory-waits"] {
        prove(name).await;
    }
}

#[tokio::test]
async fn processor_time_is_bounded_whatever_it_is_spent_on() {
    for name in ["bulk-loop", "busy-poll", "clock-loop", "stderr-flood"] {
        prove(name).await;
    }
}

// Timers are looked at by the same threads that the loops keep busy.
#[tokio::test]
async fn beside_loops_on_every_thread_a_sleeper_still_ends_in_time() {
    let sandbox = Arc::new(sandbox(16));
    let mut looping = attack("loop");
    looping.limits.wall_ms = 2_500;
    looping.ends =
        bandstand_hostile::Ends::Fails(bandstand_sandbox::Class::Timeout, "attempt-timeout", vec![]);
    let plugin = looping.load(&sandbox).unwrap().unwrap();
    let loops: Vec<_> = (0..8)
        .map(|_| {
            let (sandbox, looping, plugin) = (sandbox.clone(), looping.clone(), plugin.clone());
            tokio::spawn(async move { looping.call(&sandbox, &plugin, Duration::from_secs(3)).await })
        })
        .collect();
    while sandbox.instances_in_use() < 8 {
        tokio::task::yield_now().await;
    }
    for name in ["sleep", "late-reply", "memory-waits"] {
        let sleeper = attack(name);
        let plugin = sleeper.load(&sandbox).unwrap().unwrap();
        sleeper.call(&sandbox, &plugin, Duration::from_millis(250)).await.unwrap();
    }
    for one in loops {
        one.await.unwrap().unwrap();
    }
}
