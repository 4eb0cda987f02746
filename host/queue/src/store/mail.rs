//! What the servers of a store ask each other: a server without the term asks, the one that has it answers. The requests and the
//! answers wait here for the thread that passes them on by the store.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::model::{AskError, Asked};

/// The requests and answers that wait to be passed on.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Request>,
    answers: Vec<(i64, oneshot::Receiver<String>)>,
    /// Receives what others ask of this server; absent if nobody answers here.
    asked: Option<mpsc::UnboundedSender<Asked>>,
    bell: Option<Bell>,
    is_closed: bool,
}

/// A request to the server that has the term.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) text: String,
    pub(crate) reply: oneshot::Sender<Result<String, AskError>>,
}

/// Wakes the thread that passes on.
#[derive(Clone)]
pub(crate) struct Bell(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

impl Mail {
    /// Asks the server that has the term.
    pub(crate) fn ask(&self, request: Request) {
        let mut state = self.state.lock();
        if state.is_closed {
            return;
        }
        state.requests.push(request);
        if let Some(Bell(ring)) = &state.bell {
            ring();
        }
    }

    /// Returns what others ask of this server from now on. Ends when this is called again, or the store is closed.
    pub(crate) fn asked(&self) -> mpsc::UnboundedReceiver<Asked> {
        let (sender, asked) = mpsc::unbounded_channel();
        let mut state = self.state.lock();
        if !state.is_closed {
            state.asked = Some(sender);
        }
        asked
    }

    /// Returns true if somebody here answers what others ask.
    pub(crate) fn is_answered(&self) -> bool {
        self.state.lock().asked.is_some()
    }

    /// Hands on what another server asks.
    pub(crate) fn deliver(&self, number: i64, request: String) {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state.lock();
        let asked = Asked { request, answer };
        if state
            .asked
            .as_ref()
            .is_some_and(|to| to.send(asked).is_ok())
        {
            state.answers.push((number, answered));
        }
    }

    /// Sets what wakes the thread that passes on.
    pub(crate) fn set_bell(&self, bell: Bell) {
        self.state.lock().bell = Some(bell);
    }

    /// Takes the requests that are to be passed on.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().requests)
    }

    /// Takes the answers that are there, each with the number of its request.
    pub(crate) fn take_answers(&self) -> Vec<(i64, String)> {
        let mut state = self.state.lock();
        let mut there = Vec::new();
        state.answers.retain_mut(|(number, answer)| {
            match answer.try_recv() {
                Ok(text) => there.push((*number, text)),
                Err(oneshot::error::TryRecvError::Empty) => return true,
                // The one who asks is not answered, and says so after a time.
                Err(oneshot::error::TryRecvError::Closed) => {}
            }
            false
        });
        there
    }

    /// Returns true if an answer is awaited here.
    pub(crate) fn is_answering(&self) -> bool {
        !self.state.lock().answers.is_empty()
    }

    /// Ends all of it: nobody waits for an answer any more.
    pub(crate) fn close(&self) {
        *self.state.lock() = State {
            is_closed: true,
            ..State::default()
        };
    }
}
