//! R7.2: nothing is granted by default, and a plugin that needs more than it has is refused by name, before it runs.
//! And: whatever is not an agent is told apart, with what to do about it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{Class, Grants, LoadError, MemoryGrant, inspect};
use bandstand_test_guests as guests;
use std::sync::Arc;
use support::{TestMemory, end, failure, memory_grant, request, run, sandbox, settings};

fn refusal(bytes: &[u8]) -> LoadError {
    sandbox().load(bytes, &Grants::default()).unwrap_err()
}

#[test]
fn an_ungranted_import_is_refused_with_all_names() {
    let error = refusal(&guests::wants_memory());
    let LoadError::NotGranted(missing) = &error else { panic!("{error}") };
    assert_eq!(missing.len(), 2);
    let text = error.to_string();
    for part in [
        "`bandstand:agent/memory-slots@0.1.0`",
        "`bandstand:agent/memory-facts@0.1.0`",
        "grants: {memory: read}",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_unknown_import_is_refused_with_all_names() {
    let text = refusal(&guests::unknown_imports()).to_string();
    assert!(
        text.contains("`test:power/teleport@1.0.0`") && text.contains("`test:power/levitate@1.0.0`"),
        "{text}"
    );
}

#[test]
fn another_version_is_refused_with_both() {
    let error = refusal(&guests::wrong_version());
    assert!(matches!(error, LoadError::WrongVersion { .. }));
    let text = error.to_string();
    assert!(text.contains("bandstand:agent/node@0.2.0") && text.contains("bandstand:agent@0.1.0"), "{text}");
}

#[tokio::test]
async fn a_later_version_of_the_range_loads_if_it_uses_nothing_new() {
    let sandbox = sandbox();
    let outcome = run(&sandbox, &guests::later_patch_version(), request("{}")).await;
    assert!(outcome.result.is_ok(), "{outcome:?}");
    let error = sandbox.load(&guests::uses_later_function(), &Grants::default()).unwrap_err();
    assert!(error.to_string().contains("has no shout"), "{error}");
}

#[test]
fn what_is_no_agent_is_told_apart() {
    let text = |bytes: &[u8]| refusal(bytes).to_string();
    assert!(text(b"").contains("empty"));
    assert!(text(b"name: a workflow\n").contains("text file"));
    assert!(text(b"(component)").contains("wasm-tools parse"));
    assert!(text(b"\x7fELF and so on").contains("native program"));
    assert!(matches!(refusal(&guests::not_a_component()), LoadError::CoreModule));
    assert!(text(&guests::not_an_agent()).contains("exports nothing"));
    assert!(matches!(refusal(&guests::other_types()), LoadError::Incompatible { .. }));
    let mut damaged = guests::echo();
    damaged.truncate(damaged.len() / 2);
    assert!(matches!(refusal(&damaged), LoadError::Malformed { .. }));
}

#[test]
fn size_is_checked_first() {
    let mut settings = settings();
    settings.component_bytes_max = 100;
    let sandbox = bandstand_sandbox::Sandbox::new(settings).unwrap();
    let error = sandbox.load(&guests::echo(), &Grants::default()).unwrap_err();
    assert!(error.to_string().contains("limit of 100"), "{error}");
}

#[test]
fn inspection_tells_all_without_loading() {
    let found = inspect(&guests::wants_memory()).unwrap();
    assert_eq!(found.capabilities(), ["memory"]);
    let slots = found.imports.iter().find(|import| import.interface.contains("memory-slots")).unwrap();
    assert_eq!(slots.functions, ["list"]);
    assert_eq!((slots.capability, slots.version.as_deref()), (Some("memory"), Some("0.1.0")));
    assert_eq!(found.exports, ["bandstand:agent/node@0.1.0"]);
    assert!(found.digest.starts_with("sha256:") && found.digest.len() == 71);
    assert!(found.check(&memory_grant(MemoryGrant::Read)).is_ok());
    assert!(found.check(&Grants::default()).is_err());
    assert_eq!(inspect(&guests::echo()).unwrap().capabilities(), [""; 0]);
}

// The grants of the call count, too: a plugin loaded for one workflow is not thereby granted to another.
#[tokio::test]
async fn a_call_without_the_grant_is_denied() {
    let sandbox = sandbox();
    let plugin = sandbox.load(&guests::wants_memory(), &memory_grant(MemoryGrant::Write)).unwrap();
    let outcome = sandbox.call(&plugin, request("{}")).await;
    assert_eq!(end(&outcome), (Class::Denied, "memory"));
    assert!(!failure(outcome).recoverable);
}

// Finer than the import: reading is granted, writing is not.
#[tokio::test]
async fn writing_with_a_grant_to_read_is_denied_by_name() {
    let sandbox = sandbox();
    let memory = Arc::new(TestMemory::default());
    let mut call = request("{\"a\":1}");
    call.memory = Some(memory.clone());
    call.grants = memory_grant(MemoryGrant::Read);
    let outcome = run(&sandbox, &guests::keeps_input(), call.clone()).await;
    assert_eq!(end(&outcome), (Class::Denied, "memory"));
    let told = failure(outcome);
    assert!(told.message.contains("grants: {memory: write}"), "{}", told.message);
    assert!(memory.slots.lock().unwrap().is_empty());

    call.grants = memory_grant(MemoryGrant::Write);
    run(&sandbox, &guests::keeps_input(), call.clone()).await.result.unwrap();
    call.grants = memory_grant(MemoryGrant::Read);
    let recalled = run(&sandbox, &guests::recalls_input(), call).await;
    assert_eq!(recalled.result.unwrap().output, "{\"a\":1}");
}

#[tokio::test]
async fn memory_checks_what_goes_in() {
    let sandbox = sandbox();
    let memory = Arc::new(TestMemory::default());
    let mut call = request("{\"text\":\"known\"}");
    call.memory = Some(memory.clone());
    call.grants = memory_grant(MemoryGrant::Write);
    let found = run(&sandbox, &guests::puts_and_finds_fact(0.5), call.clone()).await;
    assert_eq!(found.result.unwrap().output, "{\"found\":1}");
    assert_eq!(memory.facts.lock().unwrap()[0].kind, "note");
    let refused = run(&sandbox, &guests::puts_and_finds_fact(f64::NAN), call.clone()).await;
    assert_eq!(end(&refused), (Class::Agent, "number-out-of-range"));
    assert_eq!(memory.facts.lock().unwrap().len(), 1);
    call.input = "not json".into();
    let refused = run(&sandbox, &guests::keeps_input(), call).await;
    assert_eq!(end(&refused), (Class::Agent, "value-not-json"));
}

// The list of what is offered says the same as the WIT, function by function.
#[test]
fn everything_in_the_wit_is_offered() {
    let sandbox = sandbox();
    let grants = Grants {
        memory: Some(MemoryGrant::Write),
        models: vec!["small".to_owned()],
        tools: vec!["search".to_owned()],
        ..Grants::default()
    };
    let plugin = sandbox.load(&guests::imports_everything(), &grants).unwrap();
    let functions: usize = plugin.imports().iter().map(|import| import.functions.len()).sum();
    let in_the_wit = guests::AGENT_WIT.lines().filter(|line| line.contains(": func(")).count();
    assert_eq!(functions, in_the_wit - 1, "all but the agent's own `run`");
}
