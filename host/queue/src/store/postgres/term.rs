//! The term: which server schedules and runs.
//!
//! The row of the term names its holder, and has a number that each holder raises (its epoch). Every transaction of the store locks that
//! row against change and compares the number, so one that was begun before a take-over ends before it, and none is begun after it.
//!
//! No stored time is compared with a clock. The holder shows that it lives by a counter, which it raises each second. Another server
//! watches the counter for a time of its own before it takes over, and first ends the processes of the database that serve the holder:
//! the lock of a holder that is suspended would block it otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::failpoint::Failpoint;
use crate::model::LastEnd;
use crate::store::{Hold, StoreError};

use super::arrivals::Arriving;
use super::database::Database;
use super::session::{Call, Io, Purpose, Session, args};
use super::values::Columns as _;

/// The lane of the connection that writes.
pub(super) const WRITER: i64 = 0;

/// The lane of the connection that shows that the server lives.
const BEATS: i64 = 1;

/// The lane of the connection by which a server without the term accepts.
pub(super) const ACCEPTS: i64 = 2;

/// How often the holder shows that it lives.
pub(super) const BEAT_EVERY: Duration = Duration::from_secs(1);

/// After which time without an answered beat the holder begins no effect. It is shorter than [`Patience::still`], so that a successor
/// finds none that is under way without being on record.
const EFFECTS_UNTIL: Duration = Duration::from_secs(4);

/// The rows of how many epochs are kept: a former holder may still ask what became of its last commit.
const FORMER_MAX: i64 = 10;

/// How long a server waits for a holder that does not show that it lives. Only tests use other values than the defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// If no process of the database serves the holder: it was killed, or connects anew.
    pub(crate) gone: Duration,
    /// If one does: the holder is suspended, or cut off.
    pub(crate) still: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            gone: Duration::from_secs(3),
            still: Duration::from_secs(6),
        }
    }
}

/// Why the term was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TermError {
    /// Another server was faster.
    #[error("another server has the term")]
    Held,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The term, as it is held.
#[derive(Debug)]
pub(super) struct Term {
    server: i64,
    epoch: i64,
    last_end: LastEnd,
    beating: Arc<Beating>,
    /// Ends the thread of the beats when it is dropped.
    _beats: mpsc::Sender<()>,
}

/// What the beats have shown.
#[derive(Debug)]
struct Beating {
    /// When the last answered beat was sent, in milliseconds of the clock that does not stop while the machine sleeps.
    sent_ms: AtomicI64,
    is_over: AtomicBool,
    /// Has a holder that has nothing to write begin a transaction, by which it learns that its term is over.
    arriving: Arc<Arriving>,
}

/// The holder of the term, as another server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    epoch: i64,
    server: i64,
    beat: i64,
}

impl Term {
    /// Takes the term, which was seen to be vacant. `session` becomes the connection that writes.
    pub(super) fn take(
        io: &Arc<Io>,
        database: &Database,
        session: &Session,
        vacant: Vacant,
        arriving: &Arc<Arriving>,
    ) -> Result<Self, TermError> {
        let Vacant { epoch, last_end } = vacant;
        let server = rand::random::<i64>();
        let sent_ms = boot_ms();
        let epoch = raise(session, epoch, server)?;
        let beating = Arc::new(Beating {
            sent_ms: AtomicI64::new(sent_ms),
            is_over: AtomicBool::new(false),
            arriving: Arc::clone(arriving),
        });
        let beats = start_beats(io, database, server, &beating)?;
        Ok(Self {
            server,
            epoch,
            last_end,
            beating,
            _beats: beats,
        })
    }

    pub(super) fn server(&self) -> i64 {
        self.server
    }

    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Returns how the holder before has ended.
    pub(super) fn last_end(&self) -> LastEnd {
        self.last_end
    }

    /// Returns what says whether this server may begin an effect.
    pub(super) fn hold(&self) -> Hold {
        let beating = Arc::clone(&self.beating);
        Hold::new(move || beating.check())
    }

    /// Returns what gives the term back.
    pub(super) fn give_back<'a>(&self) -> Call<'a> {
        Call::new(
            "UPDATE term SET server = NULL, ended_in_order = true WHERE epoch = $1",
            args![self.epoch],
        )
    }
}

impl Beating {
    fn check(&self) -> Result<(), String> {
        if Failpoint::Unfenced.is_set() {
            return Ok(());
        }
        if self.is_over.load(Ordering::SeqCst) {
            return Err(StoreError::Fenced.to_string());
        }
        let age_ms = boot_ms() - self.sent_ms.load(Ordering::SeqCst);
        match u128::from(age_ms.unsigned_abs()) > EFFECTS_UNTIL.as_millis() {
            true => Err(format!(
                "the database has not answered for {EFFECTS_UNTIL:?}: another server may have taken over"
            )),
            false => Ok(()),
        }
    }
}

/// Returns the milliseconds since the machine was started, with those in which it slept or this process was suspended.
fn boot_ms() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// What a server sees of the term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nobody has it: nobody ever had, the last holder gave it back, or it has not shown for long enough that it lives.
    Vacant(Vacant),
    /// The holder has not shown that it lives since the first look, or the look after it was seen to.
    Silent,
    /// The holder has shown that it lives.
    Lives,
}

/// The term, if nobody has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vacant {
    epoch: i64,
    last_end: LastEnd,
}

/// Watches the holder. The time in which it does not show that it lives is this server's own, and counts only while this server has
/// answers.
#[derive(Debug, Default)]
pub(super) struct Observer {
    /// The holder as it was seen, and since when it has not changed.
    still: Option<(Holder, Instant)>,
    looked: Option<Instant>,
}

/// The longest time between two looks after which the first still counts: this server may have been suspended, or cut off.
const LOOKS_APART_MAX: Duration = Duration::from_secs(2);

impl Observer {
    /// Looks at the term. Ends the processes of the database that serve a holder that counts as gone.
    pub(super) fn look(
        &mut self,
        session: &Session,
        patience: Patience,
    ) -> Result<Seen, StoreError> {
        let row = session.one(
            "SELECT t.epoch, t.server, t.ended_in_order, coalesce(s.beat, 0),
                 (SELECT count(*) FROM lanes l JOIN pg_stat_activity a
                      ON a.pid = l.pid AND a.backend_start IS NOT DISTINCT FROM l.backend_start
                  WHERE l.server = t.server)
             FROM term t LEFT JOIN servers s ON s.server = t.server",
            &[],
        )?;
        let now = Instant::now();
        let last_look = self.looked.replace(now);
        let epoch = row.int(0)?;
        let Some(server) = row.maybe_int(1)? else {
            let in_order: bool = row.column(2)?;
            let last_end = match (epoch, in_order) {
                (0, _) => LastEnd::None,
                (_, true) => LastEnd::Clean,
                (_, false) => LastEnd::Crash,
            };
            return Ok(Seen::Vacant(Vacant { epoch, last_end }));
        };
        let seen = Holder {
            epoch,
            server,
            beat: row.int(3)?,
        };
        let is_continuous = last_look.is_some_and(|at| now - at <= LOOKS_APART_MAX);
        let (holder, since) = match self.still {
            Some(still) if is_continuous => still,
            _ => (seen, now),
        };
        if seen != holder {
            self.still = Some((seen, now));
            return Ok(Seen::Lives);
        }
        self.still = Some((holder, since));
        let is_gone = row.int(4)? == 0 && since.elapsed() >= patience.gone;
        if !is_gone && since.elapsed() < patience.still {
            return Ok(Seen::Silent);
        }
        session.query(
            "SELECT pg_terminate_backend(l.pid) FROM lanes l JOIN pg_stat_activity a
                 ON a.pid = l.pid AND a.backend_start IS NOT DISTINCT FROM l.backend_start
             WHERE l.server = $1",
            &[&server],
        )?;
        self.still = None;
        let last_end = LastEnd::Crash;
        Ok(Seen::Vacant(Vacant { epoch, last_end }))
    }

    /// Looks until it is clear whether the term is vacant.
    pub(super) fn wait(
        &mut self,
        session: &Session,
        patience: Patience,
    ) -> Result<Option<Vacant>, StoreError> {
        loop {
            match self.look(session, patience)? {
                Seen::Vacant(vacant) => return Ok(Some(vacant)),
                Seen::Lives => return Ok(None),
                Seen::Silent => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

/// Makes this server the holder; returns the new epoch.
fn raise(session: &Session, epoch: i64, server: i64) -> Result<i64, TermError> {
    let [its_row, its_lane] = added(server, WRITER);
    let calls = [
        Call::new("BEGIN", args![]),
        Call::new(
            "UPDATE term SET epoch = epoch + 1, server = $2, ended_in_order = false
             WHERE epoch = $1 RETURNING epoch",
            args![epoch, server],
        ),
        its_row,
        its_lane,
        Call::new(
            "DELETE FROM lanes WHERE server IN (SELECT server FROM servers WHERE epoch < $1)",
            args![epoch - FORMER_MAX],
        ),
        Call::new(
            "DELETE FROM servers WHERE epoch < $1",
            args![epoch - FORMER_MAX],
        ),
    ];
    let raised = session.together(&calls);
    let rows = match raised {
        Ok(mut rows) => rows.swap_remove(1),
        Err(error) => {
            // The error before is the one to report.
            let _ = session.batch("ROLLBACK");
            return Err(error.into());
        }
    };
    let Some(row) = rows.first() else {
        // Another server was faster.
        session.batch("ROLLBACK")?;
        return Err(TermError::Held);
    };
    let raised = row.int(0)?;
    session.batch("COMMIT")?;
    Ok(raised)
}

/// Returns what notes which process of the database serves a lane, and returns the number of the lane's transactions. It waits for a
/// transaction of the connection before that has not ended yet.
pub(super) fn served<'a>(server: i64, lane: i64) -> Call<'a> {
    Call::new(
        "UPDATE lanes SET pid = a.pid, backend_start = a.backend_start
         FROM (SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS a
         WHERE server = $1 AND lane = $2 RETURNING n",
        args![server, lane],
    )
}

/// Returns what adds a server of the present term, with the lane that this connection serves.
fn added<'a>(server: i64, lane: i64) -> [Call<'a>; 2] {
    [
        Call::new(
            "INSERT INTO servers (server, epoch) SELECT $1, epoch FROM term",
            args![server],
        ),
        Call::new(
            "INSERT INTO lanes (server, lane, pid, backend_start)
             SELECT $1, $2, pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()",
            args![server, lane],
        ),
    ]
}

/// Adds a server that has not the term.
pub(super) fn join(session: &Session, server: i64) -> Result<(), StoreError> {
    let [its_row, its_lane] = added(server, ACCEPTS);
    let calls = [
        Call::new("BEGIN", args![]),
        its_row,
        its_lane,
        Call::new("COMMIT", args![]),
    ];
    session.together(&calls).map(drop)
}

/// Returns what shows that a server without the term lives. Its row is as young as the term, so that it is not removed.
pub(super) fn lives<'a>(server: i64) -> Call<'a> {
    Call::new(
        "UPDATE servers SET beat = beat + 1, epoch = (SELECT epoch FROM term) WHERE server = $1",
        args![server],
    )
}

/// Returns what removes a server without the term.
pub(super) fn leave<'a>(server: i64) -> [Call<'a>; 2] {
    [
        Call::new("DELETE FROM lanes WHERE server = $1", args![server]),
        Call::new("DELETE FROM servers WHERE server = $1", args![server]),
    ]
}

/// Starts the thread that shows that the server lives. It has a connection of its own, and ends when the sender is dropped.
fn start_beats(
    io: &Arc<Io>,
    database: &Database,
    server: i64,
    beating: &Arc<Beating>,
) -> Result<mpsc::Sender<()>, StoreError> {
    let (sender, ended) = mpsc::channel();
    let (io, database, beating) = (Arc::clone(io), database.clone(), Arc::clone(beating));
    std::thread::Builder::new()
        .name("term".into())
        .spawn(move || {
            let mut session = None;
            while ended.recv_timeout(BEAT_EVERY) == Err(RecvTimeoutError::Timeout) {
                // The writer reports that the database is away.
                if beat(&io, &database, server, &beating, &mut session).is_err() {
                    session = None;
                }
            }
        })
        .map_err(|e| StoreError::Away(format!("the system does not start a thread: {e}")))?;
    Ok(sender)
}

fn beat(
    io: &Arc<Io>,
    database: &Database,
    server: i64,
    beating: &Beating,
    session: &mut Option<Session>,
) -> Result<(), StoreError> {
    let session = match session {
        Some(session) => session,
        None => {
            let new = Session::connect(io, database, Purpose::Write)?;
            new.query(
                "INSERT INTO lanes (server, lane, pid, backend_start)
                 SELECT $1, $2, pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()
                 ON CONFLICT (server, lane) DO UPDATE
                     SET pid = excluded.pid, backend_start = excluded.backend_start",
                &[&server, &BEATS],
            )?;
            session.insert(new)
        }
    };
    let sent_ms = boot_ms();
    let row = session.first(
        "UPDATE servers s SET beat = s.beat + 1 FROM term t
         WHERE s.server = $1 RETURNING t.server IS NOT DISTINCT FROM $1",
        &[&server],
    )?;
    let is_ours = match row {
        Some(row) => row.column(0)?,
        None => false,
    };
    match is_ours {
        true => beating.sent_ms.store(sent_ms, Ordering::SeqCst),
        false => {
            beating.is_over.store(true, Ordering::SeqCst);
            beating.arriving.set_due(true);
        }
    }
    Ok(())
}
