//! Guests that take as much as they can: memory, tables, instances, handles.

use super::case::{Case, component, core, guest};
use tests::raw::{self, Core, Section};

pub(crate) fn cases() -> Vec<Case> {
    [memories(), structures()].into_iter().flatten().collect()
}

fn memories() -> Vec<Case> {
    const SMALL: &str = "memory: 16MiB, cpu: 5s, wall: 40s";
    let memory = |name, mode| {
        guest(name, mode)
            .dies()
            .within(SMALL)
            .tells(["memory:", "16777216 are allowed", "limits.memory"])
            .meets("memory")
    };
    vec![
        memory("memory-to-the-limit", "memory"),
        memory("memory-at-once", "memory-at-once"),
        memory("memory-in-crumbs", "memory-in-crumbs"),
        memory("memory-doubling", "memory-doubling"),
        guest("memory-in-enrich", "memory")
            .in_enrich()
            .within(SMALL)
            .tells(["\"kind\":\"enrich\"", "memory:"])
            .meets("memory"),
        core(
            "memory-grown-in-a-loop",
            Core {
                act: "(loop $again
                        (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                    unreachable",
                ..Core::default()
            },
        )
        .tells(["memory:", "67108864 are allowed"])
        .meets("memory"),
        core(
            "table-grown-in-a-loop",
            Core {
                more: "(table $t 1 funcref)",
                act: "(loop $again
                        (br_if $again
                            (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
                    unreachable",
                ..Core::default()
            },
        )
        .tells(["table_elements: it asked for", "20000 are allowed"])
        .meets("table_elements"),
        core(
            "half-a-gigabyte-from-the-start",
            Core {
                memory: "8192",
                ..Core::default()
            },
        )
        .is(super::case::End::Refused)
        .tells(["memory:", "67108864"]),
        core(
            "four-gigabytes-from-the-start",
            Core {
                memory: "65536",
                ..Core::default()
            },
        )
        .is(super::case::End::Refused)
        .tells(["memory", "0x40000000"]),
    ]
}

/// What is declared, not grown: refused before anything runs.
fn structures() -> Vec<Case> {
    let with = |name, text: &'static str, count| {
        component(name, move |name| {
            let mut whole = raw::component(name, &Core::default());
            raw::append(&mut whole, Section::CoreModule, &raw::wat(text));
            raw::append(&mut whole, Section::CoreInstance, &raw::instances(1, count));
            whole
        })
    };
    vec![
        with("thousands-of-memories", "(module (memory 1))", 900).tells(["instances", "20"]),
        with("thousands-of-instances", "(module)", 900).tells(["instances", "20"]),
        with("a-dozen-memories", "(module (memory 1))", 12).tells(["memories", "4"]),
        with("a-dozen-tables", "(module (table 1 funcref))", 12).tells(["tables", "8"]),
        component("many-memories-in-one-module", |name| {
            raw::component(
                name,
                &Core {
                    more: "(memory 1) (memory 1) (memory 1) (memory 1) (memory 1) (memory 1)",
                    ..Core::default()
                },
            )
        })
        .tells(["memories count of 7"]),
        component("a-table-of-ten-million", |name| {
            raw::component(
                name,
                &Core {
                    more: "(table 9000000 funcref)",
                    ..Core::default()
                },
            )
        })
        .tells(["table", "20000"]),
        with(
            "instances-that-loop-in-start",
            "(module (func $s (loop $again (br $again))) (start $s))",
            5,
        )
        .tells(["describe: cpu: | describe: wall:"]),
    ]
}
