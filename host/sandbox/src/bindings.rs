//! What wasmtime generates from `wit/agent.wit`.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "agent",
    imports: { default: async | trappable },
    exports: { default: async },
    with: { "bandstand:agent/model.answer": crate::guest_model::OpenAnswer },
});

pub(crate) use bandstand::agent::{
    log, memory_audit, memory_facts, memory_slots, model, progress, tools, types,
};
