//! Guests that return values that a host must not accept, some of them in bytes that no language's bindings write.

use super::case::{Case, End, component, core, guest};
use tests::raw::{self, Core};

pub(crate) fn cases() -> Vec<Case> {
    [returned(), failures(), raw_bytes()]
        .into_iter()
        .flatten()
        .collect()
}

fn returned() -> Vec<Case> {
    const ROOMY: &str = "cpu: 5s, wall: 40s";
    let output = |name, mode, limit| guest(name, mode).within(ROOMY).dies().meets(limit);
    let lift = |name, mode| guest(name, mode).within(ROOMY).dies().meets("call_bytes");
    vec![
        lift("a-fact-of-twenty-megabytes", "gigabyte").tells(["more than 8388608 bytes"]),
        lift("megabytes-of-facts", "gigabyte-of-facts").tells(["more than 8388608 bytes"]),
        output("a-hundred-thousand-facts", "many-facts", "facts")
            .tells(["100000 facts, at most 256"]),
        output("a-name-of-a-megabyte", "big-name", "fact_name_bytes")
            .tells(["the name of the fact", "at most 256"]),
        output("a-value-of-a-megabyte", "big-value", "fact_bytes")
            .tells(["1048576 bytes, at most 8192"]),
        output("facts-over-their-sum", "fat-facts", "output_bytes").tells([
            "output_bytes: it returned facts and blocks of",
            "at most 1048576",
        ]),
        guest("one-fact-over-and-over", "same-fact").tells(["\"same\":\"1\""]),
        output("ten-thousand-blocks", "many-blocks", "blocks")
            .in_enrich()
            .is(End::Done)
            .tells(["10000 blocks, at most 64"]),
        output("a-block-of-megabytes", "fat-block", "output_bytes")
            .in_enrich()
            .is(End::Done)
            .tells([
                "output_bytes: it returned facts and blocks of",
                "at most 1048576",
            ]),
        output(
            "empty-strings-without-number",
            "empty-strings",
            "output_bytes",
        )
        .in_enrich()
        .is(End::Done)
        .tells([
            "output_bytes: it returned facts and blocks of",
            "at most 1048576",
        ]),
        guest("a-table-with-ragged-rows", "ragged-table")
            .in_enrich()
            .tells(["row 0 has 0 cells under a header of 1"]),
        guest("a-link-that-is-a-script", "script-link")
            .in_enrich()
            .tells(["only http and https"]),
    ]
}

fn failures() -> Vec<Case> {
    vec![
        guest("a-failure-of-a-megabyte", "long-failure")
            .dies()
            .tells(["ffffffff"]),
        guest("a-failure-without-a-reason", "empty-failure")
            .dies()
            .tells(["the handler gave no reason"]),
        guest("try-again-in-49-days", "far-retry")
            .dies()
            .retries("max_attempts: 2, min_backoff: 10ms, max_backoff: 20ms, max_age: 1s")
            .tells(["later"]),
        guest("try-again-for-ever", "endless-retry")
            .dies()
            .retries("max_attempts: 5, min_backoff: 1ms, max_backoff: 2ms, max_age: 1h")
            .tells(["gave up after 5 attempts: again"]),
        guest("wait-for-ever", "endless-wait")
            .dies()
            .retries("max_attempts: 5, min_backoff: 50ms, max_backoff: 60ms, max_age: 500ms")
            .tells(["retry.max_age", "not yet"]),
    ]
}

/// `result<labels, failure>`, written by hand at 2048: its case, and what follows it.
macro_rules! result {
    ($case:literal, $first:literal, $second:literal) => {
        concat!(
            "(i32.store8 (i32.const 2048) (i32.const ",
            $case,
            "))",
            "(i32.store (i32.const 2052) (i32.const ",
            $first,
            "))",
            "(i32.store (i32.const 2056) (i32.const ",
            $second,
            "))",
            "(i32.const 2048)"
        )
    };
}

/// One fact at 3072: its name and value.
macro_rules! fact {
    ($name:literal, $name_bytes:literal, $value:literal, $value_bytes:literal) => {
        concat!(
            "(i32.store (i32.const 3072) (i32.const ",
            $name,
            "))",
            "(i32.store (i32.const 3076) (i32.const ",
            $name_bytes,
            "))",
            "(i32.store (i32.const 3080) (i32.const ",
            $value,
            "))",
            "(i32.store (i32.const 3084) (i32.const ",
            $value_bytes,
            "))",
            result!("0", "3072", "1")
        )
    };
}

fn raw_bytes() -> Vec<Case> {
    let returns = |name, act| {
        core(
            name,
            Core {
                act,
                more: r#"(data (i32.const 4096) "\ff\fe\c0\80")"#,
                ..Core::default()
            },
        )
    };
    vec![
        returns("a-name-that-is-no-utf-8", fact!("4096", "4", "1024", "1")).tells(["utf-8"]),
        returns("a-value-that-is-no-utf-8", fact!("1024", "1", "4096", "4")).tells(["utf-8"]),
        returns("a-list-outside-of-memory", result!("0", "-16", "1")).tells(["broke the contract"]),
        returns(
            "a-list-longer-than-memory",
            result!("0", "3072", "0x0fffffff"),
        )
        .tells(["broke the contract"]),
        returns(
            "a-list-that-wraps-around",
            result!("0", "3072", "0x7fffffff"),
        )
        .tells(["broke the contract"]),
        returns("a-list-between-words", result!("0", "3073", "1")).tells(["broke the contract"]),
        returns("a-text-outside-of-memory", fact!("-4", "100", "1024", "1"))
            .tells(["broke the contract"]),
        returns("a-result-that-is-neither", result!("7", "3072", "1"))
            .tells(["broke the contract"]),
        returns("a-failure-of-no-kind", result!("1", "99", "1")).tells(["broke the contract"]),
        returns("a-result-outside-of-memory", "(i32.const -4)").tells(["broke the contract"]),
        returns("a-result-between-words", "(i32.const 2049)").tells(["broke the contract"]),
        core(
            "a-gigabyte-that-is-one-megabyte",
            Core {
                memory: "40",
                // A thousand facts whose values are one and the same megabyte.
                act: "(local $n i32)
                    (loop $again
                        (i32.store
                            (i32.add (i32.const 1048576) (i32.mul (local.get $n) (i32.const 16)))
                            (i32.const 1024))
                        (i32.store offset=4
                            (i32.add (i32.const 1048576) (i32.mul (local.get $n) (i32.const 16)))
                            (i32.const 1))
                        (i32.store offset=8
                            (i32.add (i32.const 1048576) (i32.mul (local.get $n) (i32.const 16)))
                            (i32.const 131072))
                        (i32.store offset=12
                            (i32.add (i32.const 1048576) (i32.mul (local.get $n) (i32.const 16)))
                            (i32.const 900000))
                        (local.set $n (i32.add (local.get $n) (i32.const 1)))
                        (br_if $again (i32.lt_u (local.get $n) (i32.const 1000))))
                    (i32.store8 (i32.const 2048) (i32.const 0))
                    (i32.store (i32.const 2052) (i32.const 1048576))
                    (i32.store (i32.const 2056) (i32.const 1000))
                    (i32.const 2048)",
                ..Core::default()
            },
        )
        .tells(["more than 8388608 bytes"])
        .meets("call_bytes"),
        core(
            "room-outside-of-memory",
            Core {
                realloc: "(i32.const -65536)",
                ..Core::default()
            },
        )
        .tells(["broke the contract"]),
        core(
            "room-between-words",
            Core {
                realloc: "(i32.const 65537)",
                ..Core::default()
            },
        )
        .tells(["broke the contract"]),
        core(
            "no-room-at-all",
            Core {
                realloc: "unreachable",
                ..Core::default()
            },
        )
        .tells(["it trapped"]),
        component("a-description-that-is-no-utf-8", |name| {
            raw::component(
                name,
                &Core {
                    more: r#"(data (i32.const 1110) "\ff\ff\ff\ff")"#,
                    ..Core::default()
                },
            )
        })
        .tells(["describe:", "utf-8"]),
        component("a-description-outside-of-memory", |name| {
            raw::component(
                name,
                &Core {
                    describe: "(i32.const -8)",
                    ..Core::default()
                },
            )
        })
        .tells(["describe:", "broke the contract"]),
    ]
}
