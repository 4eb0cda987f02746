//! Measures the memory of a guest, and refuses growth beyond its limit.

use wasmtime::ResourceLimiter;

use crate::limits::DESCRIBE_MEMORY_BYTES_MAX;
use crate::limits::advice::Advice;
use crate::limits::bounds::Bounds;
use crate::limits::quota::{LimitHit, LimitName};

/// The size of a table's element, in bytes.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts the bytes of all memories and tables of one store, and refuses growth beyond the limit.
#[derive(Debug)]
pub(crate) struct MemoryMeter {
    bytes_max: u64,
    bytes: u64,
    bytes_peak: u64,
    /// The limit for which the last growth was refused.
    refused: Option<LimitHit>,
    bounds: Bounds,
    advice: Advice,
}

impl MemoryMeter {
    pub(crate) fn new(bytes_max: u64, bounds: Bounds) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            bytes_peak: 0,
            refused: None,
            bounds,
            advice: Advice::Handler,
        }
    }

    /// Makes the meter of `describe`, which has a fixed limit.
    pub(crate) fn for_describe(bounds: Bounds) -> Self {
        Self {
            advice: Advice::Describe,
            ..Self::new(DESCRIBE_MEMORY_BYTES_MAX, bounds)
        }
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub(crate) fn bytes_peak(&self) -> u64 {
        self.bytes_peak
    }

    /// Returns the limit for which a growth was refused, if one was.
    pub(crate) fn hit(&self) -> Option<LimitHit> {
        self.refused.clone()
    }

    fn grow(&mut self, by: u64) -> bool {
        let wanted = self.bytes.saturating_add(by);
        if wanted > self.bytes_max {
            self.refused = Some(LimitHit {
                limit: LimitName::Memory,
                used: wanted,
                max: self.bytes_max,
                detail: format!(
                    "it asked for {wanted} bytes in all, {} are allowed. {}",
                    self.bytes_max,
                    self.advice.about(LimitName::Memory, "keep less")
                ),
            });
            return false;
        }
        self.bytes = wanted;
        self.bytes_peak = self.bytes_peak.max(wanted);
        true
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let max = self.bounds.table_elements_max;
        if desired > max {
            self.refused = Some(LimitHit {
                limit: LimitName::TableElements,
                used: desired as u64,
                max: max as u64,
                detail: format!(
                    "it asked for {desired} in one table, {max} are allowed. \
                     Raise sandbox.table_elements, or make it keep less."
                ),
            });
            return Ok(false);
        }
        // The module's own maximum is not a limit of the sandbox: the growth fails without a hit.
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        let elements = desired.saturating_sub(current);
        Ok(self.grow(elements.saturating_mul(TABLE_ELEMENT_BYTES) as u64))
    }

    fn instances(&self) -> usize {
        self.bounds.instances_max as usize
    }

    fn tables(&self) -> usize {
        self.bounds.tables_max as usize
    }

    fn memories(&self) -> usize {
        self.bounds.memories_max as usize
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn memories_and_tables_count_together() {
        let mut meter = MemoryMeter::new(1_000, Bounds::default());
        assert!(meter.memory_growing(0, 600, None).unwrap());
        assert!(meter.table_growing(0, 10, None).unwrap());
        assert_eq!(meter.bytes_peak(), 680);
        assert!(!meter.memory_growing(600, 1_000, None).unwrap());
        assert_eq!(meter.hit().unwrap().used, 1_080);
        assert_eq!(meter.bytes_peak(), 680);
    }

    #[test]
    fn the_advice_for_describe_is_not_to_raise_a_limit() {
        let mut meter = MemoryMeter::for_describe(Bounds::default());
        assert!(!meter.memory_growing(0, 1 << 30, None).unwrap());
        let report = meter.hit().unwrap().to_string();
        assert!(report.contains("describe has this bound"), "{report}");
        assert!(!report.contains("limits.memory"), "{report}");
    }

    #[test]
    fn a_table_over_the_limit_is_a_hit_and_one_over_its_own_maximum_is_not() {
        let mut meter = MemoryMeter::new(1 << 30, Bounds::default());
        assert!(!meter.table_growing(0, 11, Some(10)).unwrap());
        assert_eq!(meter.hit(), None);
        assert!(!meter.table_growing(0, 20_001, Some(20_000)).unwrap());
        let hit = meter.hit().unwrap();
        assert_eq!((hit.limit, hit.used), (LimitName::TableElements, 20_001));
    }
}
