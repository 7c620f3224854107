//! What the sandbox's tests share: a small sandbox, a request, and a memory that lives in the process.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its part"
)]

use bandstand_sandbox::{
    AuditEntry, AuditRecord, CallLimits, CallRequest, Class, Fact, FactHit, FactQuery, Failure, Grants,
    GuestEvent, Memory, MemoryGrant, Observer, Outcome, PowerError, PowerErrorKind, Sandbox, Settings,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// With room for a few instances; the engine's setup is a good part of what these tests take.
pub fn sandbox() -> Sandbox {
    Sandbox::new(settings()).unwrap()
}

pub fn settings() -> Settings {
    Settings { instances_max: 8, worker_threads: 2, memory_bytes_total_max: 1 << 30, ..Settings::default() }
}

pub fn request(input: &str) -> CallRequest {
    CallRequest {
        run_id: "run-1".into(),
        workflow: "test".into(),
        node: "node@1".into(),
        visit: 1,
        attempt: 1,
        attempts_max: 3,
        idempotency_key: "run-1/node@1".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        seed: 7,
        input: input.into(),
        ..CallRequest::default()
    }
}

pub fn limits() -> CallLimits {
    CallLimits::default()
}

pub fn memory_grant(grant: MemoryGrant) -> Arc<Grants> {
    Arc::new(Grants { memory: Some(grant), ..Grants::default() })
}

pub async fn run(sandbox: &Sandbox, guest: &[u8], request: CallRequest) -> Outcome {
    let plugin = sandbox.load(guest, &request.grants).unwrap();
    sandbox.call(&plugin, request).await
}

pub fn failure(outcome: Outcome) -> Failure {
    outcome.result.unwrap_err()
}

/// What a guest of `bandstand_test_guests::powers` told.
pub fn told(outcome: Outcome) -> Vec<String> {
    let output = outcome.result.unwrap().output;
    let output: BTreeMap<String, Vec<String>> = serde_json::from_str(&output).unwrap();
    output["told"].clone()
}

/// The class and code of a failure, for assertions that read well.
pub fn end(outcome: &Outcome) -> (Class, &str) {
    match &outcome.result {
        Ok(reply) => panic!("it succeeded: {reply:?}"),
        Err(failure) => (failure.class, failure.code.as_str()),
    }
}

/// An ordinary call still works: the host and other runs go on.
pub async fn still_works(sandbox: &Sandbox) {
    let outcome = run(sandbox, &bandstand_test_guests::echo(), request("{\"still\":\"here\"}")).await;
    assert_eq!(outcome.result.unwrap().output, "{\"still\":\"here\"}");
    assert_eq!(sandbox.instances_in_use(), 0);
    assert_eq!(sandbox.memory_bytes_in_use(), 0);
}

#[derive(Default)]
pub struct Heard(pub Mutex<Vec<GuestEvent>>);

impl Observer for Heard {
    fn event(&self, event: GuestEvent) {
        self.0.lock().unwrap().push(event);
    }
}

/// Slots and facts of one process; `hook` runs before each access.
pub struct TestMemory {
    pub slots: Mutex<BTreeMap<String, String>>,
    pub facts: Mutex<Vec<Fact>>,
    pub hook: Box<dyn Fn() + Send + Sync>,
}

impl Default for TestMemory {
    fn default() -> Self {
        Self { slots: Mutex::default(), facts: Mutex::default(), hook: Box::new(|| {}) }
    }
}

impl TestMemory {
    pub fn with_hook(hook: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { hook: Box::new(hook), ..Self::default() })
    }
}

impl Memory for TestMemory {
    fn audit_append(&self, _: AuditEntry) -> Result<String, PowerError> {
        (self.hook)();
        Ok("entry-1".into())
    }
    fn audit_snapshot(&self, _: u32) -> Result<Vec<AuditRecord>, PowerError> {
        Ok(Vec::new())
    }
    fn facts_put(&self, facts: Vec<Fact>) -> Result<Vec<String>, PowerError> {
        let ids = (0..facts.len()).map(|index| format!("fact-{index}")).collect();
        self.facts.lock().unwrap().extend(facts);
        Ok(ids)
    }
    fn facts_search(&self, query: FactQuery) -> Result<Vec<FactHit>, PowerError> {
        let facts = self.facts.lock().unwrap();
        let hits = facts.iter().filter(|fact| fact.text.contains(&query.text)).map(|fact| FactHit {
            id: "fact-0".into(),
            score: 1.0,
            at: "2026-01-01T00:00:00Z".into(),
            thread_id: None,
            fact: fact.clone(),
        });
        Ok(hits.take(query.limit as usize).collect())
    }
    fn facts_forget(&self, id: &str) -> Result<(), PowerError> {
        Err(PowerError::new(PowerErrorKind::NotFound, "fact-unknown", format!("there is no fact {id}")))
    }
    fn facts_reflect(&self, _: &str) -> Result<Vec<String>, PowerError> {
        Ok(Vec::new())
    }
    fn facts_consolidate(&self) -> Result<u32, PowerError> {
        Ok(0)
    }
    fn slot_get(&self, name: &str) -> Result<Option<String>, PowerError> {
        (self.hook)();
        Ok(self.slots.lock().unwrap().get(name).cloned())
    }
    fn slot_set(&self, name: &str, value: &str) -> Result<(), PowerError> {
        (self.hook)();
        self.slots.lock().unwrap().insert(name.into(), value.into());
        Ok(())
    }
    fn slot_list(&self) -> Result<Vec<String>, PowerError> {
        Ok(self.slots.lock().unwrap().keys().cloned().collect())
    }
}
