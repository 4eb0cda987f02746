//! What a fake does instead of answering as usual: scripted by a test, for the next calls or until cleared.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::dice::Dice;

/// Any path, in [`Faults`].
pub const ANY: &str = "*";

/// One deviation from the usual answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A status with a short text body; `retry_after_seconds` becomes the header.
    Status {
        status: u16,
        retry_after_seconds: Option<u32>,
    },
    /// Any status with this JSON body.
    Json { status: u16, body: Value },
    /// Reads the call and does not answer until [`Faults::clear`]; then answers as usual.
    Hang,
    /// Sends half of a body and closes the connection.
    CloseMidBody,
    /// Reads the call and closes the connection without a byte of an answer.
    Cut,
    /// Status 200, type JSON, and a body that isn't.
    InvalidJson,
    /// Answers as usual, but only after this time.
    Slow(Duration),
    /// Waits until the gate is opened, then answers as usual.
    Hold(Gate),
    /// Does what the call asks, then answers as the fault within: the caller can't know.
    Done(Box<Fault>),
}

impl Fault {
    /// Status 429 with Retry-After.
    pub fn rate_limited(retry_after_seconds: u32) -> Self {
        Self::Status {
            status: 429,
            retry_after_seconds: Some(retry_after_seconds),
        }
    }

    /// A status alone.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after_seconds: None,
        }
    }

    /// Slack's usual way to fail: status 200 and `ok: false` with this code.
    pub fn slack_error(code: &str) -> Self {
        Self::Json {
            status: 200,
            body: json!({ "ok": false, "error": code }),
        }
    }

    /// The same answer, given after doing what the call asks.
    #[must_use]
    pub fn but_done(self) -> Self {
        Self::Done(Box::new(self))
    }
}

/// A gate that a test opens: calls with [`Fault::Hold`] wait until then.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self::closed()
    }
}

impl Gate {
    /// A gate that is closed.
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Releases all calls, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        let mut opened = self.0.subscribe();
        // The sender lives in self, so this ends only when the gate opens.
        let _ = opened.wait_for(|open| *open).await;
    }
}

#[derive(Debug)]
struct Scripted {
    path: String,
    left: Option<usize>,
    choice: Choice,
}

/// Which fault a call meets.
#[derive(Debug)]
enum Choice {
    Always(Fault),
    /// This many of a hundred calls meet it, at random.
    Share {
        percent: usize,
        fault: Fault,
        dice: Dice,
    },
    /// One call in `one_in` meets one of them; the others meet what is scripted after it, if anything.
    AtRandom {
        one_in: usize,
        faults: Vec<Fault>,
        dice: Dice,
    },
}

impl Choice {
    fn take(&mut self) -> Option<Fault> {
        match self {
            Self::Always(fault) => Some(fault.clone()),
            Self::Share {
                percent,
                fault,
                dice,
            } => (dice.roll(0, 100) < *percent).then(|| fault.clone()),
            Self::AtRandom {
                one_in,
                faults,
                dice,
            } => (dice.roll(0, *one_in) == 0).then(|| faults[dice.roll(0, faults.len())].clone()),
        }
    }
}

/// The faults that wait for their calls. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults {
    script: Arc<Mutex<VecDeque<Scripted>>>,
    cleared: Arc<watch::Sender<u64>>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            script: Arc::default(),
            cleared: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Faults {
    /// Meets the next call of `path` ([`ANY`] for every path) with `fault`, after those scripted before.
    pub fn next(&self, path: &str, fault: Fault) {
        self.next_n(path, 1, fault);
    }

    /// Meets the next `n` calls of `path` with `fault`.
    pub fn next_n(&self, path: &str, n: usize, fault: Fault) {
        self.push(path, Some(n), Choice::Always(fault));
    }

    /// Meets every call of `path` with `fault` until [`Faults::clear`].
    pub fn until_cleared(&self, path: &str, fault: Fault) {
        self.push(path, None, Choice::Always(fault));
    }

    /// Meets one call of `path` in `one_in` with one of `faults`, at random, until [`Faults::clear`].
    ///
    /// # Panics
    /// If there is no fault to choose from.
    pub fn at_random(&self, path: &str, one_in: usize, faults: &[Fault], dice: Dice) {
        assert!(!faults.is_empty(), "there is no fault to choose from");
        let choice = Choice::AtRandom {
            one_in,
            faults: faults.to_vec(),
            dice,
        };
        self.push(path, None, choice);
    }

    /// Meets so many of a hundred calls of `path` with `fault`, at random, until [`Faults::clear`].
    pub fn share(&self, path: &str, percent: usize, fault: Fault, dice: Dice) {
        let choice = Choice::Share {
            percent,
            fault,
            dice,
        };
        self.push(path, None, choice);
    }

    /// Forgets every scripted fault and releases the calls that hang.
    pub fn clear(&self) {
        let mut script = self.script.lock();
        script.clear();
        self.cleared.send_modify(|times| *times += 1);
    }

    fn push(&self, path: &str, left: Option<usize>, choice: Choice) {
        self.script.lock().push_back(Scripted {
            path: path.to_owned(),
            left,
            choice,
        });
    }

    /// Returns what this call meets.
    pub(crate) fn take(&self, path: &str) -> Met {
        let mut script = self.script.lock();
        Met {
            fault: chosen(&mut script, path),
            // Under the lock: a test that clears the faults as soon as it has seen the call releases this one, too.
            cleared: self.cleared.subscribe(),
        }
    }
}

fn chosen(script: &mut VecDeque<Scripted>, path: &str) -> Option<Fault> {
    let (at, fault) = script.iter_mut().enumerate().find_map(|(at, scripted)| {
        let is_for_it = scripted.path == ANY || scripted.path == path;
        Some((at, is_for_it.then(|| scripted.choice.take())??))
    })?;
    if let Some(left) = &mut script[at].left {
        *left -= 1;
        if *left == 0 {
            script.remove(at);
        }
    }
    Some(fault)
}

/// What a call meets.
pub(crate) struct Met {
    pub(crate) fault: Option<Fault>,
    cleared: watch::Receiver<u64>,
}

impl Met {
    /// Answers the call: `usual` runs if the fault lets it.
    pub(crate) async fn answer(self, usual: impl FnOnce() -> Response) -> Response {
        match self.fault {
            Some(Fault::Done(fault)) => {
                let done = usual();
                instead(Some(*fault), self.cleared, || done).await
            }
            fault => instead(fault, self.cleared, usual).await,
        }
    }
}

async fn instead(
    fault: Option<Fault>,
    mut cleared: watch::Receiver<u64>,
    usual: impl FnOnce() -> Response,
) -> Response {
    match fault {
        None => usual(),
        Some(Fault::Status {
            status,
            retry_after_seconds,
        }) => scripted_status(status, retry_after_seconds),
        Some(Fault::Json { status, body }) => (status_code(status), Json(body)).into_response(),
        Some(Fault::Hang) => {
            let _ = cleared.changed().await;
            usual()
        }
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            usual()
        }
        Some(Fault::CloseMidBody) => closed_mid_body(),
        Some(Fault::Cut) => cut(),
        Some(Fault::Done(_)) => panic!("a fault is done once"),
        Some(Fault::InvalidJson) => (
            [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
            "{\"ok\":tru",
        )
            .into_response(),
        Some(Fault::Hold(gate)) => {
            gate.passed().await;
            usual()
        }
    }
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a test scripts a status from 100 to 999")
}

fn scripted_status(status: u16, retry_after_seconds: Option<u32>) -> Response {
    let mut response = (status_code(status), format!("scripted status {status}")).into_response();
    if let Some(seconds) = retry_after_seconds {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// hyper gives a connection up, without a byte of the head, if the body fails before anything of it is written.
fn cut() -> Response {
    let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("scripted: cut")) });
    Body::from_stream(broken).into_response()
}

fn closed_mid_body() -> Response {
    let half = stream::once(async { Ok(Bytes::from_static(b"{\"ok\":true,\"chan")) });
    let broken = stream::once(async {
        // While the body is pending the head and the first half go out; without this the caller sees nothing at all.
        tokio::task::yield_now().await;
        Err(std::io::Error::other(
            "scripted: closed in the middle of the body",
        ))
    });
    let body = Body::from_stream(half.chain(broken));
    (
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        body,
    )
        .into_response()
}
