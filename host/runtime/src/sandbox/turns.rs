//! Guests that take long compute in turns, an epoch each: however many they are, they leave processors to the guests
//! that take next to nothing, and however many a handler has of them, the next handler's turn comes as soon.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// As many turns as there are at one time, over all handlers.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    at_once: usize,
}

/// The line of one handler: what stands in it does not stand in that of all until its turn in here has come.
#[derive(Clone, Debug)]
pub(crate) struct Line(Arc<Semaphore>);

/// A turn, over when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_line: OwnedSemaphorePermit,
}

impl Turns {
    /// Half of the processors: the others are for what takes next to nothing, and for the server itself.
    pub(crate) fn of_this_machine() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self::new((processors / 2).max(1))
    }

    fn new(at_once: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(at_once)),
            at_once,
        }
    }

    /// Makes a handler's line. Alone it may have every turn.
    pub(crate) fn line(&self) -> Line {
        Line(Arc::new(Semaphore::new(self.at_once)))
    }

    /// Waits for a turn.
    pub(crate) async fn take(&self, line: &Line) -> Option<Turn> {
        // Neither semaphore is ever closed.
        let of_line = Arc::clone(&line.0).acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn {
            _of_all: of_all,
            _of_line: of_line,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_handler_with_many_holds_up_the_next_by_one_turn() {
        let turns = Turns::new(1);
        let (busy, other) = (turns.line(), turns.line());
        let held = turns.take(&busy).now_or_never().unwrap();
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(turns.take(&busy))).collect();
        for turn in &mut waiting {
            assert!(turn.as_mut().now_or_never().is_none());
        }
        let mut others = Box::pin(turns.take(&other));
        assert!(others.as_mut().now_or_never().is_none());
        drop(held);
        assert!(waiting[0].as_mut().now_or_never().is_none());
        let held = others.as_mut().now_or_never().unwrap().unwrap();
        drop(held);
        assert!(waiting[0].as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_handler_alone_has_every_turn() {
        let turns = Turns::new(3);
        let line = turns.line();
        let held: Vec<_> = (0..3)
            .map(|_| turns.take(&line).now_or_never().unwrap())
            .collect();
        assert!(turns.take(&line).now_or_never().is_none());
        drop(held);
    }
}
