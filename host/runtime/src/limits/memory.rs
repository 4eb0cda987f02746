//! How much memory this process may use.

/// The limit of the control group, as a container sees its own; `max` if there is none.
const CONTROL_GROUP: &str = "/sys/fs/cgroup/memory.max";
/// The memory of the machine.
const MACHINE: &str = "/proc/meminfo";

/// Returns how many bytes of memory this process may use; `None` if that cannot be read.
pub(crate) fn usable_bytes() -> Option<u64> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    usable(&read(CONTROL_GROUP), &read(MACHINE))
}

/// Returns the smaller of the two limits, from the texts of both files.
fn usable(control_group: &str, machine: &str) -> Option<u64> {
    let limit = control_group.trim().parse::<u64>().ok();
    let total = machine.lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
    });
    limit.into_iter().chain(total).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_limit_counts_and_one_that_cannot_be_read_does_not() {
        let machine = "MemTotal:        4194304 kB\nMemFree:          123456 kB\n";
        assert_eq!(usable("3221225472\n", machine), Some(3 << 30));
        assert_eq!(usable("8589934592\n", machine), Some(4 << 30));
        assert_eq!(usable("max\n", machine), Some(4 << 30));
        assert_eq!(usable("", machine), Some(4 << 30));
        assert_eq!(usable("3221225472\n", "MemTotal: much\n"), Some(3 << 30));
        assert_eq!(usable("", ""), None);
    }
}
