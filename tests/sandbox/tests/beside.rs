//! R7.1, R7.3: every attack, several times, all at once in one sandbox, beside ordinary calls. Each attack comes to what it
//! must, and each ordinary call answers.

use bandstand_hostile::{answers, attacks, ordinary, sandbox};
use std::sync::Arc;
use std::time::Duration;

/// How often each is made.
const TIMES: usize = 4;
/// Ordinary calls beside them.
const HEALTHY: u32 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_at_once_and_nobody_else_notices() {
    let sandbox = Arc::new(sandbox(24));
    let mut tasks = Vec::new();
    for attack in attacks() {
        let plugin = attack.load(&sandbox).unwrap_or_else(|broken| panic!("{broken}"));
        for _ in 0..TIMES {
            let (sandbox, attack, plugin) = (sandbox.clone(), attack.clone(), plugin.clone());
            tasks.push(tokio::spawn(async move {
                match plugin {
                    // What is refused is refused again in the middle of all that.
                    Err(_) => attack.load(&sandbox).map(drop),
                    // All share two threads: how late is the machine's business, what it is is not.
                    Ok(plugin) => attack.call(&sandbox, &plugin, Duration::from_secs(20)).await.map(drop),
                }
            }));
        }
    }
    let plugin = ordinary(&sandbox);
    for number in 0..HEALTHY {
        let (sandbox, plugin) = (sandbox.clone(), plugin.clone());
        tasks.push(tokio::spawn(async move { answers(&sandbox, &plugin, number).await }));
    }
    let mut broken = Vec::new();
    for task in tasks {
        broken.extend(task.await.unwrap().err());
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert_eq!((sandbox.instances_in_use(), sandbox.memory_bytes_in_use()), (0, 0));
}
