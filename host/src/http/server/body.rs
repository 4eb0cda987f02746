//! A request's body, which is cut off if its sender is too slow.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use super::guarded::Timer;
use super::settings::Settings;
use crate::telemetry::{Cut, Metrics};

/// The longest time for a body, however much of it has arrived: it holds its share of `web.bodies_bytes_max` before its sender
/// is authenticated, and must not hold it for hours. At 220 KiB per second, the largest body by default, 64 MiB, fits.
const WHOLE_MAX: Duration = Duration::from_secs(300);

/// Why a body ended early. The endpoint that reads it reports that to the sender.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It paused for too long, or was slower than the lowest rate.
    #[error("the body came too slowly")]
    TooSlow,
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] hyper::Error),
}

/// Returns whether a body was cut off because its sender was too slow.
pub(crate) fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(BodyError::TooSlow)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Wraps the body of one request.
pub(super) struct TimedBody<B = Incoming> {
    inner: B,
    pause_max: Duration,
    /// The lowest rate, in bytes per second.
    rate_min: u64,
    started: Instant,
    progress: Instant,
    received: u64,
    timer: Timer,
    metrics: Arc<Metrics>,
}

impl<B> TimedBody<B> {
    pub(super) fn new(inner: B, web: &Settings, metrics: &Arc<Metrics>) -> Self {
        let now = Instant::now();
        Self {
            inner,
            pause_max: web.body_timeout,
            rate_min: web.body_rate_min,
            started: now,
            progress: now,
            received: 0,
            timer: Timer::default(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Returns the current deadline. A limit on pauses alone would allow a byte now and then, so the bytes that have arrived
    /// extend the deadline at the lowest rate, up to a limit for the whole body.
    fn deadline(&self) -> Instant {
        let earned_ms = self.received.saturating_mul(1_000) / self.rate_min;
        let whole = self.pause_max + Duration::from_millis(earned_ms);
        let whole = whole.min(WHOLE_MAX.max(self.pause_max));
        (self.started + whole).min(self.progress + self.pause_max)
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for TimedBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some(Ok(frame)) = &frame {
                    this.progress = Instant::now();
                    this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Connection)))
            }
            Poll::Pending => {
                this.timer.set_at(this.deadline());
                std::task::ready!(this.timer.poll(cx));
                this.metrics.connection_cut(Cut::SlowBody);
                Poll::Ready(Some(Err(BodyError::TooSlow)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_has_come_buys_time_and_a_pause_does_not() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let web = Settings {
            body_timeout: Duration::from_secs(30),
            body_rate_min: 1_000,
            ..Settings::default()
        };
        let mut body = TimedBody::new((), &web, &metrics);
        let start = body.started;
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(body.deadline(), at(30));
        body.progress = at(20);
        body.received = 10;
        assert!(body.deadline() < at(31), "ten bytes buy next to nothing");
        body.received = 15_000;
        assert_eq!(body.deadline(), at(45));
        body.received = 1_000_000;
        assert_eq!(body.deadline(), at(50), "30 s after the last of them");
        body.progress = at(299);
        assert_eq!(body.deadline(), at(300), "not for ever, whatever has come");
        body.pause_max = Duration::from_secs(400);
        assert_eq!(body.deadline(), at(400), "what was configured counts");
    }
}
