//! The one configuration of wasmtime that both compiles and runs: a difference between the two would make the cache
//! of compiled code worthless, or worse.

use crate::limiter::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use crate::load_error::SetupError;
use crate::settings::{MEMORY_BYTES_CEILING, Settings};
use std::num::NonZeroUsize;
use std::time::Duration;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails, WasmFeatures,
};

/// How often running guests are looked at. A limit of time is kept to within about two of these.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Each takes 4 GiB of a process's 128 TiB of addresses: enough for [`MEMORIES_MAX`] in each of 2,048 instances.
const POOLED_MEMORIES_MAX: u32 = 16_384;
/// Each takes 800 kB of addresses.
const POOLED_TABLES_MAX: u32 = 131_072;

/// The engine, and a thread that makes its clock tick for as long as the engine lives.
pub(crate) fn start(settings: &Settings) -> Result<Engine, SetupError> {
    let instances = u32::try_from(settings.instances_max)
        .ok()
        .filter(|instances| (1..=4_096).contains(instances))
        .ok_or(SetupError::Setting {
            setting: "host.instances",
            value: settings.instances_max,
            must: "1 to 4096",
        })?;
    // Those of tools come beside.
    let instances = u32::try_from(settings.instances_with_tools()).unwrap_or(instances);
    let engine = match Engine::new(&config(Some(instances))) {
        Ok(engine) => engine,
        // Pool slots take terabytes of addresses (not of memory), which a limit on address space does not allow.
        Err(error) => {
            tracing::warn!(
                "no room for a pool of {instances} instances, each will be mapped on demand: {error:#}"
            );
            Engine::new(&config(None)).map_err(|error| SetupError::Engine(format!("{error:#}")))?
        }
    };
    let ticking = engine.weak();
    std::thread::Builder::new()
        .name("guest-clock".to_owned())
        .spawn(move || {
            // Holding the engine only for the moment of a tick lets it go when the sandbox does.
            while let Some(engine) = ticking.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .map_err(SetupError::Threads)?;
    Ok(engine)
}

/// The engine of a child that only compiles: without pool and clock, which have no part in what code looks like.
pub(crate) fn for_compiling() -> wasmtime::Result<Engine> {
    Engine::new(&config(None))
}

/// What of WebAssembly components may use: what is compiled, and what counts as valid before that.
pub(crate) fn features() -> WasmFeatures {
    WasmFeatures::WASM3
        // Atomic instructions, which C++ of wasi-sdk has in code for a single thread. There is still nothing to share: guests
        // have no threads, and memories that are declared to be shared are refused.
        .union(WasmFeatures::THREADS)
        .union(WasmFeatures::COMPONENT_MODEL)
        .difference(WasmFeatures::MEMORY64 | WasmFeatures::RELAXED_SIMD)
        // Neither is in what wasmtime is built with here.
        .difference(WasmFeatures::GC_TYPES | WasmFeatures::EXCEPTIONS)
}

fn config(instances: Option<u32>) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // No component-model async: guests are synchronous, and it costs every call.
        .concurrency_support(false)
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(features(), true)
        .shared_memory(false)
        .max_wasm_stack(512 << 10)
        // 1.5 MiB above the guest's own stack for host functions, which run on the same stack.
        .async_stack_size(2 << 20)
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .memory_init_cow(true)
        .cranelift_opt_level(OptLevel::Speed)
        // Frames, but no line numbers: they would be parsed from debug information that the guest wrote.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(32));
    if let Some(instances) = instances {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
    }
    config
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    // Without the scan of page maps (Linux 6.7 and later) memory kept resident is overwritten in full at each reset,
    // so little of it is kept.
    let keep_bytes = if PoolingAllocationConfig::is_pagemap_scan_available() { 1 << 20 } else { 64 << 10 };
    let mut pool = PoolingAllocationConfig::new();
    // An instance slot means that there is room, whatever the neighbours hold: each total is what all slots may take
    // together. None of it costs memory, only addresses: 16 TiB for the default of 512 instances.
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(CORE_INSTANCES_MAX * instances)
        .total_memories((MEMORIES_MAX * instances).min(POOLED_MEMORIES_MAX))
        .total_tables((TABLES_MAX * instances).min(POOLED_TABLES_MAX))
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_memories_per_module(1)
        .max_tables_per_module(4)
        .table_elements(100_000)
        .max_core_instance_size(8 << 20)
        .max_component_instance_size(8 << 20)
        .max_memory_size(MEMORY_BYTES_CEILING)
        .linear_memory_keep_resident(keep_bytes)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(64)
        .decommit_batch_size(8)
        .pagemap_scan(Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::engine_hash;

    // R7.1: what one compiles the other may run, and neither is ever mistaken for another configuration's.
    #[test]
    fn code_of_the_compiling_engine_is_code_of_the_running_one() {
        let running = start(&Settings { instances_max: 2, ..Settings::default() }).unwrap();
        assert_eq!(engine_hash(&running), engine_hash(&for_compiling().unwrap()));
        let other = Engine::new(config(None).epoch_interruption(false)).unwrap();
        assert_ne!(engine_hash(&running), engine_hash(&other));
    }
}
