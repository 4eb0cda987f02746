//! The WebAssembly engine of the server: its compilation settings, its pool of instances, and WASI for guests.

use std::num::NonZeroUsize;

use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    RegallocAlgorithm, WasmBacktraceDetails,
};

use crate::limits;
use crate::limits::bounds::Bounds;
use crate::sandbox::fair_share::{CpuPermits, HandlerShare};
use crate::sandbox::guest::HasGuest;
use crate::sandbox::pool_permits::PoolPermits;
use crate::sandbox::random;

/// The engine cannot be created, for example because the machine has too little address space.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine cannot start: {0:#}")]
pub struct EngineError(pub(crate) wasmtime::Error);

/// The engine, and the permits to use it.
pub(crate) struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) pool_permits: PoolPermits,
    pub(crate) cpu_permits: CpuPermits,
    /// The share of all calls of `describe`, of any module.
    pub(crate) share_of_describe: HandlerShare,
    pub(crate) bounds: Bounds,
}

impl Sandbox {
    /// Builds the engine with a pool for `bounds.invocations_max` invocations, and starts its epoch thread.
    ///
    /// # Errors
    /// If the machine has too little address space, or the thread cannot be started.
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

    /// Makes a linker with all of WASI, without files, sockets, variables or arguments. The runtimes of languages do not
    /// start without these imports.
    ///
    /// # Errors
    /// Only if wasmtime defines an interface twice.
    pub(crate) fn wasi_linker<T: HasGuest>(&self) -> wasmtime::Result<Linker<T>> {
        let mut linker = Linker::new(&self.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        random::add_to_linker(&mut linker)?;
        Ok(linker)
    }
}

/// Creates and drops a small engine, so that wasmtime opens `/proc/self/pagemap` and keeps it open. To be called before the
/// process makes itself undumpable, after which only root can open the file. Without it every invocation takes about 50 %
/// more CPU time.
///
/// # Errors
/// If [`Sandbox::new`] would fail too.
pub fn open_page_map() -> Result<(), EngineError> {
    let bounds = Bounds::default();
    let mut config = config(&bounds);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(1, &bounds)));
    Engine::new(&config).map(drop).map_err(EngineError)
}

/// How much of its time the compiler spends on making fast code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effort {
    /// As much as it can: a module is compiled once and runs for weeks.
    Full,
    /// As little as it can, which takes about a third of the time; the code takes about twice as long.
    Fast,
}

/// Makes an engine with the compilation settings of the sandbox's, without a pool. What it spends on fast code does not matter
/// to the engine that runs the code.
pub(crate) fn for_compiling(effort: Effort) -> Result<Engine, EngineError> {
    let mut config = config(&Bounds::default());
    if effort == Effort::Fast {
        config
            .cranelift_opt_level(OptLevel::None)
            .cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
    }
    Engine::new(&config).map_err(EngineError)
}

/// Returns the settings except the pool. A process that only compiles needs the same settings to produce compatible code.
fn config(bounds: &Bounds) -> Config {
    let mut config = Config::new();
    config
        // Interrupts spinning guests. Fuel would take twice the CPU time.
        .epoch_interruption(true)
        // A store runs one task: without the component model's concurrency a call is cheaper.
        .concurrency_support(false)
        .max_wasm_stack(bounds.stack_bytes_max)
        .async_stack_size(bounds.fiber_stack_bytes())
        // Function names are enough for an author, and a guest's line tables are untrusted.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(limits::BACKTRACE_FRAMES_MAX));
    config
}

fn pool(instances: u32, bounds: &Bounds) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool
        // An invocation is one component instance with one stack.
        .total_component_instances(instances)
        .total_stacks(instances)
        // Enough parts for every instance at its bounds, so that only the permits limit invocations.
        .total_core_instances(instances.saturating_mul(bounds.instances_max))
        .max_core_instances_per_component(bounds.instances_max)
        .total_memories(instances.saturating_mul(bounds.memories_max))
        .max_memories_per_component(bounds.memories_max)
        .total_tables(instances.saturating_mul(bounds.tables_max))
        .max_tables_per_component(bounds.tables_max)
        .max_tables_per_module(bounds.tables_max)
        .table_elements(bounds.table_elements_max)
        // The slots whose memory stays resident after a storm: as many as a small machine can afford.
        .max_unused_warm_slots(64)
        // The metadata of an instance. An interpreter has thousands of functions.
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        // Address space, not memory. The memory of a guest is limited by its store.
        .max_memory_size(limits::SLOT_MEMORY_BYTES_MAX)
        // Zeroing the pages that a small guest touched is cheaper than returning them to the kernel and faulting them in
        // again. They stay resident for every slot that was ever used.
        .linear_memory_keep_resident(2 << 20)
        // Zeroes only the pages that the kernel reports as touched: this halves the CPU time of an invocation.
        .pagemap_scan(Enabled::Auto)
        // Stacks are not zeroed: a guest cannot read the old content of its stack.
        .table_keep_resident(64 << 10);
    pool
}

/// Starts a thread that advances the engine's epoch until the engine is dropped.
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
