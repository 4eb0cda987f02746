//! The other servers of the store: which there are, and what they ask each other.

use tokio::sync::{mpsc, oneshot};

use super::Queue;
use super::model::{AskError, Asked, ListedReplica, ReplicaAbout};
use super::store::mail::Request;

impl Queue {
    /// Says to the other servers of the store what this one is.
    pub fn announce(&self, about: ReplicaAbout) {
        self.inner.shared.watched.roster.set_about(about);
    }

    /// Returns the servers of the store, this one among them, in the order of their starts, without asking the store. What each says
    /// of itself is known a second later.
    #[must_use]
    pub fn replicas(&self) -> Vec<ListedReplica> {
        let shared = &self.inner.shared;
        shared.watched.roster.replicas(*shared.leads.borrow())
    }

    /// Asks the server that has the term something that only it can do.
    ///
    /// # Errors
    /// If it did not answer within 25 s, or no server has the term.
    pub async fn ask(&self, request: String) -> Result<String, AskError> {
        let (reply, answer) = oneshot::channel();
        let text = request;
        self.inner.shared.watched.mail.ask(Request { text, reply });
        answer.await.unwrap_or(Err(AskError::Unknown))
    }

    /// Returns what other servers ask this one while it has the term. Ends when the store is closed, or when this is called again.
    #[must_use]
    pub fn asked(&self) -> mpsc::UnboundedReceiver<Asked> {
        self.inner.shared.watched.mail.asked()
    }
}
