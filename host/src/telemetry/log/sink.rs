//! Buffers log lines for standard error, so that logging never blocks: a pipe that is not read delays neither the committer
//! nor a worker. Lines beyond a byte budget are dropped and counted.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The size limit of the buffer, some 20,000 lines.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// How long the process waits at its end for the buffer to be written.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// The buffer of standard error, once logging is initialized.
static STDERR: OnceLock<Sink> = OnceLock::new();

/// A buffer of lines for a writer. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Sink(Arc<Buffer>);

#[derive(Debug)]
struct Buffer {
    waiting: Mutex<Waiting>,
    /// Notified when lines were added or all are written.
    changed: Condvar,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    is_writing: bool,
    dropped: u64,
    /// How many of the dropped lines were not reported yet.
    unreported: u64,
}

impl Sink {
    /// Starts a thread that writes to `out`. When the buffer has space again, the thread calls `report` with the number of
    /// lines that were dropped.
    fn start(
        mut out: impl Write + Send + 'static,
        bytes_max: usize,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let sink = Self(Arc::new(Buffer {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            bytes_max,
        }));
        let own = sink.clone();
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || {
                let mut lines = Vec::new();
                loop {
                    let dropped = own.take(&mut lines);
                    // If standard error is closed, there is no one to report it to.
                    let _ = out.write_all(&lines).and_then(|()| out.flush());
                    if dropped > 0 {
                        report(dropped);
                    }
                }
            })?;
        Ok(sink)
    }

    /// Waits for lines; returns how many were dropped since the last call.
    fn take(&self, lines: &mut Vec<u8>) -> u64 {
        lines.clear();
        let Buffer {
            waiting, changed, ..
        } = &*self.0;
        let mut waiting = waiting.lock();
        waiting.is_writing = false;
        changed.notify_all();
        while waiting.lines.is_empty() {
            changed.wait(&mut waiting);
        }
        waiting.is_writing = true;
        std::mem::swap(&mut waiting.lines, lines);
        std::mem::take(&mut waiting.unreported)
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.0.waiting.lock();
        if waiting.lines.len() + line.len() > self.0.bytes_max {
            waiting.dropped += 1;
            waiting.unreported += 1;
            return;
        }
        let was_idle = waiting.lines.is_empty() && !waiting.is_writing;
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if was_idle {
            self.0.changed.notify_all();
        }
    }

    /// Waits until every line is written, at most for `within`.
    fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut waiting = self.0.waiting.lock();
        while waiting.is_writing || !waiting.lines.is_empty() {
            if self
                .0
                .changed
                .wait_until(&mut waiting, deadline)
                .timed_out()
            {
                return;
            }
        }
    }

    fn dropped(&self) -> u64 {
        self.0.waiting.lock().dropped
    }
}

/// Each event is added as a whole.
impl Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the buffer of standard error; `None` if its thread cannot be started.
pub(super) fn stderr() -> Option<&'static Sink> {
    if STDERR.get().is_none() {
        let sink = Sink::start(io::stderr(), WAITING_BYTES_MAX, |lines| {
            tracing::warn!(
                lines,
                "log lines were dropped: standard error is not read fast enough"
            );
        });
        // Another thread may have been first; its buffer is used then.
        let _ = sink.map(|sink| STDERR.set(sink));
    }
    STDERR.get()
}

/// Waits until all lines are on standard error, at most two seconds. To be called before the process ends.
pub fn flush() {
    if let Some(sink) = STDERR.get() {
        sink.flush(FLUSH_MAX);
    }
}

/// Returns how many lines were dropped since the start.
#[must_use]
pub fn dropped() -> u64 {
    STDERR.get().map_or(0, Sink::dropped)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A pipe whose reader takes one piece at a time.
    struct Pipe {
        written: Sender<String>,
        may_go_on: Receiver<()>,
    }

    impl Write for Pipe {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.written
                .send(String::from_utf8(text.to_vec()).unwrap())
                .unwrap();
            self.may_go_on.recv().unwrap();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_holds_up_nobody_and_what_is_dropped_is_counted() {
        let (written, reads) = channel();
        let (go_on, may_go_on) = channel();
        let (report, reports) = channel();
        let pipe = Pipe { written, may_go_on };
        let sink = Sink::start(pipe, 10, move |lines| report.send(lines).unwrap()).unwrap();
        sink.push(b"one\n");
        assert_eq!(reads.recv().unwrap(), "one\n", "and now it stalls");
        for line in [b"two..\n", b"three\n", b"four.\n", b"five.\n"] {
            sink.push(line);
        }
        assert_eq!(sink.dropped(), 3);
        go_on.send(()).unwrap();
        assert_eq!(reads.recv().unwrap(), "two..\n");
        go_on.send(()).unwrap();
        assert_eq!(reports.recv().unwrap(), 3);
        sink.flush(Duration::from_secs(60));
        sink.push(b"six\n");
        assert_eq!(reads.recv().unwrap(), "six\n", "there is room again");
        sink.flush(Duration::ZERO);
        go_on.send(()).unwrap();
        sink.flush(Duration::from_secs(60));
    }
}
