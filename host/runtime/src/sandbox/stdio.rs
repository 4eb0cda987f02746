//! A guest's stdout and stderr. Writes never block. Lines go to the guest's log, which drops and counts lines past its
//! limits.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::limits::LOG_LINE_BYTES_MAX;
use crate::sandbox::trap::{is_backtrace_advice, is_engine_panic};
use crate::trace::recorder::Recorder;

/// The most bytes of one write.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// One of the two streams.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputKind {
    Stdout,
    Stderr,
}

/// A guest's stdout or stderr. Clones write to the same stream.
#[derive(Clone)]
pub(crate) struct GuestOutput {
    kind: OutputKind,
    recorder: Arc<Recorder>,
    open: Arc<Mutex<Open>>,
}

/// What of the stream is not logged yet.
#[derive(Default)]
struct Open {
    line: Vec<u8>,
    /// True after the first line of a panic of the JavaScript engine, which ends the invocation. The report of the failure has the
    /// author's frames, so the lines are not logged.
    is_engine_panic: bool,
}

impl GuestOutput {
    pub(crate) fn new(kind: OutputKind, recorder: Arc<Recorder>) -> Self {
        Self {
            kind,
            recorder,
            open: Arc::default(),
        }
    }

    fn take(&self, bytes: &[u8]) {
        if self.kind == OutputKind::Stderr {
            self.recorder.log.stderr(bytes);
        }
        let mut open = self.open.lock();
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let room = LOG_LINE_BYTES_MAX.saturating_sub(open.line.len());
            open.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.flush_line(&mut open);
            }
        }
    }

    fn flush_line(&self, open: &mut Open) {
        let text = String::from_utf8_lossy(&open.line);
        let text = text.trim_end();
        open.is_engine_panic |= self.kind == OutputKind::Stderr && is_engine_panic(text);
        if !text.is_empty() && !open.is_engine_panic && !is_backtrace_advice(text) {
            let level = match self.kind {
                OutputKind::Stdout => "stdout",
                OutputKind::Stderr => "stderr",
            };
            self.recorder.log.write(level, text, &[]);
        }
        open.line.clear();
    }
}

impl Drop for GuestOutput {
    /// Logs a last line that has no line break.
    fn drop(&mut self) {
        if Arc::strong_count(&self.open) == 1 {
            let mut open = std::mem::take(&mut *self.open.lock());
            self.flush_line(&mut open);
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl AsyncWrite for GuestOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::quota::Limits;
    use crate::trace::log::{LogBudget, LogSource};
    use alert_manager_core::alert::HandlerName;

    #[test]
    fn lines_are_assembled_from_writes_and_long_lines_are_cut() {
        let source = LogSource {
            handler: HandlerName::new("test"),
            about: None,
        };
        let budget = LogBudget::new(&Limits::default(), Arc::default());
        let recorder = Arc::new(Recorder::new(source, budget));
        let output = GuestOutput::new(OutputKind::Stdout, Arc::clone(&recorder));
        output.take(b"one\nt");
        output.take(b"wo\n");
        output.take(&vec![b'x'; 10 * LOG_LINE_BYTES_MAX]);
        output.take(
            b"\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
        );
        output.take(b"\nlast");
        drop(output);
        let trace = recorder.finish().trace;
        let lengths: Vec<_> = trace.logs.iter().map(|l| l.message.len()).collect();
        assert_eq!(lengths, [3, 3, LOG_LINE_BYTES_MAX, 4]);
        assert_eq!(trace.logs[1].message, "two");
        assert_eq!(trace.logs[3].message, "last");
    }

    #[test]
    fn what_the_javascript_engine_says_of_an_exception_is_not_logged() {
        let source = LogSource {
            handler: HandlerName::new("test"),
            about: None,
        };
        let budget = LogBudget::new(&Limits::default(), Arc::default());
        let recorder = Arc::new(Recorder::new(source, budget));
        let output = GuestOutput::new(OutputKind::Stderr, Arc::clone(&recorder));
        output.take(b"the author's\nthread '<unnamed>' (1) panicked at crates/runtime/src/interpreter.rs:51:31:\n");
        output.take(b"Failed to call 'act': Value(Exception(\n)");
        drop(output);
        assert!(recorder.log.stderr_tail().contains("Failed to call"));
        let logs = recorder.finish().trace.logs;
        let logged: Vec<_> = logs.iter().map(|line| &*line.message).collect();
        assert_eq!(logged, ["the author's"]);
    }
}
