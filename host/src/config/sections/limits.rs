//! `handlers.NAME.limits` and `sandbox`: limits within what the sandbox can enforce.

use std::time::Duration;

use crate::config::compare::{Compare, Restart};
use crate::config::decode::{Decoding, Part};
use crate::config::key::{Key, Written, limits, shown_amount};
use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::runtime::{Bounds, LimitKey, Limits, Unit};
use crate::units::{format_duration, parse_duration, parse_size};

pub(super) const LIMITS: &[Key] = &limits::<_, { Limits::KEYS.len() }>(Limits::KEYS);

/// Reads the limits of a handler.
pub(super) fn of_handler(reader: &mut Reader, section: Option<Section<'_>>) -> Limits {
    let mut limits = Limits::default();
    let Some(mut section) = section else {
        return limits;
    };
    read(reader, &mut section, Limits::KEYS, &mut limits);
    let (cpu, wall) = (limits.cpu_max, limits.wall_max);
    if cpu > wall
        && let Some((node, path)) = section.take("cpu")
    {
        let (cpu, wall) = (format_duration(cpu), format_duration(wall));
        let message =
            format!("{path} is {cpu}, but wall ({wall}) ends each invocation before that");
        let advice = format!("lower cpu, or write wall: {cpu} or more");
        reader.mistake(node.at, message, advice);
    }
    section.finish(reader);
    limits
}

pub(in crate::config) const SANDBOX: Part = Part {
    keys: &[Key::new(
        "sandbox",
        Written::Mapping(&limits::<_, { Bounds::KEYS.len() }>(Bounds::KEYS)),
        "Limits that all handlers share.",
    )],
    read: sandbox,
    compare: Compare::Whole("sandbox", |old, new| old.sandbox != new.sandbox),
    restart: Restart::Yes,
};

fn sandbox(d: &mut Decoding<'_>) {
    if let Some(mut section) = d.top.below(d.reader, "sandbox") {
        read(d.reader, &mut section, Bounds::KEYS, &mut d.config.sandbox);
        section.finish(d.reader);
    }
}

/// Reads every limit of a table.
fn read<S>(reader: &mut Reader, section: &mut Section<'_>, table: &[LimitKey<S>], limits: &mut S) {
    for limit in table {
        if let Some(amount) = amount(reader, section, limit.name) {
            (limit.set)(limits, amount);
        }
    }
}

/// Reads one limit: bytes, milliseconds or a number, more than 0 unless it is a rate, and neither less than its minimum nor more than its maximum.
fn amount(reader: &mut Reader, section: &mut Section<'_>, name: &str) -> Option<u64> {
    let (key, node, path) = section.find(name)?;
    let Written::Limit(unit, least, most) = key.written else {
        return None;
    };
    let amount = reader.with_unit(node, &path, key, |text| match unit {
        Unit::Size => parse_size(text).filter(|bytes| *bytes > 0),
        Unit::Time => {
            let time = parse_duration(text).filter(|time| *time > Duration::ZERO)?;
            u64::try_from(time.as_millis()).ok()
        }
        Unit::Count => text.parse().ok().filter(|number| *number > 0),
        Unit::Rate => text.parse().ok(),
    })?;
    if amount < least {
        let (given, least) = (shown_amount(amount, unit), shown_amount(least, unit));
        let message = format!("{path} is {given}, with which no module runs");
        reader.fail(node.at, message, format!("write {least} or more"));
        return None;
    }
    if amount > most {
        let most = shown_amount(most, unit);
        let message = format!("{path} is more than {most}, the most that it can be");
        reader.fail(node.at, message, format!("write {most} or less"));
        return None;
    }
    Some(amount)
}
