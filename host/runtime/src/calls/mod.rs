//! The way of one host call: named, answered from the record or live, recorded before the guest hears of it.

mod config;
pub(crate) mod endings;
mod http;
mod kv;
mod log;
pub(super) mod random;
pub(crate) mod recorder;
mod slack;
mod spelling;

use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::calls::endings::{Change, Ending, change_of};
use crate::calls::recorder::{cut, masked, micros};
use crate::limits::quota::LimitHit;
use crate::limits::{EFFECT_KEY_BYTES_MAX, RECORDED_READ_BYTES_MAX, TRACE_LINE_BYTES_MAX};
use crate::sandbox::state::{Powers, State, Stop};
use crate::{Answered, Call};
use alert_manager_core::alert::Timestamp;
use alert_manager_core::journal::{CallKind, CallName, Entry, LedgerError, NamedCall};

/// How often a record that the store did not take is tried again. An answer in hand waits.
const RECORD_RETRY: Duration = Duration::from_millis(200);

/// What `describe` is told of everything but `log`.
const NOT_IN_DESCRIBE: &str =
    "describe may only describe: nothing is granted while a module is loaded";

/// One call before it is made.
struct Plan {
    kind: CallKind,
    name: CallName,
    /// One line for people.
    request: String,
    /// True where it changes something outside when it succeeds.
    changes: bool,
    began: Instant,
}

/// What became of a call that was not answered from the record.
struct Done<R> {
    reply: R,
    /// One line for people.
    result: String,
    /// What is known of the change, if it was to make one.
    change: Change,
    answered: Answered,
    preview: Option<serde_json::Value>,
}

/// What a guest hears of a call.
trait Reply: Serialize {
    /// Returns false where it hears of a failure.
    fn is_ok(&self) -> bool;
}

impl<T: Serialize, E: Serialize> Reply for Result<T, E> {
    fn is_ok(&self) -> bool {
        self.is_ok()
    }
}

/// A setting, which may be absent.
impl Reply for Option<String> {
    fn is_ok(&self) -> bool {
        true
    }
}

impl<R> Done<R> {
    fn live(reply: R, result: impl Into<String>) -> Self {
        Self {
            reply,
            result: result.into(),
            change: change_of(Ending::Withheld),
            answered: Answered::Live,
            preview: None,
        }
    }

    fn refused(reply: R, result: impl Into<String>) -> Self {
        Self {
            answered: Answered::Denied,
            ..Self::live(reply, result)
        }
    }
}

/// Returns a guest's text as a line of the story. It is cut first: it may be as long as the guest's memory.
fn one_line(text: &str) -> String {
    let beginning = cut(text, 4 * TRACE_LINE_BYTES_MAX);
    let line = alert_manager_core::text::inert(beginning).replace('\n', " ");
    masked(&line, TRACE_LINE_BYTES_MAX)
}

impl Plan {
    fn new(kind: CallKind, name: CallName, request: String, changes: bool) -> Self {
        Self {
            kind,
            name,
            request: one_line(&request),
            changes,
            began: Instant::now(),
        }
    }

    fn named(&self) -> NamedCall {
        NamedCall {
            kind: self.kind,
            name: self.name.clone(),
            request: self.request.clone(),
        }
    }

    fn entry(
        &self,
        clock: Timestamp,
        seq: u32,
        effect: bool,
        result: String,
        reply: String,
    ) -> Entry {
        Entry {
            seq,
            kind: self.kind,
            name: self.name.clone(),
            effect,
            in_doubt: false,
            request: cut(&self.request, TRACE_LINE_BYTES_MAX).to_owned(),
            result: cut(&result, TRACE_LINE_BYTES_MAX).to_owned(),
            reply,
            at: Timestamp::now(),
            clock,
        }
    }
}

impl State {
    /// Returns the recorded answer to this call; `None` where it is to go out.
    fn recorded<R: DeserializeOwned>(&mut self, plan: &Plan) -> wasmtime::Result<Option<R>> {
        let Some(powers) = &mut self.powers else {
            return Ok(None);
        };
        let Some(entry) = powers.replay.answer(plan.kind, &plan.name) else {
            return Ok(None);
        };
        powers.clock.follow(&powers.replay);
        let reply = serde_json::from_str(&entry.reply).map_err(|error| {
            Stop::Host(format!(
                "the record of call {} ({}) cannot be read: {error}",
                entry.seq, entry.request
            ))
        })?;
        let call = Call {
            kind: plan.kind,
            request: plan.request.clone(),
            result: entry.result,
            // The attempt that repeated it may have been cut off before it could tell.
            answered: if entry.in_doubt {
                Answered::Ambiguous
            } else {
                Answered::Recorded
            },
            duration_us: micros(plan.began.elapsed()),
            preview: None,
        };
        self.recorder.call(call, true);
        Ok(Some(reply))
    }

    /// Sees to it that an effect can be recorded; otherwise it is counted as turned away, by the limit's name.
    fn check_record(&self, kind: CallKind) -> Result<(), LimitHit> {
        let checked = self.powers.as_ref().map_or(Ok(()), Powers::check_record);
        checked.inspect_err(|hit| self.recorder.turned_away(kind, hit.limit))
    }

    /// Notes that the call goes out now.
    fn begin(&mut self, plan: &Plan) {
        let recorded_to = self.powers.as_ref().map_or(0, |p| p.replay.recorded_to());
        self.recorder.begin(plan.named(), plan.changes, recorded_to);
    }

    /// Has the store know which call begins, after one of the same attempt that did not succeed. Costs nothing otherwise.
    async fn note(&mut self, plan: &Plan) -> wasmtime::Result<Result<(), String>> {
        let Some(powers) = &self.powers else {
            return Ok(Err(NOT_IN_DESCRIBE.to_owned()));
        };
        let recorded_to = powers.replay.recorded_to();
        match self.recorder.note(plan.named(), recorded_to) {
            Some(note) => stored(powers.ledger.note(note).await),
            None => Ok(Ok(())),
        }
    }

    /// Records the call, tells the story, and gives the guest its answer.
    async fn finish<R: Reply>(&mut self, plan: Plan, mut done: Done<R>) -> wasmtime::Result<R> {
        done.result = masked(&done.result, TRACE_LINE_BYTES_MAX);
        if let Some(powers) = &mut self.powers {
            match done.change {
                _ if !plan.changes => hold(powers, &plan, &done),
                Change::Made => {
                    let in_doubt = self.recorder.is_in_doubt(plan.kind, &plan.name);
                    if in_doubt && done.answered == Answered::Live {
                        done.answered = Answered::Ambiguous;
                    }
                    record(powers, &plan, &done, in_doubt).await?;
                    self.recorder.carried(plan.kind, &plan.name);
                    self.recorder.recorded(powers.replay.used());
                }
                Change::Unknown => {
                    done.answered = Answered::Ambiguous;
                    let recorded_to = powers.replay.recorded_to();
                    self.recorder.sent(&plan.named(), &done.result, recorded_to);
                }
                // What policy refuses was not under way before either.
                Change::NotSent | Change::Refused if done.answered == Answered::Live => {
                    self.recorder.failed(&plan.named());
                }
                Change::NotSent | Change::Refused => {}
            }
        }
        let call = Call {
            kind: plan.kind,
            request: plan.request,
            result: done.result,
            answered: done.answered,
            duration_us: micros(plan.began.elapsed()),
            preview: done.preview,
        };
        self.recorder.call(call, done.reply.is_ok());
        Ok(done.reply)
    }
}

/// Asks whether an effect may start now. The inner error is for the guest: the store cannot
/// record, so nothing may happen.
fn may_start(powers: Option<&Powers>) -> wasmtime::Result<Result<(), String>> {
    let Some(powers) = powers else {
        return Ok(Err(NOT_IN_DESCRIBE.to_owned()));
    };
    stored(powers.ledger.ready())
}

/// Sorts what the ledger says: the inner error is for the guest.
fn stored(answer: Result<(), LedgerError>) -> wasmtime::Result<Result<(), String>> {
    match answer {
        Ok(()) => Ok(Ok(())),
        Err(error @ LedgerError::Unavailable(_)) => Ok(Err(error.to_string())),
        Err(error @ LedgerError::LeaseLost) => Err(Stop::Host(error.to_string()).into()),
    }
}

/// Makes an effect durable, and the reads before it; returns only once it is.
async fn record<R: Serialize>(
    powers: &mut Powers,
    plan: &Plan,
    done: &Done<R>,
    in_doubt: bool,
) -> wasmtime::Result<()> {
    let reply = serde_json::to_string(&done.reply)
        .map_err(|error| Stop::Host(format!("an answer cannot be recorded: {error}")))?;
    let seq = powers.replay.take_seq();
    let entry = Entry {
        in_doubt,
        ..plan.entry(powers.clock.now(), seq, true, done.result.clone(), reply)
    };
    let room = powers.room_for_reads(entry.bytes());
    let mut entries = powers.replay.held(room);
    entries.push(entry.clone());
    loop {
        match powers.ledger.record(entries.clone()).await {
            Ok(()) => {
                powers.replay.record(&entry);
                return Ok(());
            }
            Err(error @ LedgerError::LeaseLost) => return Err(Stop::Host(error.to_string()).into()),
            // The effect has happened: the guest must not hear of it before the record has.
            Err(LedgerError::Unavailable(_)) => tokio::time::sleep(RECORD_RETRY).await,
        }
    }
}

/// Keeps a read for the record, unless it is too large: then a retry asks again.
fn hold<R: Serialize>(powers: &mut Powers, plan: &Plan, done: &Done<R>) {
    match serde_json::to_string(&done.reply) {
        Ok(reply) if reply.len() <= RECORDED_READ_BYTES_MAX => {
            let seq = powers.replay.take_seq();
            let entry = plan.entry(powers.clock.now(), seq, false, done.result.clone(), reply);
            powers.replay.hold(entry);
        }
        _ => {}
    }
}

/// Names a call: the author's key where there is one, else the digest of `parts`, each with its length.
fn name_of(key: Option<&str>, parts: &[&[u8]]) -> CallName {
    if let Some(key) = key {
        return CallName::Key(key.to_owned());
    }
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    CallName::Digest(crate::hex(&digest[..16]))
}

/// Returns what is wrong with an author's key.
fn check_key(key: Option<&str>) -> Result<(), String> {
    match key {
        Some("") => Err("key: it is empty; leave it out where there is none".to_owned()),
        Some(key) if key.len() > EFFECT_KEY_BYTES_MAX => Err(format!(
            "key: {} bytes, at most {EFFECT_KEY_BYTES_MAX}",
            key.len()
        )),
        _ => Ok(()),
    }
}

/// Distinguishes an absent part from an empty one.
fn optional(part: Option<&[u8]>) -> [&[u8]; 2] {
    match part {
        Some(bytes) => [b"1", bytes],
        None => [b"0", b""],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_its_key_or_by_all_of_its_parts() {
        assert_eq!(name_of(Some("k"), &[b"x"]), CallName::Key("k".to_owned()));
        let name = |parts: &[&[u8]]| name_of(None, parts);
        assert_eq!(name(&[b"a", b"bc"]), name(&[b"a", b"bc"]));
        assert_ne!(name(&[b"a", b"bc"]), name(&[b"ab", b"c"]));
        assert_ne!(name(&optional(None)), name(&optional(Some(b""))));
        let CallName::Digest(digest) = name(&[]) else {
            panic!("a digest");
        };
        assert_eq!(digest.len(), 32);
    }

    #[test]
    fn what_a_story_shows_of_a_call_is_cut_before_anything_is_done_with_it() {
        let long = format!("a\u{1b}\nb {}", "\u{1b}ghp_".repeat(1_000_000));
        let plan = Plan::new(CallKind::Config, name_of(None, &[]), long, false);
        assert!(plan.request.len() <= crate::limits::TRACE_LINE_BYTES_MAX);
        assert!(plan.request.starts_with("a b ghp_"), "{}", plan.request);
    }
}
