//! Guests that never end, or end as no hook may: in `act`, in `enrich`, in `describe`, and before any of them.

use super::case::{Case, core, describing, guest};
use tests::raw::Core;

pub(crate) fn cases() -> Vec<Case> {
    [loops(), waits(), ends(), describes(), starts()]
        .into_iter()
        .flatten()
        .collect()
}

fn loops() -> Vec<Case> {
    vec![
        guest("loop-in-act", "loop")
            .dies()
            .tells(["cpu:", "500ms are allowed", "limits.cpu"])
            .meets("cpu")
            .outlasts(),
        guest("loop-in-enrich", "loop")
            .in_enrich()
            .tells(["\"kind\":\"enrich\"", "cpu:", "500ms are allowed"])
            .meets("cpu")
            .outlasts(),
        core(
            "loop-without-a-call",
            Core {
                act: "(loop $again (br $again)) (i32.const 512)",
                ..Core::default()
            },
        )
        .tells(["cpu:"])
        .meets("cpu")
        .outlasts(),
        core(
            "loop-that-fills-memory",
            Core {
                memory: "800",
                act: "(loop $again
                        (memory.fill (i32.const 65536) (i32.const 1) (i32.const 50000000))
                        (br $again))
                    (i32.const 512)",
                ..Core::default()
            },
        )
        .tells(["cpu:"])
        .meets("cpu")
        .outlasts(),
        // The host's own call of the guest's allocator, to pass the alert.
        core(
            "loop-in-realloc",
            Core {
                realloc: "(loop $again (br $again)) (i32.const 0)",
                ..Core::default()
            },
        )
        .tells(["cpu:"])
        .meets("cpu")
        .outlasts(),
        core(
            "loop-in-post-return",
            Core {
                more: r#"(func (export "cabi_post_alert-manager:handler/hooks@0.1.1#act") (param i32)
                    (loop $again (br $again)))"#,
                ..Core::default()
            },
        )
        .tells(["cpu:"])
        .meets("cpu")
        .outlasts(),
        guest("burns-what-it-may", "burn").within("cpu: 10s, wall: 40s").outlasts(),
        guest("recursion", "recursion").dies().tells(["recursion without end"]),
        guest("narrow-recursion", "narrow-recursion")
            .dies()
            .tells(["stack:", "1048576 bytes"])
            .meets("stack"),
    ]
}

fn waits() -> Vec<Case> {
    vec![
        guest("sleep-in-poll", "sleep")
            .dies()
            .within("wall: 3s")
            .tells(["wall:", "3s", "limits.wall"])
            .meets("wall")
            .outlasts(),
        guest("sleep-in-enrich", "sleep")
            .in_enrich()
            .within("wall: 3s")
            .tells(["\"kind\":\"enrich\"", "wall:", "3s"])
            .meets("wall")
            .outlasts(),
        guest("sleep-in-many-steps", "sleep-in-steps")
            .dies()
            .within("wall: 3s, cpu: 20s")
            .tells(["wall:", "3s"])
            .meets("wall")
            .outlasts(),
    ]
}

fn ends() -> Vec<Case> {
    let traps = |name, act| {
        core(
            name,
            Core {
                act,
                ..Core::default()
            },
        )
    };
    vec![
        guest("panic-in-act", "panic").dies().tells(["the author's own words"]),
        guest("panic-in-enrich", "panic")
            .in_enrich()
            .tells(["\"kind\":\"enrich\"", "the author's own words"]),
        guest("panic-with-a-megabyte", "panic-with-megabyte").dies().tells(["wwwwwwww"]),
        guest("exit-as-if-done", "exit").dies().tells(["exited with code 0"]),
        guest("exit-in-enrich", "exit").in_enrich().tells(["exited with code 0"]),
        guest("exit-with-failure", "exit-with-failure").dies().tells(["exited with code"]),
        guest("abort", "abort").dies().tells(["it trapped"]),
        traps("unreachable", "unreachable").tells(["it trapped", "unreachable"]),
        traps("divide-by-zero", "(i32.div_u (i32.const 1) (i32.const 0))")
            .tells(["it trapped", "divide by zero"]),
        traps("load-out-of-bounds", "(i32.load (i32.const -8))")
            .tells(["it trapped", "out of bounds"]),
        traps("float-that-is-no-number", "(i32.trunc_f64_u (f64.const nan))")
            .tells(["it trapped", "conversion"]),
        core(
            "call-of-another-type",
            Core {
                more: "(type $other (func (param i64) (result i64)))
                    (table 1 funcref) (elem (i32.const 0) $realloc)",
                act: "(call_indirect (type $other) (i64.const 1) (i32.const 0)) drop (i32.const 512)",
                ..Core::default()
            },
        )
        .tells(["it trapped", "indirect call type mismatch"]),
        core(
            "trap-in-post-return",
            Core {
                more: r#"(func (export "cabi_post_alert-manager:handler/hooks@0.1.1#act") (param i32)
                    unreachable)"#,
                ..Core::default()
            },
        )
        .tells(["it trapped"]),
    ]
}

fn describes() -> Vec<Case> {
    vec![
        describing("loop-in-describe", "loop").tells([
            "describe: cpu: | describe: wall:",
            "3s are allowed | within 10s",
        ]),
        describing("sleep-in-describe", "sleep").tells(["describe: wall:", "10s"]),
        describing("panic-in-describe", "panic").tells(["describe:", "the author's own words"]),
        describing("exit-in-describe", "exit").tells(["describe:", "exited with code 0"]),
        describing("recursion-in-describe", "narrow-recursion").tells(["describe: stack:"]),
        describing("memory-in-describe", "memory").tells(["describe: memory:", "67108864"]),
        describing("floods-in-describe", "call-flood").tells(["describe: host_calls:", "10000"]),
        describing("gigabyte-in-describe", "gigabyte").tells(["describe:", "8388608 bytes"]),
        describing("verbose-describe", "verbose").tells(["describe returned", "65536"]),
        describing("name-that-is-a-path", "traversal").tells(["describe().name"]),
        describing("summary-for-the-terminal", "terminal").tells(["describe().summary"]),
        describing("reach-in-describe", "reach")
            .is(super::case::End::Done)
            .tells(["\"state\":\"done\""]),
    ]
}

fn starts() -> Vec<Case> {
    let start = |name, body: &'static str| {
        core(
            name,
            Core {
                more: body,
                ..Core::default()
            },
        )
        .is(super::case::End::Refused)
    };
    vec![
        start(
            "loop-in-start",
            "(func $start (loop $again (br $again))) (start $start)",
        )
        .tells(["describe: cpu: | describe: wall:"]),
        start("trap-in-start", "(func $start unreachable) (start $start)")
            .tells(["describe:", "unreachable"]),
        start(
            "recursion-in-start",
            "(func $start (call $start)) (start $start)",
        )
        .tells(["describe: stack:"]),
        start(
            "memory-in-start",
            "(func $start
                (loop $again
                    (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
                unreachable)
             (start $start)",
        )
        .tells(["describe: memory:", "67108864"]),
    ]
}
