//! Runs programs and takes what they print.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use crate::{BuildError, Event, Options};

/// How much of the end of a program's output is kept.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// What a program printed, and whether it succeeded.
pub(crate) struct Output {
    pub(crate) succeeded: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Returns both outputs, the errors last.
    pub(crate) fn both(&self) -> String {
        let parts = [self.stdout.trim_end(), self.stderr.trim_end()];
        let printed: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        printed.join("\n")
    }
}

/// Runs a program and returns its output.
pub(crate) fn quietly(command: &mut Command) -> Result<Output, BuildError> {
    let program = command.get_program().to_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(tool_error(&program))?;
    let text = |bytes: Vec<u8>| end_of(&String::from_utf8_lossy(&bytes));
    Ok(Output {
        succeeded: output.status.success(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    })
}

/// Runs a program, passes on each line at once, and returns its output.
pub(crate) fn loudly(command: &mut Command, options: &Options) -> Result<Output, BuildError> {
    let program = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(tool_error(&program))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = thread::scope(|scope| {
        let stdout = scope.spawn(|| stdout.map(|from| pass_on(from, options)));
        let stderr = stderr.map(|from| pass_on(from, options));
        // The thread only reads and calls back, like this one.
        (stdout.join().unwrap_or_default(), stderr)
    });
    let text = |read: Option<io::Result<String>>| {
        read.unwrap_or_else(|| Ok(String::new()))
            .map_err(tool_error(&program))
    };
    let (stdout, stderr) = (text(stdout)?, text(stderr)?);
    let status = child.wait().map_err(tool_error(&program))?;
    Ok(Output {
        succeeded: status.success(),
        stdout,
        stderr,
    })
}

fn pass_on(from: impl Read, options: &Options) -> io::Result<String> {
    let mut output = String::new();
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        (options.progress)(Event::Output(text.trim_end()));
        output.push_str(&text);
        line.clear();
    }
    Ok(end_of(&output))
}

fn end_of(output: &str) -> String {
    let from = output.len().saturating_sub(OUTPUT_BYTES_MAX);
    output[output.ceil_char_boundary(from)..]
        .trim_end()
        .to_owned()
}

fn tool_error(program: &OsStr) -> impl FnOnce(io::Error) -> BuildError {
    let program = program.to_string_lossy().into_owned();
    move |source| BuildError::Tool {
        program,
        source: Arc::new(source),
    }
}
