//! Guests that make calls, log and return data without end.

use super::case::{Case, core, describing, guest, script};
use tests::raw::Core;

pub(crate) fn cases() -> Vec<Case> {
    [lines(), calls(), raw_calls()]
        .into_iter()
        .flatten()
        .collect()
}

fn lines() -> Vec<Case> {
    const ROOMY: &str = "cpu: 10s, wall: 30s";
    vec![
        guest("a-flood-of-lines", "log-flood")
            .within(ROOMY)
            .tells(["\"logs_dropped\":19800"])
            .meets("log_lines"),
        guest("lines-of-a-megabyte", "log-megabyte")
            .within(ROOMY)
            .tells(["mmmmmmmm"]),
        guest("a-line-with-many-fields", "log-fields")
            .within(ROOMY)
            .tells(["many fields"]),
        guest("a-line-that-forges-another", "log-control")
            .tells(["forged"])
            .hides("\u{1b}"),
        guest("a-flood-on-stdout", "stdout-flood")
            .within(ROOMY)
            .tells(["\"logs_dropped\":39800"])
            .meets("log_lines"),
        guest("megabytes-without-a-line", "stdout-without-line")
            .within(ROOMY)
            .tells(["pppppppp"]),
        describing("a-flood-in-describe", "log-flood")
            .is(super::case::End::Done)
            .tells(["\"state\":\"done\""]),
    ]
}

fn calls() -> Vec<Case> {
    const ROOMY: &str = "cpu: 10s, wall: 30s";
    vec![
        guest("a-million-cheap-calls", "call-flood")
            .dies()
            .within(ROOMY)
            .tells(["host_calls:", "10000"])
            .meets("host_calls"),
        guest("a-million-questions-in-enrich", "call-flood")
            .in_enrich()
            .within(ROOMY)
            .tells(["\"kind\":\"enrich\"", "host_calls:", "10000"])
            .meets("host_calls"),
        // WASI's own calls are not counted, but their CPU time is.
        guest("questions-for-the-time", "clock-flood")
            .dies()
            .tells(["cpu:", "500ms"])
            .meets("cpu")
            .outlasts(),
        guest("a-flood-of-keys", "kv-flood")
            .within(ROOMY)
            .tells(["BudgetExhausted", "kv_calls: all 1000"])
            .meets("kv_calls"),
        guest("a-value-of-three-megabytes", "kv-big-value")
            .tells(["TooLarge(65536)"])
            .meets("kv_value_bytes"),
        guest("a-key-of-a-megabyte", "kv-big-key")
            .tells(["TooLarge(512)"])
            .meets("kv_key_bytes"),
        guest("more-state-than-its-share", "kv-quota")
            .within(ROOMY)
            .tells(["QuotaExceeded"])
            .meets("kv_bytes"),
        guest("a-flood-of-requests", "request-flood")
            .at("{sink}/flood")
            .within("cpu: 10s, wall: 30s, http_calls: 20")
            .tells(["BudgetExhausted", "http_calls: all 20"])
            .meets("http_calls"),
        guest("a-flood-of-messages", "slack-flood")
            .within(ROOMY)
            .tells(["BudgetExhausted", "slack_calls: all 50"])
            .meets("slack_calls"),
        guest("a-flood-of-random-bytes", "random-flood")
            .within(ROOMY)
            .tells(["100000"]),
        guest("requests-faster-than-its-rate", "request-flood")
            .at("{sink}/fast")
            .within("cpu: 10s, wall: 2s, http_calls: 1000, requests_per_second: 2")
            .tells(["requests_per_second:"])
            .meets("requests_per_second"),
        guest("more-out-than-its-share", "kv-quota")
            .within("cpu: 10s, wall: 30s, bytes_out: 100KiB")
            .tells(["BudgetExhausted", "bytes_out:"])
            .meets("bytes_out"),
        guest("more-keys-than-its-share", "kv-keys")
            .within("cpu: 10s, wall: 30s, kv_keys: 10")
            .tells(["QuotaExceeded"])
            .meets("kv_keys"),
        script(
            "a-record-that-grows-with-each-try",
            "unkeyed {sink}/grow\nset k 1\nunavailable not yet",
        )
        .dies()
        .within("cpu: 10s, wall: 30s, record_entries: 3")
        .retries("max_attempts: 1, min_backoff: 10ms, max_backoff: 20ms, max_age: 2s")
        .tells(["record_entries: this step has 3 of the 3", "retry.max_age"])
        .meets("record_entries"),
        script("counting-what-is-no-number", "set n text\nincrement n 1").tells(["not a number"]),
    ]
}

/// Values that the SDK and a language's bindings would reject.
fn raw_calls() -> Vec<Case> {
    const LOG: &str = r#"(import "alert-manager:handler/log@0.1.1" "write"
        (func $log (param i32 i32 i32 i32 i32)))"#;
    const CONFIG: &str = r#"(import "alert-manager:handler/config@0.1.1" "get"
        (func $get (param i32 i32 i32)))"#;
    let calls = |name, imports, act| {
        core(
            name,
            Core {
                imports,
                act,
                more: r#"(data (i32.const 4096) "\ff\fe\c0\80")"#,
                ..Core::default()
            },
        )
    };
    vec![
        calls(
            "a-line-that-is-no-utf-8",
            LOG,
            "(call $log (i32.const 2) (i32.const 4096) (i32.const 4) (i32.const 0) (i32.const 0))
             (i32.const 512)",
        )
        .tells(["utf-8"]),
        calls(
            "a-level-that-is-none",
            LOG,
            "(call $log (i32.const 99) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 0))
             (i32.const 512)",
        )
        .tells(["broke the contract"]),
        calls(
            "a-line-outside-of-memory",
            LOG,
            "(call $log (i32.const 2) (i32.const 1024) (i32.const -1) (i32.const 0) (i32.const 0))
             (i32.const 512)",
        )
        .tells(["broke the contract"]),
        calls(
            "a-question-outside-of-memory",
            CONFIG,
            "(call $get (i32.const -100) (i32.const 4000) (i32.const 2048)) (i32.const 512)",
        )
        .tells(["broke the contract"]),
        calls(
            "an-answer-put-outside-of-memory",
            CONFIG,
            "(call $get (i32.const 1024) (i32.const 1) (i32.const -4)) (i32.const 512)",
        )
        .tells(["broke the contract"]),
        // While the host calls the guest's allocator, the guest calls the host.
        core(
            "a-call-out-of-realloc",
            Core {
                imports: LOG,
                realloc: "(call $log
                        (i32.const 2) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 0))
                    (i32.const 65536)",
                ..Core::default()
            },
        )
        .tells(["cannot leave component instance"]),
        core(
            "a-call-out-of-start",
            Core {
                imports: LOG,
                more: "(func $start
                        (call $log
                            (i32.const 2) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 0)))
                    (start $start)",
                ..Core::default()
            },
        )
        .is(super::case::End::Refused)
        .tells(["describe:"]),
    ]
}
