//! The bounds of the sandbox as a whole: the number and size of the pool's slots, of modules and of the compiler.

use std::time::Duration;

use crate::limits::table::limits_table;

limits_table! {
    /// The bounds for all handlers. A change needs a restart. The keys are those below `sandbox`.
    Bounds {
        /// invocations at one time, over all handlers; no handler gets more than half of them. The default is enough for
        /// thirty-two handlers of the default concurrency, so that one that hangs takes nothing from the others. A slot is
        /// address space (some gigabytes each, of 128 TiB), not memory.
        invocations => invocations_max: u32, Count, 256, at most 2_000;
        /// a guest's own stack. The host's frames have 1 MiB in addition.
        stack => stack_bytes_max: usize, Size, 1 << 20, at most 8 << 20, at least 64 << 10;
        /// core instances in one component. Python's has a dozen.
        instances => instances_max: u32, Count, 20, at most 1_000;
        /// linear memories in one component. Every toolchain makes one.
        memories => memories_max: u32, Count, 4, at most 16;
        /// tables in one component.
        tables => tables_max: u32, Count, 8, at most 100;
        /// elements of one table. Python's fills more than half of it.
        table_elements => table_elements_max: usize, Count, 20_000, at most 1_000_000;
        /// a module's file. One with Python's interpreter has 18 MB.
        module_bytes => module_bytes_max: u64, Size, 64 << 20, at most 1 << 30;
        /// all precompiled modules together; the oldest are deleted first.
        cache_bytes => cache_bytes_max: u64, Size, 2 << 30, at most 1 << 40;
        /// address space of a process that compiles modules, one after the other. Python's interpreter needs 370 MB. There are
        /// at most 8 such processes, one for each processor and not more than one for each 512 MiB of memory.
        compile_memory => compile_memory_bytes_max: u64, Size, 2 << 30, at most 1 << 40, at least 128 << 20;
        /// CPU time of compiling one module; it may take four times as long from start to end.
        compile_time => compile_time_max: Duration, Time, Duration::from_secs(60), at most 60 * 60 * 1_000;
    }
}

impl Bounds {
    /// Returns the size of a fiber's stack in bytes, for the frames of the guest and of the host.
    pub(crate) fn fiber_stack_bytes(&self) -> usize {
        self.stack_bytes_max.saturating_add(1 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::Bounds;
    use crate::limits::table::tests::assert_consistent;

    #[test]
    fn each_default_is_within_what_can_be_set() {
        assert_consistent(Bounds::KEYS);
    }
}
