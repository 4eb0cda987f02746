//! Requests to the server that has the term, as rows: whoever asks writes one, the one that has the term takes it, does what it says,
//! and writes the answer to it.
//!
//! A request is taken once, before it is done. If the server that has taken it does not answer, it may have been done.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::model::AskError;
use crate::store::StoreError;
use crate::store::mail::{Mail, Request};

use super::arrivals::CHANNEL;
use super::session::Session;
use super::values::{Columns as _, Stored};

/// How many requests are taken at once.
const TAKEN_MAX: i64 = 32;

/// How long a request waits for a server that takes it.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// How long a request waits for its answer in all. Clients wait for 30 s.
const ANSWERED_WITHIN: Duration = Duration::from_secs(25);

/// The requests that this server waits for answers to.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<Sent>);

#[derive(Debug)]
struct Sent {
    number: i64,
    at: Instant,
    is_taken: bool,
    reply: oneshot::Sender<Result<String, AskError>>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets time pass.
    #[cfg(test)]
    pub(super) fn age(&mut self, by: Duration) {
        for sent in &mut self.0 {
            sent.at = sent.at.checked_sub(by).unwrap_or(sent.at);
        }
    }

    /// Sends what is to be asked.
    pub(super) fn send(
        &mut self,
        session: &Session,
        id: i64,
        requests: Vec<Request>,
    ) -> Result<(), StoreError> {
        if requests.is_empty() {
            return Ok(());
        }
        for Request { text, reply } in requests {
            let stored = session.one(
                "INSERT INTO requests (asker, request) VALUES ($1, $2) RETURNING n",
                &[&id, &Stored(&text)],
            );
            match stored.and_then(|row| row.int(0)) {
                Ok(number) => self.0.push(Sent {
                    number,
                    at: Instant::now(),
                    is_taken: false,
                    reply,
                }),
                Err(error) => {
                    let is_stored_perhaps = !session.is_refused();
                    let _ = reply.send(Err(match is_stored_perhaps {
                        true => AskError::Unknown,
                        false => AskError::NotDone(error.to_string()),
                    }));
                }
            }
        }
        session.batch(&format!("NOTIFY {CHANNEL}"))
    }

    /// Takes the answers that are there, and gives up what has waited for too long.
    pub(super) fn receive(&mut self, session: &Session) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let numbers: Vec<i64> = self.0.iter().map(|sent| sent.number).collect();
        let rows = session.query(
            "WITH answered AS (DELETE FROM requests WHERE n = ANY($1) AND answer IS NOT NULL RETURNING n, answer)
             SELECT n, answer, true FROM answered
             UNION ALL SELECT n, NULL, is_taken FROM requests WHERE n = ANY($1) AND answer IS NULL",
            &[&numbers],
        )?;
        let mut open = Vec::with_capacity(self.0.len());
        for mut sent in self.0.drain(..) {
            let mut row = None;
            for each in &rows {
                if each.int(0)? == sent.number {
                    row = Some(each);
                }
            }
            let (answer, is_taken) = match row {
                Some(row) => (row.maybe_text(1)?, row.column(2)?),
                // It is removed if this server was taken off the list.
                None => (None, true),
            };
            sent.is_taken = is_taken;
            match answer {
                Some(answer) => drop(sent.reply.send(Ok(answer))),
                None => open.push(sent),
            }
        }
        self.0 = open;
        self.give_up(session)
    }

    fn give_up(&mut self, session: &Session) -> Result<(), StoreError> {
        let mut open = Vec::with_capacity(self.0.len());
        for sent in std::mem::take(&mut self.0) {
            let age = sent.at.elapsed();
            if !sent.is_taken && age >= TAKEN_WITHIN {
                let withdrawn = session.first(
                    "DELETE FROM requests WHERE n = $1 AND NOT is_taken RETURNING n",
                    &[&sent.number],
                )?;
                if withdrawn.is_some() {
                    let why = "no replica has the term now, which decides".to_owned();
                    drop(sent.reply.send(Err(AskError::NotDone(why))));
                    continue;
                }
            }
            match age >= ANSWERED_WITHIN {
                true => drop(sent.reply.send(Err(AskError::Unknown))),
                false => open.push(sent),
            }
        }
        self.0 = open;
        Ok(())
    }

    /// Ends the wait for all answers: the connection is lost.
    pub(super) fn lose(&mut self, mail: &Mail) {
        for Request { reply, .. } in mail.take_requests() {
            let why = "the database does not answer".to_owned();
            drop(reply.send(Err(AskError::NotDone(why))));
        }
        self.0.retain(|sent| sent.at.elapsed() < ANSWERED_WITHIN);
    }
}

/// Takes requests of others, if this server has the term, and hands them on.
pub(super) fn take(session: &Session, server: i64, mail: &Mail) -> Result<(), StoreError> {
    let rows = session.query(
        "UPDATE requests SET is_taken = true
         WHERE n IN (SELECT n FROM requests WHERE NOT is_taken ORDER BY n LIMIT $2 FOR UPDATE SKIP LOCKED)
             AND EXISTS (SELECT FROM term WHERE term.server = $1)
         RETURNING n, request",
        &[&server, &TAKEN_MAX],
    )?;
    let request = |row: &tokio_postgres::Row| Ok((row.int(0)?, row.text(1)?));
    let requests = rows
        .iter()
        .map(request)
        .collect::<Result<Vec<_>, StoreError>>();
    let mut requests = requests?;
    requests.sort_unstable_by_key(|(number, _)| *number);
    for (number, request) in requests {
        mail.deliver(number, request);
    }
    Ok(())
}

/// Stores the answers to requests of others.
pub(super) fn answer(session: &Session, answers: &[(i64, String)]) -> Result<(), StoreError> {
    if answers.is_empty() {
        return Ok(());
    }
    for (number, answer) in answers {
        session.query(
            "UPDATE requests SET answer = $2 WHERE n = $1",
            &[number, &Stored(answer)],
        )?;
    }
    session.batch(&format!("NOTIFY {CHANNEL}"))
}

/// Removes what servers have asked that are not listed any more.
pub(super) fn tidy(session: &Session) -> Result<(), StoreError> {
    session
        .query(
            "DELETE FROM requests WHERE asker NOT IN (SELECT id FROM replicas)",
            &[],
        )
        .map(drop)
}
