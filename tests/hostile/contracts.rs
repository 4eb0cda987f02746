//! Components of another WIT world: their imports do not exist, or have another type.

use super::case::{Case, component, core, script};
use tests::raw::{self, Core, World};

pub(crate) fn cases() -> Vec<Case> {
    [imports(), versions(), features(), wasi()]
        .into_iter()
        .flatten()
        .collect()
}

/// Adds a world of this name to the contract.
fn world(name: &'static str, body: &'static str, packages: &'static str) -> World<'static> {
    World {
        name,
        ..World::with(|wit| format!("{wit}\nworld {name} {{ {body} export hooks; }}\n{packages}"))
    }
}

fn imports() -> Vec<Case> {
    let built = |name, body, packages, told: &'static [&str]| {
        component(name, move |_| raw::dummy(&world("other", body, packages)))
            .tells(told.iter().copied())
    };
    vec![
        component("an-interface-of-ours-that-is-not", |_| {
            raw::dummy(&World {
                name: "other",
                ..World::with(|wit| {
                    format!(
                        "{wit}\ninterface shell {{ run: func(command: string) -> string; }}\n\
                         world other {{ import shell; export hooks; }}"
                    )
                })
            })
        })
        .tells(["alert-manager:handler/shell@0.1.1"]),
        built(
            "an-interface-of-somebody-else",
            "import evil:tools/spawn@1.0.0;",
            "package evil:tools@1.0.0 { interface spawn { run: func(command: string) -> s32; } }",
            &["evil:tools/spawn@1.0.0", "which this server does not have"],
        ),
        built(
            "a-way-around-http",
            "import wasi:http/outgoing-handler@0.2.0;",
            "package wasi:http@0.2.0 { interface outgoing-handler { handle: func(url: string) -> u16; } }",
            &["wasi:http/outgoing-handler", "where they are granted"],
        ),
        built(
            "a-part-of-wasi-that-is-not",
            "import wasi:keyvalue/store@0.2.0;",
            "package wasi:keyvalue@0.2.0 { interface store { open: func(name: string) -> u32; } }",
            &["wasi:keyvalue/store@0.2.0", "do not have"],
        ),
        built(
            "wasi-of-other-types",
            "import wasi:random/random@0.2.0;",
            "package wasi:random@0.2.0 { interface random { get-random-bytes: func(len: string) -> u8; } }",
            &["wasi:random/random"],
        ),
        built(
            "wasi-of-a-version-to-come",
            "import wasi:random/random@0.9.0;",
            "package wasi:random@0.9.0 { interface random { get-random-bytes: func(len: u64) -> list<u8>; } }",
            &["wasi:random/random@0.9.0"],
        ),
        component("no-hooks-at-all", |_| {
            raw::dummy(&World {
                name: "mute",
                ..World::with(|wit| format!("{wit}\nworld mute {{ import log; }}"))
            })
        })
        .tells(["exports nothing", "handler_sdk::export!"]),
        component("hooks-that-are-incomplete", |_| {
            raw::dummy(&World::with(|wit| {
                let at = wit.find("    enrich: func(").expect("the hook");
                let end = at + wit[at..].find(';').expect("its end") + 1;
                format!("{}{}", &wit[..at], &wit[end..])
            }))
        })
        .tells(["another wit/handler.wit"]),
    ]
}

fn versions() -> Vec<Case> {
    let version = |name, number: &'static str, told: &'static str| {
        component(name, move |_| {
            raw::dummy(&World::with(|wit| {
                let wit = wit.replace(
                    &format!("package alert-manager:handler@{}", raw::current_version()),
                    &format!("package alert-manager:handler@{number}"),
                );
                // A contract cannot have what is newer than itself.
                let lines = wit
                    .lines()
                    .filter(|line| !line.trim().starts_with("@since"));
                lines.map(|line| format!("{line}\n")).collect()
            }))
        })
        .tells([told])
    };
    let changed = |name, from: &'static str, to: &'static str| {
        component(name, move |_| {
            raw::dummy(&World::with(|wit| {
                assert!(wit.contains(from), "{from}");
                wit.replacen(from, to, 1)
            }))
        })
        .tells([
            "its types are not those of version 0.1.1",
            "another wit/handler.wit",
        ])
    };
    vec![
        version("a-contract-to-come", "0.2.0", "newer version"),
        version("a-contract-of-the-far-future", "7.0.0", "newer version"),
        version("a-contract-of-the-past", "0.0.9", "older version"),
        changed(
            "a-changed-record",
            "dry-run: bool,",
            "dry-run: bool,\n more: string,",
        ),
        changed(
            "a-changed-variant",
            "permanent(string),",
            "permanent(string),\n another(string),",
        ),
        changed(
            "a-changed-enum",
            "        trace,",
            "        trace,\n        fatal,",
        ),
        changed("a-changed-function", "act: func(call: call, ", "act: func("),
        changed("a-changed-type", "attempt: u32,", "attempt: u64,"),
        changed(
            "a-changed-import",
            "remove: func(key: string)",
            "remove: func(key: u32)",
        ),
    ]
}

/// Parts of WebAssembly that handlers have no use for.
fn features() -> Vec<Case> {
    let refused = |name, more: String| {
        component(name, move |name| {
            let mut whole = raw::component(name, &Core::default());
            raw::append(&mut whole, raw::Section::CoreModule, &raw::wat(&more));
            whole
        })
        .tells(["does not compile"])
    };
    let many = "(memory 1)".repeat(200);
    vec![
        refused("memory-that-is-shared", "(module (memory 1 1 shared))".into()),
        refused("more-memories-than-numbers", format!("(module {many})")),
        refused("a-stack-switch", "(module (type $f (func)) (type $c (cont $f)))".into()),
        core(
            "a-wait-that-nobody-ends",
            Core {
                act: "(memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const -1)) drop (i32.const 512)",
                ..Core::default()
            },
        )
        .is(super::case::End::Refused)
        .tells(["does not compile"]),
    ]
}

/// WASI's own calls, which no grant covers: they lead nowhere and hold nothing up.
fn wasi() -> Vec<Case> {
    let wild = |name, core: Core| {
        component(name, move |name| raw::with_wasi(name, &core)).is(super::case::End::Dead)
    };
    const RANDOM: &str = r#"(import "wasi:random/random@0.2.0" "get-random-bytes"
        (func $random (param i64 i32)))"#;
    const POLL: &str = r#"
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
            (func $subscribe (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;
    vec![
        wild(
            "random-bytes-without-end",
            Core {
                imports: RANDOM,
                act: "(call $random (i64.const -1) (i32.const 2048)) (i32.const 512)",
                ..Core::default()
            },
        )
        .tells(["random_bytes:"])
        .meets("random_bytes"),
        wild(
            "timers-without-number",
            Core {
                imports: POLL,
                act: "(loop $again (drop (call $subscribe (i64.const 1000000000000))) (br $again))
                    (i32.const 512)",
                ..Core::default()
            },
        )
        .tells(["handles: more than the 1024"])
        .meets("handles"),
        wild(
            "a-timer-of-a-thousand-years",
            Core {
                imports: POLL,
                act: "(call $block (call $subscribe (i64.const -1))) (i32.const 512)",
                ..Core::default()
            },
        )
        .within("wall: 3s")
        .tells(["wall:", "3s"])
        .meets("wall")
        .outlasts(),
        wild(
            "a-poll-of-nothing",
            Core {
                imports: POLL,
                act: "(call $poll (i32.const 0) (i32.const 0) (i32.const 2048)) (i32.const 512)",
                ..Core::default()
            },
        )
        .tells(["empty poll list"]),
        wild(
            "a-poll-of-what-is-not-its-own",
            Core {
                imports: POLL,
                act: "(i32.store (i32.const 3072) (i32.const 77))
                    (call $poll (i32.const 3072) (i32.const 1) (i32.const 2048)) (i32.const 512)",
                ..Core::default()
            },
        )
        .tells(["broke the contract"]),
        wild(
            "a-poll-of-one-timer-a-million-times",
            Core {
                imports: POLL,
                memory: "100",
                act: "(local $timer i32) (local $n i32)
                    (local.set $timer (call $subscribe (i64.const 1000000000000)))
                    (loop $again
                        (i32.store
                            (i32.add (i32.const 131072) (i32.mul (local.get $n) (i32.const 4)))
                            (local.get $timer))
                        (local.set $n (i32.add (local.get $n) (i32.const 1)))
                        (br_if $again (i32.lt_u (local.get $n) (i32.const 1000000))))
                    (call $poll (i32.const 131072) (i32.const 1000000) (i32.const 2048))
                    (i32.const 512)",
                ..Core::default()
            },
        )
        .within("wall: 2s")
        .tells(["more than 8388608 bytes"]),
        script("an-honest-script-among-them", "attempt").tells(["\"0\":\"1\""]),
    ]
}
