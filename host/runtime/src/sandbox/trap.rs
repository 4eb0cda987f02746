//! Formats the report of a trap. An exception in Python or JavaScript is reported with its author's frames alone, since all
//! others are those of the interpreter. Else the message of the panic comes first, if there is one, then the end of stderr and the
//! backtrace.

/// Prefixes of the frames of Rust's runtime, which are left out of backtraces.
const RUNTIME_FRAMES: [&str; 6] = ["std[", "core[", "alloc[", "__rustc[", "abort", "__rust_"];
/// The place at which the JavaScript engine of componentize-qjs panics with an exception that a handler has thrown.
const ENGINE_PANIC: &str = "panicked at crates/runtime/src/interpreter.rs:";
/// The first line of a Python traceback.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// Returns the report of a trap.
pub(crate) fn report(why: &str, stderr: &str, backtrace: &str) -> String {
    if let Some(exception) = python_exception(stderr).or_else(|| javascript_exception(stderr)) {
        return exception;
    }
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
    Some(
        format!("panicked at {place}: {message}")
            .trim_end()
            .to_owned(),
    )
}

/// Returns true for the line of stderr after which the JavaScript engine describes an exception in its own terms.
pub(crate) fn is_engine_panic(line: &str) -> bool {
    line.contains(ENGINE_PANIC)
}

/// Returns the report of the last Python exception in stderr: its message and its traceback, to which the SDK writes the frames of
/// the author only.
fn python_exception(stderr: &str) -> Option<String> {
    let message = exception_in(stderr)?;
    Some(format!("{message}\nits last stderr:\n{stderr}"))
}

/// Returns the report of a JavaScript error that a handler has thrown: its message, which names the frame that threw it, and the
/// frames that called that one, in the author's files.
fn javascript_exception(stderr: &str) -> Option<String> {
    let (_, panic) = stderr.split_once(ENGINE_PANIC)?;
    let mut report = quoted_in(panic, "Exception { message: Some(\"")?.replace('\n', " ");
    let stack = quoted_in(panic, "stack: Some(\"").unwrap_or_default();
    let callers: Vec<_> = stack
        .lines()
        .map(str::trim)
        .filter(|frame| frame.starts_with("at ") && !report.contains(frame))
        .map(|frame| format!("\n  {frame}"))
        .collect();
    report.extend(callers);
    Some(report)
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

/// Returns the text in quotation marks after `before`, without Rust's escapes. Each line break is kept, and each other white space
/// is a space.
fn quoted_in(text: &str, before: &str) -> Option<String> {
    let (_, quoted) = text.split_once(before)?;
    let mut read = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some(read),
            '\\' => match chars.next()? {
                'n' => read.push('\n'),
                'r' | 't' => read.push(' '),
                // `\u{…}` stands for a character that is invisible.
                'u' => while chars.next()? != '}' {},
                char => read.push(char),
            },
            '\n' | '\r' | '\t' => read.push(' '),
            char => read.push(char),
        }
    }
}

fn is_runtime(frame: &str) -> bool {
    frame
        .split_once('!')
        .is_some_and(|(_, name)| RUNTIME_FRAMES.iter().any(|own| name.starts_with(own)))
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
        for frame in ["libpython", "componentize", "other.wasm", "0x"] {
            assert!(!report.contains(frame), "{frame} in {report}");
        }
        for cut in [
            "Traceback (most recent call last):",
            "Traceback (most recent call last):\n  File \"x",
        ] {
            assert_eq!(exception_in(cut), None, "{cut}");
        }
    }

    #[test]
    fn a_javascript_error_has_the_frames_of_its_author_and_none_of_its_engine() {
        let stderr = "thread '<unnamed>' (1) panicked at crates/runtime/src/interpreter.rs:51:31:\nFailed to call 'act': Value(Exception(\nException { message: Some(\"TypeError: \\\"x\\\" is ü,\\n at \\u{202e}helper (src/handler.ts:9:30)\"), stack: Some(\"at helper (src/handler.ts:9:30)\\nat act (src/handler.ts:22:39)\") })\n)";
        let backtrace = "error while executing at wasm backtrace:\n    0: 0x21c86a - <unknown>!<wasm function 517>";
        assert_eq!(
            report("it trapped: unreachable", stderr, backtrace),
            "TypeError: \"x\" is ü,  at helper (src/handler.ts:9:30)\n  at act (src/handler.ts:22:39)"
        );
        assert!(is_engine_panic(stderr));
        let cut = stderr.split("9:30").next().unwrap_or_default();
        let whole = report("it trapped", cut, backtrace);
        assert!(whole.starts_with("panicked at crates/"), "{whole}");
        assert!(
            whole.contains("wasm function 517"),
            "nothing is left out of what is not understood: {whole}"
        );
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
