//! `handlers.NAME.limits` and `sandbox`: each key is read, bounded and documented.

use std::time::Duration;

use super::{CLOSED, Given, good, problems};
use crate::alert::HandlerName;
use crate::runtime::{Bounds, Limits, Unit};
use crate::units::{parse_duration, parse_size};

const EXAMPLE: &str = include_str!("../../../alert-manager.example.yml");

fn handler_with(limit: &str) -> String {
    format!("{CLOSED}handlers:\n  x:\n    limits: {{ {limit} }}\n")
}

#[test]
fn each_limit_of_a_handler_is_read_and_bounded_with_its_place() {
    for key in Limits::KEYS {
        let (unit, shown) = match key.unit {
            Unit::Size => ("B", "B,"),
            Unit::Time => ("ms", ","),
            Unit::Count | Unit::Rate => ("", ","),
        };
        let given = |amount: u64| handler_with(&format!("{}: {amount}{unit}", key.name));
        let config = good(&given(key.most - 1));
        let limits = config.handlers.of(&HandlerName::new("x")).limits;
        assert_eq!((key.get)(&limits), key.most - 1, "{}", key.name);
        let found = problems(Given::new(), &given(key.most + 1));
        let column = 17 + key.name.len();
        let place = format!(
            "am.yml:4:{}: handlers.x.limits.{} is more than",
            column, key.name
        );
        assert!(found[0].starts_with(&place), "{found:#?}");
        assert!(found[0].contains(shown), "{found:#?}");
    }
}

#[test]
fn zero_is_refused_unless_the_limit_is_a_rate() {
    for (limit, part) in [
        ("memory: 0", "handlers.x.limits.memory is \"0\""),
        ("cpu: 0s", "more than 0"),
        ("facts: 0", "1 or more"),
        ("facts: -1", "1 or more"),
        ("requests_per_second: 0.5", "0 is off"),
        ("memori: 1MiB", "did you mean memory?"),
    ] {
        let found = problems(Given::new(), &handler_with(limit));
        assert!(found[0].contains(part), "{found:#?}");
    }
    let config = good(&handler_with("requests_per_second: 0"));
    let limits = config.handlers.of(&HandlerName::new("x")).limits;
    assert_eq!(limits.requests_per_second_max, 0);
}

#[test]
fn a_number_without_its_unit_is_refused_with_the_usual_one() {
    for (text, parts) in [
        (
            "handlers: { x: { limits: { memory: 64 } } }",
            ["memory is 64 bytes", "did you mean 64MiB?"],
        ),
        (
            "handlers: { x: { limits: { memory: 64Mi } } }",
            ["memory is \"64Mi\"", "did you mean 64MiB?"],
        ),
        (
            "handlers: { x: { limits: { response_bytes: 64 } } }",
            [
                "response_bytes is 64 bytes",
                "did you mean 64MiB? For bytes, write 64B",
            ],
        ),
        (
            "handlers: { x: { limits: { cpu: 5 } } }",
            ["cpu is \"5\"", "did you mean 5ms?"],
        ),
        (
            "handlers: { x: { retry: { max_age: 4 } } }",
            ["max_age is \"4\"", "did you mean 4h?"],
        ),
        (
            "sandbox: { cache_bytes: 2 }",
            ["cache_bytes is 2 bytes", "did you mean 2GiB?"],
        ),
        (
            "retention: { size: 5 }",
            ["retention.size is 5 bytes", "did you mean 5GiB?"],
        ),
        (
            "retention: { time: 14 }",
            ["retention.time is \"14\"", "did you mean 14d?"],
        ),
        (
            "webhook: { body_bytes_max: 16 }",
            ["body_bytes_max is 16 bytes", "did you mean 16MiB?"],
        ),
    ] {
        let found = problems(Given::new(), &format!("{CLOSED}{text}\n"));
        for part in parts {
            assert!(found[0].contains(part), "{part}: {found:#?}");
        }
    }
    // Written with its unit, or usual without one, it is meant.
    for limit in [
        "response_bytes: 64B",
        "response_bytes: 4096",
        "kv_key_bytes: 64",
    ] {
        good(&handler_with(limit));
    }
}

#[test]
fn what_no_module_runs_with_is_refused() {
    for (text, part) in [
        (
            handler_with("memory: 64KiB"),
            "memory is 64KiB, with which no module runs — write 1MiB or more",
        ),
        (
            format!("{CLOSED}sandbox: {{ stack: 4KiB }}\n"),
            "stack is 4KiB, with which no module runs — write 64KiB or more",
        ),
        (
            format!("{CLOSED}sandbox: {{ compile_memory: 1MiB }}\n"),
            "write 128MiB or more",
        ),
    ] {
        let found = problems(Given::new(), &text);
        assert!(found[0].contains(part), "{found:#?}");
    }
}

#[test]
fn the_sandbox_is_read_and_bounded() {
    let text = format!(
        "{CLOSED}sandbox: {{ invocations: 8, stack: 2MiB, instances: 30, memories: 2, tables: 9, table_elements: 30000, \
         module_bytes: 1MiB, cache_bytes: 1GiB, compile_memory: 1GiB, compile_time: 5s }}\n"
    );
    let expected = Bounds {
        invocations_max: 8,
        stack_bytes_max: 2 << 20,
        instances_max: 30,
        memories_max: 2,
        tables_max: 9,
        table_elements_max: 30_000,
        module_bytes_max: 1 << 20,
        cache_bytes_max: 1 << 30,
        compile_memory_bytes_max: 1 << 30,
        compile_time_max: Duration::from_secs(5),
    };
    assert_eq!(good(&text).sandbox, expected);
    assert_eq!(good(CLOSED).sandbox, Bounds::default());
    let found = problems(
        Given::new(),
        &format!("{CLOSED}sandbox: {{ memories: 17 }}\n"),
    );
    assert!(
        found[0].starts_with("am.yml:2:22: sandbox.memories is more than 16"),
        "{found:#?}"
    );
}

#[test]
fn the_example_names_each_limit_with_its_default() {
    let defaults = Limits::default();
    for key in Limits::KEYS {
        let line = EXAMPLE
            .lines()
            .find(|line| line.contains(&format!(" {}: ", key.name)));
        let line = line.unwrap_or_else(|| panic!("the example has no {}", key.name));
        let value = line.split(&format!(" {}: ", key.name)).nth(1).unwrap();
        let value = value.split([',', ' ', '}']).next().unwrap();
        let amount = match key.unit {
            Unit::Size => parse_size(value).unwrap(),
            Unit::Time => u64::try_from(parse_duration(value).unwrap().as_millis()).unwrap(),
            Unit::Count | Unit::Rate => value.parse().unwrap(),
        };
        assert_eq!(amount, (key.get)(&defaults), "{}", key.name);
    }
}
