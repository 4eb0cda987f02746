//! The one engine of the server: how guests are compiled, how much room they get, what they are linked with.

use std::num::NonZeroUsize;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::Bounds;
use crate::bindings::Handler;
use crate::calls;
use crate::limits;
use crate::sandbox::slots::Slots;
use crate::sandbox::state::State;
use crate::sandbox::turns::{Line, Turns};

/// Why the engine cannot be made; the reason is the machine's (address space, processor).
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine cannot start: {0:#}")]
pub struct EngineError(wasmtime::Error);

/// The engine, its linker, and the permits of its pool.
pub(crate) struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    /// One permit for each slot of the pool, which fails instead of waiting where it is full.
    pub(crate) slots: Slots,
    /// Of the guests that take long.
    pub(crate) turns: Turns,
    /// In which `describe` stands, of whatever module.
    pub(crate) line_of_describe: Line,
    pub(crate) bounds: Bounds,
}

impl Sandbox {
    /// Builds the engine with room for as many invocations as `bounds` says, and starts its clock.
    pub(crate) fn new(bounds: Bounds) -> Result<Self, EngineError> {
        let mut config = config(&bounds);
        let slots = bounds
            .invocations_max
            .saturating_add(limits::DESCRIBE_SLOTS);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots, &bounds)));
        let engine = Engine::new(&config).map_err(EngineError)?;
        let mut linker = Linker::new(&engine);
        // All of WASI, over a context that holds nothing: a language's runtime does not start
        // without these imports, and whatever it asks of them fails inside the guest.
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(EngineError)?;
        calls::random::add_to_linker(&mut linker).map_err(EngineError)?;
        Handler::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(EngineError)?;
        tick(&engine).map_err(|error| EngineError(error.into()))?;
        let turns = Turns::of_this_machine();
        Ok(Self {
            engine,
            linker,
            slots: Slots::new(bounds.invocations_max),
            line_of_describe: turns.line(),
            turns,
            bounds,
        })
    }
}

/// Makes and drops the smallest engine, which has this process open its own page map: once it has closed its
/// memory to other processes, only root may. Without the map every invocation costs about half as much again.
///
/// # Errors
/// Where [`Sandbox::new`] would fail too.
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

/// Everything but where instances live: what decides about the code that is compiled is the same in a process that
/// only compiles.
fn config(bounds: &Bounds) -> Config {
    let mut config = Config::new();
    config
        // A spinning guest is stopped by a clock that it checks itself; fuel would cost twice as much.
        .epoch_interruption(true)
        // One task a store: without the component model's own concurrency a call costs less.
        .concurrency_support(false)
        .max_wasm_stack(bounds.stack_bytes_max)
        .async_stack_size(bounds.fiber_stack_bytes())
        // Function names are enough for an author; line tables of a guest may be anything.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(limits::BACKTRACE_FRAMES_MAX));
    config
}

fn pool(slots: u32, bounds: &Bounds) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool
        // An invocation is one component instance on one fiber.
        .total_component_instances(slots)
        .total_stacks(slots)
        // Its parts: what every slot could use at once, so that the permits alone decide.
        .total_core_instances(slots.saturating_mul(bounds.instances_max))
        .max_core_instances_per_component(bounds.instances_max)
        .total_memories(slots.saturating_mul(bounds.memories_max))
        .max_memories_per_component(bounds.memories_max)
        .total_tables(slots.saturating_mul(bounds.tables_max))
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
        // Zeroing what a small guest touched is cheaper than giving the pages back and faulting
        // them in again; it stays resident for every slot that was ever used.
        .linear_memory_keep_resident(2 << 20)
        // Where the kernel tells which pages were touched, only these are zeroed: this halves the cost
        // of an invocation.
        .pagemap_scan(Enabled::Auto)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10);
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
