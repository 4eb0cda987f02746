//! A server of several on one database: it accepts alerts for the one that has the term, and takes the term if nobody has it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::clock::Clock;
use crate::model::{Arrived, Audited, Elsewhere, GrantsUsed, OpenError, Options};
use crate::store::{Committed, Reader, Replica, Resolved, StoreError, Watched};

use super::arrivals::{self, Arriving, CHANNEL};
use super::database::Database;
use super::lane::Lane;
use super::reader::PostgresReader;
use super::retention::Retention;
use super::session::{Call, Io, Purpose, Session, args};
use super::term::{self, ACCEPTS, BEAT_EVERY, Observer, Seen, Term, TermError, Vacant, WRITER};
use super::watch::{Watch, Watching};
use super::{
    PostgresStore, Settings, audit, connect, elsewhere, failed, grants, meta, path, whole,
};

/// A server on a database, whether it has the term or not.
#[derive(Debug)]
pub(crate) struct PostgresReplica {
    io: Arc<Io>,
    database: Database,
    settings: Settings,
    options: Options,
    clock: Clock,
    reader: Arc<PostgresReader>,
    observer: Observer,
    /// The lane by which it accepts for others; absent while it has the term, or the database is away.
    accepts: Option<Accepts>,
    arriving: Arc<Arriving>,
    /// Ends the thread that watches the database when it is dropped.
    watching: Option<Watching>,
}

/// What a server without the term has.
#[derive(Debug)]
struct Accepts {
    server: i64,
    lane: Lane,
}

impl PostgresReplica {
    /// Connects to a database, and makes or migrates the tables.
    ///
    /// # Errors
    /// If the database does not answer, is too old or read-only, or has tables of a newer version.
    pub(crate) fn open(
        database: &Database,
        settings: Settings,
        options: &Options,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let (io, session) = connect(database)?;
        if whole::is_unfinished(&session).map_err(|error| failed(database, &error))? {
            return Err(OpenError::Unfinished(path(database)));
        }
        let bounds = options.bounds.clone();
        let reader = PostgresReader::new(Arc::clone(&io), database.clone(), bounds);
        Ok(Self {
            io,
            database: database.clone(),
            settings,
            options: options.clone(),
            clock,
            reader: Arc::new(reader),
            observer: Observer::default(),
            accepts: None,
            arriving: Arc::default(),
            watching: None,
        })
    }

    /// Takes the term, unless the server that has it shows that it lives. Waits as long as it takes to see that.
    pub(crate) fn wait_for_term(&mut self) -> Result<Option<PostgresStore>, StoreError> {
        let session = self.connect()?;
        match self.observer.wait(&session, self.settings.patience)? {
            Some(vacant) => self.take_term(session, vacant),
            None => Ok(None),
        }
    }

    fn connect(&self) -> Result<Session, StoreError> {
        Session::connect(&self.io, &self.database, Purpose::Write)
    }

    fn take_term(
        &mut self,
        session: Session,
        vacant: Vacant,
    ) -> Result<Option<PostgresStore>, StoreError> {
        let term = match Term::take(&self.io, &self.database, &session, vacant, &self.arriving) {
            Ok(term) => term,
            Err(TermError::Held) => return Ok(None),
            Err(TermError::Store(error)) => return Err(error),
        };
        let lane = (term.server(), WRITER);
        let lane = Lane::new(&self.io, &self.database, lane, session);
        self.leave_others();
        self.arriving.server.store(term.server(), Ordering::SeqCst);
        self.arriving.leads.store(true, Ordering::SeqCst);
        // Something may have been stored before.
        self.arriving.set_due(true);
        Ok(Some(PostgresStore {
            database: self.database.clone(),
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            options: self.options.clone(),
            term,
            lane,
            arriving: Arc::clone(&self.arriving),
            retention: Retention::new(),
            reader: Arc::clone(&self.reader),
        }))
    }

    /// Takes this server out of those without the term.
    fn leave_others(&mut self) {
        let Some(Accepts { server, lane }) = self.accepts.take() else {
            return;
        };
        // Otherwise its rows are removed after some take-overs.
        let _ = lane
            .session()
            .and_then(|session| session.together(&term::leave(server)));
    }

    /// Returns the lane by which this server accepts; connects, if it has none.
    fn accepts(&mut self) -> Result<&mut Accepts, StoreError> {
        let accepts = match self.accepts.take() {
            Some(accepts) => accepts,
            None => {
                let session = self.connect()?;
                let server = rand::random::<i64>();
                term::join(&session, server)?;
                self.arriving.server.store(server, Ordering::SeqCst);
                let lane = Lane::new(&self.io, &self.database, (server, ACCEPTS), session);
                Accepts { server, lane }
            }
        };
        let accepts = self.accepts.insert(accepts);
        match accepts.lane.ensure() {
            Ok(()) => {}
            // Its rows are removed: it was away for long.
            Err(StoreError::Fenced) => {
                self.accepts = None;
                return Err(StoreError::Away("this server has to join again".into()));
            }
            Err(error) => return Err(error),
        }
        self.accepts
            .as_mut()
            .ok_or_else(|| StoreError::Away("the connection to the database is lost".into()))
    }

    fn begin_forward(
        &mut self,
        arrived: &[Arrived],
        audited: &[Audited],
    ) -> Result<(), StoreError> {
        let Accepts { server, lane } = self.accepts()?;
        let mut calls = vec![
            Call::new("BEGIN", args![]),
            lane.raise(),
            arrivals::put(*server, arrived)?,
        ];
        calls.extend(audited.iter().map(audit::put));
        let rows = match lane.session()?.together(&calls) {
            Ok(rows) => rows,
            Err(error) => {
                lane.roll_back();
                return Err(error);
            }
        };
        if rows[1].is_empty() {
            lane.roll_back();
            self.accepts = None;
            return Err(StoreError::Away("this server has to join again".into()));
        }
        Ok(())
    }
}

impl Replica for PostgresReplica {
    type Held = PostgresStore;

    const CAMPAIGN_EVERY: Duration = BEAT_EVERY;

    fn campaign(&mut self) -> Result<Option<PostgresStore>, StoreError> {
        self.arriving.leads.store(false, Ordering::SeqCst);
        let Accepts { server, lane } = self.accepts()?;
        let (server, session) = (*server, lane.session()?);
        session.together(&[term::lives(server)])?;
        let patience = self.settings.patience;
        let accepts = self.accepts.as_ref();
        let lane = accepts.map(|accepts| accepts.lane.session()).transpose()?;
        let seen = match lane {
            Some(session) => self.observer.look(session, patience)?,
            None => Seen::Silent,
        };
        match seen {
            Seen::Vacant(vacant) => {
                let session = self.connect()?;
                self.take_term(session, vacant)
            }
            Seen::Silent | Seen::Lives => Ok(None),
        }
    }

    fn forward(&mut self, arrived: &[Arrived], audited: &[Audited]) -> Committed {
        let mut begun = self.begin_forward(arrived, audited);
        let is_lost = |accepts: &Accepts| accepts.lane.is_lost();
        if begun.is_err() && self.accepts.as_ref().is_none_or(is_lost) {
            // The database may have closed the connection while it was idle.
            begun = self.begin_forward(arrived, audited);
        }
        if let Err(error) = begun {
            return Committed::RolledBack(error);
        }
        match &mut self.accepts {
            Some(accepts) => accepts.lane.commit(Vec::new()),
            None => Committed::Unknown,
        }
    }

    fn resolve(&mut self) -> Result<Resolved, StoreError> {
        match &mut self.accepts {
            Some(accepts) => accepts.lane.resolve(),
            None => Ok(Resolved::RolledBack),
        }
    }

    fn notify(&mut self) {
        if let Some(accepts) = &self.accepts {
            // Without it the other server looks a little later.
            let _ = accepts
                .lane
                .session()
                .and_then(|session| session.batch(&format!("NOTIFY {CHANNEL}")));
        }
    }

    fn count(&mut self, most: usize) -> Result<Elsewhere, StoreError> {
        elsewhere::count(self.accepts()?.lane.session()?, most)
    }

    fn watch(&mut self, shared: Watched, wake: Box<dyn Fn() + Send>) -> Result<(), StoreError> {
        let watch = Watch {
            io: Arc::clone(&self.io),
            database: self.database.clone(),
            arriving: Arc::clone(&self.arriving),
            shared,
            wake,
        };
        self.watching = Some(watch.start()?);
        Ok(())
    }

    fn refused(&self, error: StoreError) -> OpenError {
        failed(&self.database, &error)
    }

    fn common(&self) -> Result<([u8; 32], GrantsUsed), StoreError> {
        let session = self.connect()?;
        Ok((meta::secret(&session)?, grants::used(&session)?))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as _
    }

    fn leave(mut self) {
        self.leave_others();
        if let Some(watching) = self.watching.take() {
            watching.leave();
        }
    }
}
