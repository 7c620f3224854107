//! All attacks, and what each must come to.

use crate::attack::{Attack, Ends};
use crate::big;
use crate::memory::{Held, Panicking};
use bandstand_sandbox::{CallLimits, Class, Grants, Memory, MemoryGrant};
use bandstand_test_guests as guests;
use std::sync::Arc;

/// The text of an attack.
macro_rules! wat {
    ($name:literal) => {
        ($name, include_str!(concat!("../attacks/", $name, ".wat")))
    };
}

/// The attack of that name.
#[must_use]
pub fn attack(name: &str) -> Attack {
    attacks().into_iter().find(|attack| attack.name == name).unwrap_or_else(|| panic!("no attack `{name}`"))
}

/// All of them.
#[must_use]
pub fn attacks() -> Vec<Attack> {
    let mut all = crashes();
    all.extend(endless());
    all.extend(greedy());
    all.extend(bad_replies());
    all.extend(floods());
    all.extend(host_calls());
    all.extend(odd_components());
    all.extend(functions());
    all
}

/// Bounds that a test has time for; the others are the defaults.
fn limits() -> CallLimits {
    CallLimits { wall_ms: 20_000, cpu_ms: 5_000, ..CallLimits::default() }
}

fn fails(
    (name, text): (&'static str, &str),
    class: Class,
    code: &'static str,
    says: &[&'static str],
) -> Attack {
    of(name, guests::component(&guests::agent_module(text)), Ends::Fails(class, code, says.to_vec()))
}

fn of(name: &'static str, component: Vec<u8>, ends: Ends) -> Attack {
    Attack {
        name,
        component: component.into(),
        limits: limits(),
        grants: Grants::default(),
        memory: None,
        function: None,
        ends,
    }
}

/// A component that knows nothing of agents, whose function gives this.
fn function(
    (name, text): (&'static str, &str),
    (definitions, gives): (&str, &str),
    ends: (Class, &'static str, &'static [&'static str]),
) -> Attack {
    let wit = format!(
        "package test:foreign;
        interface it {{ {definitions} f: func(a: u32) -> {gives}; }}
        world foreign {{ export it; }}"
    );
    let (class, code, says) = ends;
    let attack = of(name, guests::foreign(&wit, text), Ends::Fails(class, code, says.to_vec()));
    Attack { function: Some("test:foreign/it#f"), ..attack }
}

impl Attack {
    fn wall(mut self, wall_ms: u64) -> Self {
        self.limits.wall_ms = wall_ms;
        self
    }

    fn cpu(mut self, cpu_ms: u64) -> Self {
        self.limits.cpu_ms = cpu_ms;
        self
    }

    fn with_memory(mut self, memory: impl Memory) -> Self {
        self.grants.memory = Some(MemoryGrant::Write);
        self.memory = Some(Arc::new(memory));
        self
    }
}

fn crashes() -> Vec<Attack> {
    let trap = |wat, code, says: &[&'static str]| fails(wat, Class::Trap, code, says);
    vec![
        trap(wat!("trap"), "unreachable", &["it stopped itself (`unreachable`)"]),
        trap(wat!("recursion"), "stack-overflow", &["nest too deep"]),
        trap(wat!("exit"), "exit", &["ended its process with status 0"]),
        trap(wat!("forged-handle"), "bad-call", &["called the host wrongly", "handle"]),
        trap(wat!("stale-handle"), "bad-call", &["called the host wrongly", "handle"]),
        trap(wat!("re-entrant-realloc"), "re-entered", &["cannot leave component instance"]),
        trap(wat!("realloc-out-of-bounds"), "bad-call", &["realloc"]),
    ]
}

const TIMEOUT: &[&str] = &["longer than 150 ms (setting timeout)"];

fn endless() -> Vec<Attack> {
    let late = |wat| fails(wat, Class::Timeout, "attempt-timeout", TIMEOUT).wall(150);
    let busy = |wat| {
        fails(wat, Class::Limit, "cpu", &["more than 60 ms of processor time (setting limits.cpu)"]).cpu(60)
    };
    vec![
        late(wat!("loop")),
        late(wat!("start-loop")),
        late(wat!("realloc-loop")),
        late(wat!("post-return-loop")),
        late(wat!("sleep")),
        late(wat!("sleep-until")),
        late(wat!("late-reply")),
        busy(wat!("bulk-loop")),
        busy(wat!("busy-poll")),
        busy(wat!("clock-loop")),
        busy(wat!("stderr-flood")),
    ]
}

fn greedy() -> Vec<Attack> {
    const MEMORY: &[&str] = &["more than 16777216 bytes of memory (setting limits.memory)"];
    let mut bomb = fails(wat!("memory-bomb"), Class::Limit, "memory", MEMORY);
    bomb.limits.memory_bytes_max = 16 << 20;
    // Eight memories in all, the agent's own among them.
    let summed = big::with_instances("(module (memory 64))", 7);
    let mut summed = of("summed-memories", summed, Ends::Fails(Class::Limit, "memory", MEMORY.to_vec()));
    summed.limits.memory_bytes_max = 16 << 20;
    let held = "the agent held more than 4096 handles to things of the host (setting limits.handles)";
    vec![
        bomb,
        summed,
        fails(
            wat!("table-bomb"),
            Class::Limit,
            "table-elements",
            &["more than 100000 table elements (setting limits.table-elements)"],
        ),
        fails(wat!("streams"), Class::Limit, "handles", &[held]),
        fails(wat!("pollables"), Class::Limit, "handles", &[held]),
        fails(wat!("wide-poll"), Class::Limit, "handles", &[held]),
    ]
}

fn bad_replies() -> Vec<Attack> {
    let bad = |wat, says: &[&'static str]| fails(wat, Class::InvalidOutput, "bad-reply", says);
    let large = |wat| {
        fails(wat, Class::InvalidOutput, "too-large", &["limit of 1048576 bytes (setting limits.output)"])
    };
    let mut truly_large = large(wat!("large-reply"));
    truly_large.limits.memory_bytes_max = 512 << 20;
    vec![
        bad(wat!("gibibyte-reply"), &["the reply cannot be read", "out of bounds"]),
        truly_large,
        large(wat!("amplified-reply")),
        bad(wat!("deep-json"), &["output is not JSON", "recursion limit"]),
        bad(wat!("not-utf8"), &["the reply cannot be read", "utf-8"]),
        of("long-number", guests::component(&guests::agent_module(wat!("long-number").1)), Ends::Answers),
        fails(wat!("escapes"), Class::Agent, "2j-0-owned-31mred-over", &["redover"]),
        fails(wat!("escapes-and-trap"), Class::Trap, "division-by-zero", &["divide by zero"]),
    ]
}

fn floods() -> Vec<Attack> {
    let flood = |wat| {
        let says = &["more than 1048576 bytes through host calls", "setting limits.host-calls"];
        let mut flood = fails(wat, Class::Limit, "host-calls", says);
        flood.limits.host_call_bytes_max = 1 << 20;
        flood
    };
    vec![flood(wat!("log-flood")), flood(wat!("progress-flood"))]
}

fn host_calls() -> Vec<Attack> {
    const HUGE: &[&str] = &["one host call carried more than 16777216 bytes, which is fixed"];
    let (_, text) = wat!("memory-call");
    let waits =
        fails(("memory-waits", text), Class::Timeout, "attempt-timeout", TIMEOUT).wall(Held::ATTEMPT_MS);
    let panics =
        fails(("memory-panics", text), Class::Host, "host-panic", &["the store of the memory panicked"]);
    vec![
        fails(wat!("huge-argument"), Class::Limit, "host-calls", HUGE),
        fails(wat!("amplified-argument"), Class::Limit, "host-calls", HUGE).with_memory(Panicking),
        fails(wat!("zeroes"), Class::Trap, "bad-call", &["more zeroes than `check_write` allows"]),
        fails(wat!("random"), Class::Trap, "bad-call", &["1099511627776 exceeds limit 1048576"]),
        fails(wat!("socket"), Class::Agent, "refused", &["no socket for me"]),
        waits.with_memory(Held),
        panics.with_memory(Panicking),
    ]
}

fn odd_components() -> Vec<Attack> {
    let refused = |name, component, says: &[&'static str]| of(name, component, Ends::Refused(says.to_vec()));
    let (name, text) = wat!("http");
    let http = guests::component(&guests::agent_module(text));
    vec![
        refused(name, http, &["`wasi:http/outgoing-handler@0.2.0`", "grants: {http:"]),
        refused(
            "many-memories",
            big::with_instances("(module (memory 1))", 100),
            &["101", "memories", "of 8"],
        ),
        refused("many-tables", big::with_instances("(module (table 1 funcref))", 100), &["tables", "of 64"]),
        refused("many-instances", big::with_instances("(module)", 500), &["core module instances", "of 200"]),
        refused(
            "very-many-instances",
            big::with_instances("(module)", 10_000),
            &["instances", "limit of 1000"],
        ),
        refused("deep-type", big::with_deep_type(10_000), &["damaged", "nesting"]),
        refused(
            "deep-component",
            big::with_deep_component(20_000),
            &["64 components inside each other", "fixed by the host"],
        ),
        refused("many-components", big::with_components(5_000), &["components", "limit of 1000"]),
        refused("many-modules", big::with_modules(5_000), &["modules", "limit of 1000"]),
        refused(
            "many-imports",
            big::with_imports(5_000, |number| format!("power-{number}")),
            &["`power-0`", "`power-19`", "and 4980 more"],
        ),
        refused(
            "import-of-escapes",
            big::with_imports(1, |_| "url=<\u{1b}[2J\u{202e}here>".to_owned()),
            &["`url=<here>`"],
        ),
        of(
            "shared-memory",
            big::with_instances("(module (memory 1 1 shared))", 1),
            Ends::Refused(vec!["shared"]),
        ),
        of("many-types", big::with_types(10_000), Ends::Answers),
        of("slow-to-compile", big::with_module(&big::slow_module(4)), Ends::Answers),
    ]
}

fn functions() -> Vec<Attack> {
    const MANY: &[&str] = &["the result takes more than 16777216 bytes of the host", "each value counts"];
    let many = (Class::InvalidOutput, "too-large", MANY);
    let bad = |says: &'static [&'static str]| (Class::InvalidOutput, "bad-reply", says);
    let deep = of(
        "function-deep-type",
        big::with_doubled_type(14),
        Ends::Refused(vec!["cannot be called", "parts"]),
    );
    vec![
        function(
            wat!("function-post-return-loop"),
            ("", "string"),
            (Class::Timeout, "attempt-timeout", TIMEOUT),
        )
        .wall(150),
        function(wat!("function-million"), ("", "list<u8>"), many),
        function(wat!("function-amplified"), ("", "list<list<u8>>"), many),
        function(
            wat!("function-bad-case"),
            ("enum e { one, two }", "e"),
            bad(&["the reply cannot be read", "discriminant"]),
        ),
        function(
            wat!("function-gibibyte"),
            ("", "list<u8>"),
            bad(&["the reply cannot be read", "out of bounds"]),
        ),
        Attack { function: Some("f"), ..deep },
    ]
}
