//! Decodes `handlers.NAME.limits` and `sandbox`: each limit within what the sandbox can keep to.

use std::time::Duration;

use super::yaml::{Node, Reader, Section};
use crate::runtime::{Bounds, Limits, Unit};
use crate::units::format_size;
use crate::units::{format_duration, parse_duration, parse_size};

pub(super) fn of_handler(reader: &mut Reader, node: Option<(&Node, String)>) -> Limits {
    let mut limits = Limits::default();
    let Some((node, path)) = node else {
        return limits;
    };
    let mut section = reader.section(node, &path);
    for key in Limits::KEYS {
        if let Some(amount) = amount(reader, &mut section, key.name, key.unit, key.most) {
            (key.set)(&mut limits, amount);
        }
    }
    let (cpu, wall) = (limits.cpu_max, limits.wall_max);
    if cpu > wall
        && let Some(at) = node.place_of("cpu")
    {
        let (cpu, wall) = (format_duration(cpu), format_duration(wall));
        let message =
            format!("{path}.cpu is {cpu}, but wall ({wall}) ends each invocation before that");
        reader.mistake(
            at,
            message,
            format!("lower cpu, or write wall: {cpu} or more"),
        );
    }
    section.finish(reader);
    limits
}

pub(super) fn sandbox(reader: &mut Reader, node: Option<(&Node, String)>) -> Bounds {
    let mut bounds = Bounds::default();
    let Some((node, path)) = node else {
        return bounds;
    };
    let mut section = reader.section(node, &path);
    let mut take = |name, unit, most| amount(reader, &mut section, name, unit, most);
    let small = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
    let size = |amount: u64| usize::try_from(amount).unwrap_or(usize::MAX);
    if let Some(n) = take("invocations", Unit::Count, 2_000) {
        bounds.invocations_max = small(n);
    }
    if let Some(n) = take("stack", Unit::Size, 8 << 20) {
        bounds.stack_bytes_max = size(n);
    }
    if let Some(n) = take("instances", Unit::Count, 1_000) {
        bounds.instances_max = small(n);
    }
    if let Some(n) = take("memories", Unit::Count, 16) {
        bounds.memories_max = small(n);
    }
    if let Some(n) = take("tables", Unit::Count, 100) {
        bounds.tables_max = small(n);
    }
    if let Some(n) = take("table_elements", Unit::Count, 1_000_000) {
        bounds.table_elements_max = size(n);
    }
    if let Some(n) = take("module_bytes", Unit::Size, 1 << 30) {
        bounds.module_bytes_max = n;
    }
    if let Some(n) = take("cache_bytes", Unit::Size, 1 << 40) {
        bounds.cache_bytes_max = n;
    }
    if let Some(n) = take("compile_memory", Unit::Size, 1 << 40) {
        bounds.compile_memory_bytes_max = n;
    }
    if let Some(n) = take("compile_time", Unit::Time, 60 * 60 * 1_000) {
        bounds.compile_time_max = Duration::from_millis(n);
    }
    section.finish(reader);
    bounds
}

/// Reads one limit: bytes, milliseconds or a number, never nothing at all, and at most `most`.
fn amount(
    reader: &mut Reader,
    section: &mut Section<'_>,
    name: &'static str,
    unit: Unit,
    most: u64,
) -> Option<u64> {
    let (node, path) = section.take(name)?;
    let (parse, what, shown): (fn(&str) -> Option<u64>, _, _) = match unit {
        Unit::Size => (
            |text| parse_size(text).filter(|bytes| *bytes > 0),
            "a size such as 64MiB",
            format_size(most),
        ),
        Unit::Time => (
            |text| {
                let time = parse_duration(text).filter(|time| !time.is_zero())?;
                u64::try_from(time.as_millis()).ok()
            },
            "a duration of more than 0, such as 500ms",
            format_duration(Duration::from_millis(most)),
        ),
        Unit::Count => (
            |text| text.parse().ok().filter(|n| *n > 0),
            "a whole number, 1 or more",
            most.to_string(),
        ),
        Unit::Rate => (
            |text| text.parse().ok(),
            "a whole number a second; 0 is off",
            most.to_string(),
        ),
    };
    let amount = reader.scalar(node, &path, what, parse)?;
    if amount > most {
        let message = format!("{path} is more than {shown}, the most that it can be");
        reader.fail(node.at, message, format!("write {shown} or less"));
        return None;
    }
    Some(amount)
}
