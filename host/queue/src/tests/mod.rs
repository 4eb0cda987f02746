//! The queue on a real store: what is promised of it, also after a crash.

#![allow(clippy::unwrap_used, reason = "tests")]

mod dead_letters;
mod durable;
mod edited;
mod events;
mod faults;
mod journal;
mod layouts;
mod model;
mod occurrences;
mod reasons;
mod retry;
mod steps;
mod suspects;

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use alert_manager_core::alert::{Alert, Fingerprint, Labels, Origin, Priority, Status};
use alert_manager_core::plan::Plan;

/// 2026-01-01, in milliseconds.
const START_MS: i64 = 1_767_225_600_000;

/// A queue in a folder of its own, on a clock that stands still.
struct Bench {
    dir: TempDir,
    clock: Clock,
    options: Options,
    caps: Caps,
    queue: Queue,
    leases: Leases,
}

impl Bench {
    fn new() -> Self {
        Self::with(Options::default(), Caps::all(8))
    }

    fn with(options: Options, caps: Caps) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::again(dir, Clock::manual(START_MS), options, caps)
    }

    /// In memory where the system has a place for that: thousands of starts would each wait for the disk.
    fn in_memory(options: Options, caps: Caps) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::again(dir.unwrap(), Clock::manual(START_MS), options, caps)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store.db")
    }

    /// Ends without giving anything back, and starts again.
    fn crash(self) -> Self {
        drop(self.queue);
        drop(self.leases);
        Self::again(self.dir, self.clock, self.options, self.caps)
    }

    /// Closes in order, and starts again.
    async fn restart(self) -> Self {
        self.queue.shutdown().await;
        drop(self.queue);
        drop(self.leases);
        Self::again(self.dir, self.clock, self.options, self.caps)
    }

    fn again(dir: TempDir, clock: Clock, options: Options, caps: Caps) -> Self {
        let mut bench = Self::unattended(dir, clock, options, caps);
        bench.leases.attach();
        bench
    }

    /// Starts, and nobody takes deliveries out yet.
    fn unattended(dir: TempDir, clock: Clock, options: Options, caps: Caps) -> Self {
        let path = dir.path().join("store.db");
        let (queue, leases) =
            Queue::open_with(&path, options.clone(), caps.clone(), clock.clone()).unwrap();
        // Only a power cut would tell the difference, and no test here makes one.
        let unsynced = Urgent::SqlFirst("PRAGMA synchronous = OFF".into());
        queue.inner.shared.inbox.push(unsynced);
        Self {
            dir,
            clock,
            options,
            caps,
            queue,
            leases,
        }
    }

    /// Runs what is leased next to its end.
    async fn run(&mut self, next: Next) -> DeliveryId {
        let leased = self.lease().await;
        self.settle(&leased, next);
        self.flush().await;
        leased.id
    }

    /// Moves the clock, and lets the queue notice.
    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.queue.inner.shared.inbox.nudge();
    }

    async fn accept(&self, submission: Submission) -> Verdict {
        let receipt = self
            .queue
            .accept(Parcel::new(vec![submission], Vec::new()))
            .await
            .unwrap();
        match receipt.verdicts.into_iter().next().unwrap() {
            Verdict::Duplicate(_) => DUPLICATE,
            verdict => verdict,
        }
    }

    /// Accepts what is new, and returns its only delivery.
    async fn accept_new(&self, submission: Submission) -> DeliveryId {
        match self.accept(submission).await {
            Verdict::Accepted(accepted) if accepted.len() == 1 => accepted[0].id,
            other => panic!("not accepted once: {other:?}"),
        }
    }

    async fn lease(&mut self) -> Leased {
        self.leases.next().await.unwrap()
    }

    /// Ends an invocation.
    fn settle(&self, leased: &Leased, next: Next) {
        self.queue.release_slot(&leased.handler);
        self.queue.settle(settlement(leased, next));
    }

    /// Returns where the calls of a lease's first step are recorded.
    fn ledger(&self, leased: &Leased) -> Arc<dyn Ledger> {
        self.queue
            .ledger(leased.id, leased.token, 0, &leased.handler)
    }

    /// Waits until everything that was sent so far is stored.
    async fn flush(&self) {
        self.sql("SELECT 1").await;
    }

    /// Runs a statement on the writer's connection, after everything that was sent before.
    async fn sql(&self, sql: &str) {
        let (reply, done) = oneshot::channel();
        self.queue
            .inner
            .shared
            .inbox
            .push(Urgent::Sql(sql.into(), reply));
        done.await.unwrap();
    }

    /// Removes a settled delivery, as retention does.
    async fn remove(&self, id: DeliveryId) {
        let id = id.as_raw();
        for (table, key) in [
            ("deliveries", "id"),
            ("alerts", "id"),
            ("runs", "delivery"),
            ("earlier_runs", "delivery"),
        ] {
            let sql = format!("DELETE FROM {table} WHERE {key} = {id}");
            self.sql(&sql).await;
        }
    }

    async fn story(&self, id: DeliveryId) -> Story {
        self.queue.story(id).await.unwrap().unwrap()
    }

    async fn state(&self, id: DeliveryId) -> State {
        self.story(id).await.delivery.state
    }
}

/// A duplicate of whatever.
const DUPLICATE: Verdict = Verdict::Duplicate(Vec::new());

fn name(handler: &str) -> HandlerName {
    HandlerName::new(handler)
}

fn settlement(leased: &Leased, next: Next) -> Settlement {
    let mut progress = leased.progress.clone();
    let status = match next {
        Next::Done => StepStatus::Done,
        Next::Dead(_) => StepStatus::Failed,
        _ => StepStatus::Pending,
    };
    for step in &mut progress.steps {
        step.status = status;
        step.attempts += 1;
    }
    Settlement {
        id: leased.id,
        token: leased.token,
        next,
        progress,
        alert: Some(Arc::clone(&leased.alert)),
        story: Some(format!(r#"{{"lease":{}}}"#, leased.lease)),
        last_error: None,
    }
}

/// A firing alert named `alertname` that began `started` seconds after the start.
pub(crate) fn alert(alertname: &str, started: i64) -> Alert {
    let labels: Labels = [("alertname".to_owned(), alertname.to_owned())]
        .into_iter()
        .collect();
    Alert {
        fingerprint: Fingerprint::of(&labels),
        status: Status::Firing,
        labels,
        annotations: Labels::default(),
        starts_at: clock::from_millis(START_MS + started * 1_000),
        ends_at: None,
        generator_url: None,
        received_at: clock::from_millis(START_MS),
        origin: Origin::default(),
    }
}

fn plan(route: &str, handlers: &[&str]) -> Plan {
    Plan {
        route: route.into(),
        handlers: handlers.iter().map(|h| name(h)).collect(),
        priority: Priority::Normal,
        repeat_after: Duration::from_secs(3 * 3_600 + 50 * 60),
    }
}

/// A firing alert on one route with one handler.
fn firing(alertname: &str) -> Submission {
    Submission {
        alert: alert(alertname, 0),
        starts_at_missing: false,
        plans: vec![plan("route", &["notify"])],
    }
}

fn resolved(alertname: &str) -> Submission {
    let mut submission = firing(alertname);
    submission.alert.status = Status::Resolved;
    submission
}
