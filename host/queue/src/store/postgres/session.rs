//! A connection to the database, used from a thread that blocks.
//!
//! The sockets are driven by a small runtime of their own. The caller's thread waits for an answer without one, so that a call is
//! allowed on any thread, also within another runtime.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::poll_fn;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio_postgres::error::Severity;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Row, SimpleQueryMessage, Statement};

use crate::store::StoreError;

use super::database::Database;
use super::errors;
use super::tls::Tls;

/// The schema of all tables.
pub(super) const SCHEMA: &str = "alert_manager";

/// After which time a call counts as not answered. The server ends a statement earlier ([`STATEMENT_TIMEOUT`]).
const CALL_TIME_MAX: Duration = Duration::from_secs(20);

/// After which time the server ends a statement, so that the connection can be used again.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a statement waits for a lock of another transaction.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// After which time the server ends a transaction whose client has stopped, such as a process that is suspended.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);

/// A statement is prepared once for each connection. Those of lists have many forms.
const STATEMENTS_MAX: usize = 256;

/// The arguments of a statement.
pub(super) type Args<'a> = Vec<Box<dyn ToSql + Sync + 'a>>;

/// Collects the arguments of a statement.
macro_rules! args {
    ($($arg:expr),* $(,)?) => {
        vec![$(Box::new($arg) as Box<dyn tokio_postgres::types::ToSql + Sync + '_>),*]
    };
}
pub(super) use args;

/// A statement with its arguments, to be sent with others.
pub(super) struct Call<'a> {
    sql: Cow<'static, str>,
    args: Args<'a>,
}

impl<'a> Call<'a> {
    pub(super) fn new(sql: impl Into<Cow<'static, str>>, args: Args<'a>) -> Self {
        Self {
            sql: sql.into(),
            args,
        }
    }
}

/// Drives the sockets of all connections, on one thread.
#[derive(Debug)]
pub(super) struct Io(Option<Runtime>);

impl Io {
    pub(super) fn start() -> Result<Arc<Self>, StoreError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(|e| StoreError::Away(format!("the system does not start a thread: {e}")))?;
        Ok(Arc::new(Self(Some(runtime))))
    }

    fn runtime(&self) -> Option<&Runtime> {
        self.0.as_ref()
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        // The last handle may be dropped within another runtime, where nothing may wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Changes the store.
    Write,
    /// Answers queries.
    Read,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    /// Is notified when the database sends a notification.
    heard: Arc<Notify>,
    /// The last warning of the database. It comes before the answer that it is about.
    warning: Arc<Mutex<Option<String>>>,
    statements: RefCell<HashMap<Cow<'static, str>, Statement>>,
    /// True if an answer has not come in time: a later one would be taken for another's.
    is_lost: Cell<bool>,
    /// True if the last call was answered with an error that the database has found while it goes on.
    is_refused: Cell<bool>,
}

impl Session {
    /// Connects, reads the password and the certificates again, and checks that the server can hold a store.
    pub(super) fn connect(
        io: &Arc<Io>,
        database: &Database,
        purpose: Purpose,
    ) -> Result<Self, StoreError> {
        let tls = Tls::of(database)?;
        let config = database.config()?;
        let Some(runtime) = io.runtime() else {
            return Err(StoreError::Away("the connection is closed".into()));
        };
        let connecting = runtime.spawn(async move {
            let (client, mut connection) = config.connect(tls).await?;
            let heard = Arc::new(Notify::new());
            let hears = Arc::clone(&heard);
            let warning = Arc::default();
            let warned: Arc<Mutex<Option<String>>> = Arc::clone(&warning);
            tokio::spawn(async move {
                let mut messages = pin!(poll_fn(move |context| connection.poll_message(context)));
                // How a connection ends is reported to whoever waits for an answer.
                while let Some(Ok(message)) = messages.next().await {
                    match message {
                        AsyncMessage::Notification(_) => hears.notify_one(),
                        AsyncMessage::Notice(notice)
                            if notice.parsed_severity() == Some(Severity::Warning) =>
                        {
                            *warned.lock() = Some(notice.message().to_owned());
                        }
                        _ => {}
                    }
                }
            });
            Ok::<_, tokio_postgres::Error>((client, heard, warning))
        });
        let time_max = database.connect_time_max() + Duration::from_secs(1);
        let (client, heard, warning) = match block_on(connecting, Instant::now() + time_max) {
            Some(Ok(connected)) => connected.map_err(|e| errors::of_connect(database, &e))?,
            Some(Err(_)) => return Err(StoreError::Away("the connection is closed".into())),
            None => {
                let why = format!("{database} does not answer within {time_max:?}");
                return Err(StoreError::Away(why));
            }
        };
        let session = Self {
            client,
            heard,
            warning,
            statements: RefCell::default(),
            is_lost: Cell::new(false),
            is_refused: Cell::new(false),
        };
        session.set_up(purpose)?;
        Ok(session)
    }

    fn set_up(&self, purpose: Purpose) -> Result<(), StoreError> {
        let millis = |time: Duration| time.as_millis();
        let mut settings = format!(
            "SET search_path = {SCHEMA}, pg_temp;
             SET statement_timeout = {};
             SET lock_timeout = {};
             SET idle_in_transaction_session_timeout = {};
             SET default_transaction_isolation = 'read committed';
             SET jit = off;",
            millis(STATEMENT_TIMEOUT),
            millis(LOCK_TIMEOUT),
            millis(IDLE_IN_TRANSACTION_TIMEOUT),
        );
        if purpose == Purpose::Write {
            // A role can turn durability off; a stricter setting stays. Young tables have no statistics, by which the planner would
            // read all of a table instead of the few rows of a group.
            settings.push_str(
                "SELECT set_config('synchronous_commit', 'on', false)
                     WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
                 SET enable_seqscan = off;
                 SET plan_cache_mode = force_generic_plan;",
            );
        }
        self.batch(&settings)
    }

    /// Returns true if nothing more can be sent.
    pub(super) fn is_closed(&self) -> bool {
        self.is_lost.get() || self.client.is_closed()
    }

    /// Returns true if the last call was answered with an error. If it is not, the call may have had its effect.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.get()
    }

    /// Waits for a notification on a channel that this connection listens to, at most for `time_max`.
    pub(super) fn wait_for_notice(&self, time_max: Duration) {
        let _ = block_on(self.heard.notified(), Instant::now() + time_max);
    }

    /// Returns the last warning of the database since this was last asked; nothing if there was none.
    pub(super) fn take_warning(&self) -> Option<String> {
        self.warning.lock().take()
    }

    /// Returns the process of the database that serves this connection now, without a statement that it would have to know.
    pub(super) fn backend(&self) -> Result<String, StoreError> {
        let answer = self.wait(self.client.simple_query("SELECT pg_backend_pid()"))?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        row.ok_or_else(|| StoreError::Fatal("a row is missing".into()))
    }

    /// Returns what ends a wait for a notification early.
    pub(super) fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.heard)
    }

    /// Runs statements without arguments and results.
    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.wait(self.client.batch_execute(sql))
    }

    /// Runs a statement, and returns its rows.
    pub(super) fn query(
        &self,
        sql: impl Into<Cow<'static, str>>,
        args: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(sql.into())?;
        self.wait(self.client.query(&statement, args))
    }

    /// Runs a statement, and returns its only row.
    pub(super) fn one(
        &self,
        sql: impl Into<Cow<'static, str>>,
        args: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, StoreError> {
        let row = self.first(sql, args)?;
        row.ok_or_else(|| StoreError::Fatal("a row is missing".into()))
    }

    /// Runs a statement, and returns its first row, if it has one.
    pub(super) fn first(
        &self,
        sql: impl Into<Cow<'static, str>>,
        args: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, args)?.into_iter().next())
    }

    /// Sends statements together, and returns the rows of each. They run in order.
    pub(super) fn together(&self, calls: &[Call<'_>]) -> Result<Vec<Vec<Row>>, StoreError> {
        let prepare = |call: &Call<'_>| self.prepare(call.sql.clone());
        let statements = calls.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
        let client = &self.client;
        let sent = calls.iter().zip(&statements).map(|(call, statement)| {
            let args: Vec<&(dyn ToSql + Sync)> = call.args.iter().map(|arg| &**arg as _).collect();
            async move { client.query(statement, &args).await }
        });
        self.wait(try_join_all(sent))
    }

    fn prepare(&self, sql: Cow<'static, str>) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.borrow().get(&sql) {
            return Ok(statement.clone());
        }
        let statement = self.wait(self.client.prepare(&sql))?;
        let mut statements = self.statements.borrow_mut();
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        statements.insert(sql, statement.clone());
        Ok(statement)
    }

    fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        if self.is_lost.get() {
            return Err(StoreError::Away("the connection is lost".into()));
        }
        self.is_refused.set(false);
        match block_on(answer, Instant::now() + CALL_TIME_MAX) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => {
                self.is_refused.set(errors::is_refusal(&error));
                Err(error.into())
            }
            None => {
                self.is_lost.set(true);
                Err(StoreError::Away(format!(
                    "the database did not answer within {CALL_TIME_MAX:?}"
                )))
            }
        }
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks until `future` is ready; returns nothing if that takes until `deadline`.
fn block_on<F: Future>(future: F, deadline: Instant) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = deadline.checked_duration_since(Instant::now())?;
        std::thread::park_timeout(left);
    }
}
