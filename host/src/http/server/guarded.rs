//! A connection's stream, with a limit on each wait for its peer.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connections::{ConnectionState, Phase};
use super::settings::Settings;
use crate::telemetry::{Cut, Metrics};

/// A stream of which a wait that exceeds its limit is an error, which ends the connection.
pub(super) struct Guarded<I> {
    io: I,
    state: Arc<ConnectionState>,
    metrics: Arc<Metrics>,
    header_timeout: Duration,
    idle_timeout: Duration,
    answer_timeout: Duration,
    reading: Timer,
    /// The phase that `reading` was set for.
    reading_for: Phase,
    writing: Timer,
}

impl<I> Guarded<I> {
    pub(super) fn new(
        io: I,
        web: &Settings,
        state: Arc<ConnectionState>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut guarded = Self {
            io,
            state,
            metrics,
            header_timeout: web.header_timeout,
            idle_timeout: web.idle_timeout,
            answer_timeout: web.body_timeout,
            reading: Timer::default(),
            reading_for: Phase::Fresh,
            writing: Timer::default(),
        };
        guarded.reading.set(guarded.header_timeout);
        guarded
    }

    /// Notes that bytes have arrived; the first of a request start its deadline.
    fn note_read(&mut self) {
        if matches!(self.state.phase(), Phase::Fresh | Phase::Idle) {
            self.state.head();
        }
        if self.state.phase() == Phase::Head && self.reading_for != Phase::Head {
            self.reading_for = Phase::Head;
            self.reading.set(self.header_timeout);
        }
    }

    fn poll_wait_for_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            let phase = self.state.phase();
            if phase != self.reading_for {
                self.reading_for = phase;
                self.reading.set_at(match phase {
                    Phase::Fresh | Phase::Head => Instant::now() + self.header_timeout,
                    Phase::UnauthenticatedBody | Phase::Busy => Instant::now() + self.idle_timeout,
                    Phase::Idle => self.state.since() + self.idle_timeout,
                });
            }
            ready!(self.reading.poll(cx));
            match phase {
                // The body has its own deadline, and a response takes as long as the store needs. The timer runs nevertheless:
                // hyper does not read again after it has responded, so nothing else would notice that the connection has become
                // idle.
                Phase::UnauthenticatedBody | Phase::Busy => self.reading.set(self.idle_timeout),
                Phase::Idle => return Poll::Ready(ErrorKind::TimedOut.into()),
                Phase::Fresh | Phase::Head => {
                    self.metrics.connection_cut(Cut::SlowHeaders);
                    return Poll::Ready(ErrorKind::TimedOut.into());
                }
            }
        }
    }

    fn poll_wait_for_reader(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.writing.deadline.is_none() {
            self.writing.set(self.answer_timeout);
        }
        ready!(self.writing.poll(cx));
        self.metrics.connection_cut(Cut::SlowReader);
        Poll::Ready(ErrorKind::TimedOut.into())
    }

    fn bounded(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<Result<usize>>,
    ) -> Poll<Result<usize>> {
        if written.is_pending() {
            return self.poll_wait_for_reader(cx).map(Err);
        }
        self.writing.deadline = None;
        written
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buffer) {
            Poll::Pending => this.poll_wait_for_bytes(cx).map(Err),
            ready => {
                if buffer.filled().len() > before {
                    this.note_read();
                }
                ready
            }
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.bounded(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bytes);
        this.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.bounded(cx, flushed.map_ok(|()| 0)).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.io).poll_shutdown(cx);
        this.bounded(cx, closed.map_ok(|()| 0)).map_ok(|_| ())
    }
}

/// A deadline that is moved with every request and is cheap for the runtime's timer: when the timer fires, it is compared with
/// the current deadline.
#[derive(Default)]
pub(super) struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Sets the deadline to `bound` from now.
    pub(super) fn set(&mut self, bound: Duration) {
        self.set_at(Instant::now() + bound);
    }

    pub(super) fn set_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Resolves once the deadline has passed; never if there is none.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
