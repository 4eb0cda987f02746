//! Room for the bodies that are being read: however many senders there are, together they take so much memory.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::config::Web;

/// Bytes that are held now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room(Arc<AtomicU64>);

/// Why a body is not read on: there is no room for it now.
#[derive(Debug, thiserror::Error)]
#[error("no room for another body")]
pub(super) struct Full;

/// What one body holds of the room, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Room,
    bytes: u64,
    web: Web,
}

impl Room {
    /// Returns a share that holds nothing yet; `web` says how much room there is.
    pub(super) fn share(&self, web: &Web) -> Share {
        Share {
            room: self.clone(),
            bytes: 0,
            web: web.clone(),
        }
    }
}

impl Share {
    /// Returns how long the body is, as far as it was read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn take(&mut self, bytes: u64) -> Result<(), Full> {
        self.bytes += bytes;
        let before = self.room.0.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.web.room_for(self.bytes) {
            return Err(Full);
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body whose bytes take their share as they come.
pub(super) struct Sharing<'a, B> {
    pub(super) inner: B,
    pub(super) share: &'a mut Share,
}

impl<B> Body for Sharing<'_, B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Some(frame) = ready!(Pin::new(&mut this.inner).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(Into::into).and_then(|frame| {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            this.share.take(bytes as u64)?;
            Ok(frame)
        });
        Poll::Ready(Some(frame))
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

    fn room_of(bodies_bytes_max: u64) -> Web {
        Web {
            bodies_bytes_max,
            ..Web::default()
        }
    }

    #[test]
    fn what_a_body_held_is_given_back_however_it_ended() {
        let (room, web) = (Room::default(), room_of(10));
        let mut first = room.share(&web);
        first.take(6).unwrap();
        let mut second = room.share(&web);
        second.take(4).unwrap();
        second.take(1).unwrap_err();
        drop(second);
        first.take(4).unwrap();
        drop(first);
        room.share(&web).take(10).unwrap();
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn large_bodies_leave_room_for_small_ones() {
        let (room, web) = (Room::default(), room_of(32 << 20));
        let mut large = room.share(&web);
        large.take(28 << 20).unwrap();
        let mut another = room.share(&web);
        another.take(1 << 20).unwrap();
        another.take(1).unwrap_err();
        drop(another);
        let mut small: Vec<_> = (0..4).map(|_| room.share(&web)).collect();
        for share in &mut small {
            share.take(1 << 20).unwrap();
        }
        room.share(&web).take(1).unwrap_err();
    }
}
