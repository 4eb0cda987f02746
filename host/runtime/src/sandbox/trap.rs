//! Formats the report of a trap: the message of a panic or a Python exception if there is one, then the end of stderr and the
//! backtrace.

/// Prefixes of the frames of Rust's runtime, which are left out of backtraces.
const RUNTIME_FRAMES: [&str; 6] = ["std[", "core[", "alloc[", "__rustc[", "abort", "__rust_"];
/// The libraries of a Python component. Their frames say nothing to the author, who has the traceback.
const INTERPRETERS: [&str; 3] = ["libpython", "componentize_py_runtime", "libc.so"];
/// The first line of a Python traceback.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// Returns the report of a trap.
pub(crate) fn report(why: &str, stderr: &str, backtrace: &str) -> String {
    let mut text = exception_in(stderr)
        .or_else(|| panic_in(stderr))
        .unwrap_or_else(|| why.to_owned());
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

/// Returns the last Python exception in stderr, as `FILE:LINE: TYPE: MESSAGE`.
fn exception_in(stderr: &str) -> Option<String> {
    let (_, traceback) = stderr.rsplit_once(TRACEBACK)?;
    let mut place = None;
    for line in traceback.lines().skip(1) {
        if let Some(frame) = line.strip_prefix("  File \"") {
            let (file, rest) = frame.split_once("\", line ")?;
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            place = Some(format!("{file}:{number}"));
        } else if !line.starts_with(' ') && !line.is_empty() {
            return Some(match place {
                Some(place) => format!("{place}: {line}"),
                None => line.to_owned(),
            });
        }
    }
    None
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
    let Some((module, name)) = frame.split_once('!') else {
        return false;
    };
    let module = module.rsplit(' ').next().unwrap_or(module);
    INTERPRETERS.iter().any(|own| module.starts_with(own))
        || RUNTIME_FRAMES.iter().any(|own| name.starts_with(own))
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
    fn a_python_exception_comes_first_with_its_place_and_without_frames_of_the_interpreter() {
        let stderr = "Traceback (most recent call last):\n  File \"handler.py\", line 18, in act\n    helper(\"x\")\n    ~~~~~~^^^^^\n  File \"handler.py\", line 41, in helper\n    raise RuntimeError(a)\nRuntimeError: boom ü";
        let backtrace = "error while executing at wasm backtrace:\n    1: 0xf37035 - libpython3.14.so!os_abort\n    2: 0x1 - componentize_py_runtime.wasm!std::process::abort\n    3: 0x2 - other.wasm!mine";
        let report = report("it trapped: unreachable", stderr, backtrace);
        let first = report.lines().next();
        assert_eq!(first, Some("handler.py:41: RuntimeError: boom ü"));
        assert!(
            report.contains("  File \"handler.py\", line 18, in act"),
            "{report}"
        );
        assert!(
            !report.contains("libpython") && !report.contains("componentize"),
            "{report}"
        );
        assert!(report.contains("other.wasm!mine"), "{report}");
        for cut in [
            "Traceback (most recent call last):",
            "Traceback (most recent call last):\n  File \"x",
        ] {
            assert_eq!(exception_in(cut), None, "{cut}");
        }
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
