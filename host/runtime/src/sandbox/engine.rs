//! The one engine of the server: how guests are compiled, how much room they get, and WASI for them.

use std::num::NonZeroUsize;

use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::limits;
use crate::limits::bounds::Bounds;
use crate::sandbox::fair_share::{CpuPermits, HandlerShare};
use crate::sandbox::guest::HasGuest;
use crate::sandbox::pool_permits::PoolPermits;
use crate::sandbox::random;

/// The engine cannot be made, for a reason of the machine's (address space, processor).
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine cannot start: {0:#}")]
pub struct EngineError(pub(crate) wasmtime::Error);

/// The engine, and the permits to use it.
pub(crate) struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) pool_permits: PoolPermits,
    pub(crate) cpu_permits: CpuPermits,
    /// Of `describe`, of whatever module.
    pub(crate) share_of_describe: HandlerShare,
    pub(crate) bounds: Bounds,
}

impl Sandbox {
    /// Builds the engine with room for as many invocations as `bounds` says, and starts its clock.
    ///
    /// # Errors
    /// If the machine has too little address space, or no thread for the clock.
    pub(crate) fn new(bounds: Bounds) -> Result<Self, EngineError> {
        let mut config = config(&bounds);
        let instances = bounds
            .invocations_max
            .saturating_add(limits::DESCRIBE_PERMITS);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(
            instances, &bounds,
        )));
        let engine = Engine::new(&config).map_err(EngineError)?;
        tick(&engine).map_err(|error| EngineError(error.into()))?;
        let cpu_permits = CpuPermits::of_this_machine();
        Ok(Self {
            engine,
            pool_permits: PoolPermits::new(bounds.invocations_max),
            share_of_describe: cpu_permits.share(),
            cpu_permits,
            bounds,
        })
    }

    /// Makes a linker with all of WASI over a world that holds nothing: a language's runtime does not start without these
    /// imports, and whatever it asks of them fails inside the guest.
    ///
    /// # Errors
    /// None, unless wasmtime's own tables are at fault.
    pub(crate) fn wasi_linker<T: HasGuest>(&self) -> wasmtime::Result<Linker<T>> {
        let mut linker = Linker::new(&self.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        random::add_to_linker(&mut linker)?;
        Ok(linker)
    }
}

/// Makes and drops the smallest engine, so that this process opens its own page map: once it has closed its memory to other
/// processes, only root may. Without the map every invocation takes about half as much CPU time again.
///
/// # Errors
/// If [`Sandbox::new`] would fail too.
pub fn open_page_map() -> Result<(), EngineError> {
    let bounds = Bounds::default();
    let mut config = config(&bounds);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(1, &bounds)));
    Engine::new(&config).map(drop).map_err(EngineError)
}

/// Makes an engine that compiles as the sandbox's does and has no room for instances.
pub(crate) fn for_compiling() -> Result<Engine, EngineError> {
    Engine::new(&config(&Bounds::default())).map_err(EngineError)
}

/// Everything but the pool: a process that only compiles needs the same settings to make the same code.
fn config(bounds: &Bounds) -> Config {
    let mut config = Config::new();
    config
        // A spinning guest checks an epoch counter itself; fuel would take twice the CPU time.
        .epoch_interruption(true)
        // One task a store: a call is cheaper without the component model's own concurrency.
        .concurrency_support(false)
        .max_wasm_stack(bounds.stack_bytes_max)
        .async_stack_size(bounds.fiber_stack_bytes())
        // Function names are enough for an author; a guest's line tables may hold anything.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(limits::BACKTRACE_FRAMES_MAX));
    config
}

fn pool(instances: u32, bounds: &Bounds) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool
        // An invocation is one component instance on one fiber.
        .total_component_instances(instances)
        .total_stacks(instances)
        // Its parts: as many as all instances together may have, so that the permits alone decide.
        .total_core_instances(instances.saturating_mul(bounds.instances_max))
        .max_core_instances_per_component(bounds.instances_max)
        .total_memories(instances.saturating_mul(bounds.memories_max))
        .max_memories_per_component(bounds.memories_max)
        .total_tables(instances.saturating_mul(bounds.tables_max))
        .max_tables_per_component(bounds.tables_max)
        .max_tables_per_module(bounds.tables_max)
        .table_elements(bounds.table_elements_max)
        // What stays resident after a storm: as much as a small machine bears.
        .max_unused_warm_slots(64)
        // Metadata of an instance: an interpreter has thousands of functions.
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        // Address space, not memory: the store's own limit is what a guest meets.
        .max_memory_size(limits::SLOT_MEMORY_BYTES_MAX)
        // Zeroing what a small guest touched is cheaper than giving the pages back and faulting them in again. It stays
        // resident for every slot that was ever used.
        .linear_memory_keep_resident(2 << 20)
        // If the kernel says which pages were touched, only these are zeroed: this halves the CPU time of an invocation.
        .pagemap_scan(Enabled::Auto)
        // Stacks are not zeroed, so they need no such setting: a guest cannot read what was on its stack before.
        .table_keep_resident(64 << 10);
    pool
}

/// Advances the engine's epoch until the engine is gone.
fn tick(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("epoch".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(limits::EPOCH);
            }
        })?;
    Ok(())
}
