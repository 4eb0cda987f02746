//! The thread by which a server watches the database: whether something has arrived for it, which other servers there are, and what they
//! ask each other. It has a connection of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::store::mail::Bell;
use crate::store::{StoreError, Watched};

use super::arrivals::{Arriving, CHANNEL};
use super::database::Database;
use super::mail::{self, Waiting};
use super::roster;
use super::session::{Io, Purpose, Session};
use super::term::BEAT_EVERY;
use super::values::Columns as _;

/// How often a server looks, if it is not notified.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The same while a request or an answer is under way.
const LOOK_FOR_MAIL_EVERY: Duration = Duration::from_millis(20);

/// What the thread has.
pub(super) struct Watch {
    pub(super) io: Arc<Io>,
    pub(super) database: Database,
    pub(super) arriving: Arc<Arriving>,
    pub(super) shared: Watched,
    /// Is called if a transaction is due because something has arrived.
    pub(super) wake: Box<dyn Fn() + Send>,
}

/// A thread that watches. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watching {
    /// A message has the thread take the server off the list first.
    ends: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Watching {
    /// Takes the server off the list, and ends the thread.
    pub(super) fn leave(self) {
        // Otherwise it is taken off by others after a time.
        let _ = self.ends.send(());
        let _ = self.thread.join();
    }
}

/// What lasts as long as a connection.
struct Connected {
    session: Session,
    beat_at: Option<Instant>,
    /// Whether this server is on the list. What one that is not there asks is removed by the others.
    is_listed: bool,
}

impl Watch {
    pub(super) fn start(self) -> Result<Watching, StoreError> {
        let (ends, ended) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || self.run(&ended))
            .map_err(|e| StoreError::Away(format!("the system does not start a thread: {e}")))?;
        Ok(Watching { ends, thread })
    }

    fn run(self, ended: &mpsc::Receiver<()>) {
        let mut connected = None;
        let mut waiting = Waiting::default();
        loop {
            match ended.try_recv() {
                Err(TryRecvError::Empty) => {}
                Ok(()) => {
                    if let Some(Connected { session, .. }) = &connected {
                        let _ = roster::leave(session, self.shared.roster.id());
                    }
                    return;
                }
                Err(TryRecvError::Disconnected) => return,
            }
            // The writer reports that the database is away.
            if self.look(&mut connected, &mut waiting).is_err() {
                connected = None;
                waiting.lose(&self.shared.mail);
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    fn connect(&self) -> Result<Connected, StoreError> {
        let session = Session::connect(&self.io, &self.database, Purpose::Read)?;
        // What is written here need not outlive the database. A stricter setting would have it wait for a standby.
        session.batch(&format!("SET synchronous_commit = off; LISTEN {CHANNEL}"))?;
        let bell = session.bell();
        self.shared
            .mail
            .set_bell(Bell(Arc::new(move || bell.notify_one())));
        Ok(Connected {
            session,
            beat_at: None,
            is_listed: false,
        })
    }

    /// Waits until this server is notified, or for a time, and looks at everything.
    fn look(
        &self,
        connected: &mut Option<Connected>,
        waiting: &mut Waiting,
    ) -> Result<(), StoreError> {
        let Connected {
            session,
            beat_at,
            is_listed,
        } = match connected {
            Some(connected) => connected,
            None => connected.insert(self.connect()?),
        };
        let Watched { roster, mail } = &self.shared;
        let is_under_way = !waiting.is_empty() || mail.is_answering();
        if beat_at.is_some() {
            session.wait_for_notice(match is_under_way {
                true => LOOK_FOR_MAIL_EVERY,
                false => LOOK_EVERY,
            });
        }
        if beat_at.is_none_or(|at| at.elapsed() >= BEAT_EVERY) {
            *beat_at = Some(Instant::now());
            let server = self.arriving.server.load(Ordering::SeqCst);
            *is_listed = roster::beat(session, roster, server)?;
            mail::tidy(session)?;
        }
        if *is_listed {
            waiting.send(session, roster.id(), mail.take_requests())?;
        }
        waiting.receive(session)?;
        mail::answer(session, &mail.take_answers())?;
        self.look_for_arrivals(session)
    }

    fn look_for_arrivals(&self, session: &Session) -> Result<(), StoreError> {
        if !self.arriving.leads.load(Ordering::SeqCst) {
            return Ok(());
        }
        let row = session.one(
            "SELECT EXISTS (SELECT FROM arrivals), EXISTS (SELECT FROM requests WHERE NOT is_taken)",
            &[],
        )?;
        if row.column(0)? {
            self.arriving.set_due(true);
        }
        let mail = &self.shared.mail;
        if row.column(1)? && mail.is_answered() {
            let server = self.arriving.server.load(Ordering::SeqCst);
            mail::take(session, server, mail)?;
        }
        // Also if the term is over.
        if self.arriving.is_due() {
            (self.wake)();
        }
        Ok(())
    }
}
