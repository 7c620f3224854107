//! R7.3, R7.4: memory, tables and handles are bounded, and so is what the host holds on a guest's behalf.

use bandstand_hostile::{big, healthy, prove, request, sandbox};
use bandstand_sandbox::Grants;
use bandstand_test_guests as guests;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn memory_and_tables_are_bounded() {
    for name in ["memory-bomb", "summed-memories", "table-bomb"] {
        prove(name).await;
    }
}

#[tokio::test]
async fn handles_are_bounded() {
    for name in ["streams", "pollables", "wide-poll"] {
        prove(name).await;
    }
}

// An instance slot means that there is room: a plugin with as many memories, tables and core instances as there may be
// takes nothing from its neighbours.
#[tokio::test]
async fn instances_that_take_all_they_may_leave_room_for_others() {
    let sandbox = Arc::new(sandbox(8));
    let mut greedy = guests::endless_loop();
    for (module, instances) in
        [("(module (memory 1))", 7), ("(module (table 1 funcref))", 64), ("(module)", 120)]
    {
        greedy = big::add_instances(greedy, module, instances);
    }
    let plugin = sandbox.load(&greedy, &Grants::default()).unwrap();
    let calls: Vec<_> = (0..7)
        .map(|_| {
            let (sandbox, plugin) = (sandbox.clone(), plugin.clone());
            let mut call = request("{}");
            call.limits.wall_ms = 1_500;
            tokio::spawn(async move { sandbox.call(&plugin, call).await })
        })
        .collect();
    while sandbox.instances_in_use() < 7 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    healthy(&sandbox, 3).await.unwrap();
    assert_eq!(sandbox.instances_in_use(), 7, "beside all of them");
    for call in calls {
        assert_eq!(call.await.unwrap().result.unwrap_err().code, "attempt-timeout");
    }
}
