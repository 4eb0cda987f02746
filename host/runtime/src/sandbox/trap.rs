//! Formats the report of a trap: the message of a panic if there is one, then the end of stderr and the backtrace.

/// Prefixes of the frames of Rust's runtime, which are left out of backtraces.
const RUNTIME_FRAMES: [&str; 6] = ["std[", "core[", "alloc[", "__rustc[", "abort", "__rust_"];

/// Returns the report of a trap.
pub(crate) fn report(why: &str, stderr: &str, backtrace: &str) -> String {
    let mut text = panic_in(stderr).unwrap_or_else(|| why.to_owned());
    let said: Vec<_> = stderr
        .lines()
        .filter(|line| !is_backtrace_advice(line))
        .collect();
    if !said.is_empty() {
        text.push_str("\nits last stderr:\n");
        text.push_str(&said.join("\n"));
    }
    let frames: Vec<_> = backtrace.lines().filter(|line| !is_runtime(line)).collect();
    if !frames.is_empty() {
        text.push('\n');
        text.push_str(&frames.join("\n"));
    }
    text
}

/// Returns true for Rust's advice to set `RUST_BACKTRACE`: guests have no environment variables.
pub(crate) fn is_backtrace_advice(line: &str) -> bool {
    line.starts_with("note: run with `RUST_BACKTRACE=")
}

/// Returns the message of a Rust panic in stderr, as `panicked at FILE:LINE:COLUMN: MESSAGE`.
fn panic_in(stderr: &str) -> Option<String> {
    let mut lines = stderr
        .lines()
        .skip_while(|line| !line.contains("panicked at "));
    let (_, place) = lines.next()?.split_once("panicked at ")?;
    let message: Vec<_> = lines
        .take_while(|line| !line.starts_with("note:") && !line.starts_with("stack backtrace:"))
        .collect();
    let place = place.trim_end_matches(':');
    let message = message.join(" ");
    if let Some(thrown) = thrown_in(&message) {
        return Some(thrown);
    }
    Some(
        format!("panicked at {place}: {message}")
            .trim_end()
            .to_owned(),
    )
}

/// Returns the message of a JavaScript error that a handler threw. Its engine panics with it: the place is one of its
/// own, and the author's is in the message.
fn thrown_in(panic: &str) -> Option<String> {
    let (_, quoted) = panic.split_once("Exception { message: Some(\"")?;
    let mut thrown = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some(thrown),
            '\\' => match chars.next()? {
                'n' | 'r' | 't' => thrown.push(' '),
                // `\u{…}` stands for a character that is invisible.
                'u' => while chars.next()? != '}' {},
                char => thrown.push(char),
            },
            char => thrown.push(char),
        }
    }
}

fn is_runtime(frame: &str) -> bool {
    let Some((_, name)) = frame.split_once('!') else {
        return false;
    };
    RUNTIME_FRAMES.iter().any(|own| name.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STDERR: &str = "thread '<unnamed>' (1) panicked at src/lib.rs:6:7:\ncalled `Option::unwrap()` on a `None` value\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";

    #[test]
    fn a_panic_comes_first_with_its_place() {
        let report = report("it trapped: unreachable", STDERR, "");
        assert_eq!(
            report.lines().next(),
            Some("panicked at src/lib.rs:6:7: called `Option::unwrap()` on a `None` value")
        );
        assert!(!report.contains("RUST_BACKTRACE"), "{report}");
    }

    #[test]
    fn a_javascript_error_comes_first_without_the_place_of_its_engine() {
        let stderr = "thread '<unnamed>' (1) panicked at crates/runtime/src/interpreter.rs:51:31:\nFailed to call 'act': Value(Exception(\nException { message: Some(\"TypeError: \\\"x\\\" is ü,\\n at \\u{202e}act (src/handler.ts:9:30)\"), stack: Some(\"at act (src/handler.ts:9:30)\") })\n)";
        let report = report("it trapped: unreachable", stderr, "");
        let first = report.lines().next();
        assert_eq!(
            first,
            Some("TypeError: \"x\" is ü,  at act (src/handler.ts:9:30)")
        );
        let cut = stderr.split("9:30").next().unwrap_or_default();
        assert!(super::report("it trapped", cut, "").starts_with("panicked at crates/"));
    }

    #[test]
    fn frames_of_the_runtime_are_left_out() {
        let backtrace = "error while executing at wasm backtrace:\n    0:  0x1 - h.wasm!abort\n    1:  0x2 - h.wasm!std[d1]::process::abort\n    2:  0x3 - h.wasm!my_handler::act";
        let report = report("it trapped: unreachable", "", backtrace);
        assert!(report.starts_with("it trapped: unreachable\n"), "{report}");
        assert!(report.contains("my_handler::act"), "{report}");
        assert!(!report.contains("process::abort"), "{report}");
    }
}
