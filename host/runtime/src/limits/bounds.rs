//! What the sandbox as a whole may use: the pool's slots and what one of them has room for, modules, their compiler.

use std::time::Duration;

/// Bounds that hold for every handler; they take a restart. Each field has the operator's name for it, below
/// `sandbox`, in its doc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// `invocations`: at one time, over all handlers, of which no handler gets more than half. Enough for the default
    /// concurrency of thirty-two handlers, so that one that hangs takes nobody else's. A slot is address space (some
    /// gigabytes each, of 128 TiB), not memory.
    pub invocations_max: u32,
    /// `stack`: of a guest's frames, in bytes. The host's own frames have as much again.
    pub stack_bytes_max: usize,
    /// `instances`: core instances in one component. Python's has a dozen.
    pub instances_max: u32,
    /// `memories`: linear memories in one component. Every toolchain makes one.
    pub memories_max: u32,
    /// `tables`: in one component.
    pub tables_max: u32,
    /// `table_elements`: of one table. Python's fills more than half of it.
    pub table_elements_max: usize,
    /// `module_bytes`: a module's file. Python's interpreter makes 18 MB of it.
    pub module_bytes_max: u64,
    /// `cache_bytes`: all precompiled modules together; the oldest go first.
    pub cache_bytes_max: u64,
    /// `compile_memory`: address space of the process that compiles a module. Python's interpreter takes 370 MB.
    pub compile_memory_bytes_max: u64,
    /// `compile_time`: of that process, on processors; four times that from start to end.
    pub compile_time_max: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            invocations_max: 256,
            stack_bytes_max: 1 << 20,
            instances_max: 20,
            memories_max: 4,
            tables_max: 8,
            table_elements_max: 20_000,
            module_bytes_max: 64 << 20,
            cache_bytes_max: 2 << 30,
            compile_memory_bytes_max: 2 << 30,
            compile_time_max: Duration::from_secs(60),
        }
    }
}

impl Bounds {
    /// The whole fiber: guest and host frames.
    pub(crate) fn fiber_stack_bytes(&self) -> usize {
        self.stack_bytes_max.saturating_add(1 << 20)
    }
}
