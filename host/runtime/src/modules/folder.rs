//! The drop folder as a source of modules: offers each `*.wasm` file that is directly in it and has not just changed.

mod file;
mod settling;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::modules::source::{Candidate, ModuleSource, Origin, SourceEvent};
use file::Signature;
use settling::{Change, Files};

/// How often the folder is read even if no change was reported, since changes of a link's target are not reported.
const RESCAN: Duration = Duration::from_secs(2);
/// The longest time until the folder is reported as idle, so that a file that keeps changing does not delay it for ever.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// Why a folder cannot be served from.
#[derive(Debug, thiserror::Error)]
#[error(
    "the handlers' folder {dir} cannot be read: {source}. Make it, or name another with --handlers."
)]
pub struct FolderError {
    dir: PathBuf,
    source: io::Error,
}

type Scan = io::Result<BTreeMap<String, Signature>>;

/// A folder that is watched for modules.
pub struct Folder {
    dir: PathBuf,
    bytes_max: u64,
    files: Files,
    events: VecDeque<SourceEvent>,
    /// Since when events may be pending; `None` after [`SourceEvent::Idle`].
    busy_since: Option<Instant>,
    scan: Option<JoinHandle<Scan>>,
    /// True if a look was requested and no scan has started since.
    must_scan: bool,
    is_readable: bool,
    has_been_read: bool,
    changed: Arc<Notify>,
    _watcher: Option<RecommendedWatcher>,
}

impl Folder {
    /// Watches the folder. Files of more than `bytes_max` bytes are not read.
    ///
    /// # Errors
    /// If `dir` is no folder that can be read.
    pub fn open(dir: PathBuf, bytes_max: u64) -> Result<Self, FolderError> {
        if let Err(source) = fs::read_dir(&dir) {
            return Err(FolderError { dir, source });
        }
        let changed = Arc::new(Notify::new());
        Ok(Self {
            bytes_max,
            files: Files::default(),
            events: VecDeque::new(),
            busy_since: Some(Instant::now()),
            scan: None,
            must_scan: true,
            is_readable: true,
            has_been_read: false,
            _watcher: watch(&dir, Arc::clone(&changed)),
            changed,
            dir,
        })
    }

    /// Returns a settled candidate for each file that is in the folder now.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn candidates(dir: &Path, bytes_max: u64) -> io::Result<Vec<Candidate>> {
        let signatures = signatures_in(dir)?.into_iter();
        let candidates =
            signatures.map(|(name, signature)| candidate(dir, &name, signature, bytes_max));
        Ok(candidates.collect())
    }

    async fn next_event(&mut self) -> SourceEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                self.busy_since.get_or_insert_with(Instant::now);
                return event;
            }
            self.look_at_files().await;
            if !self.events.is_empty() {
                continue;
            }
            let now = Instant::now();
            if self.is_done(now) {
                self.busy_since = None;
                return SourceEvent::Idle;
            }
            let due_at = self.due_at(now).into();
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(due_at) => {}
            }
        }
    }

    /// Compares the folder with its known files, and queues events for the changes. No file is opened.
    async fn look_at_files(&mut self) {
        let there = match self.scan().await {
            Ok(there) => there,
            Err(error) => {
                if std::mem::replace(&mut self.is_readable, false) {
                    tracing::error!(
                        folder = %self.dir.display(), %error,
                        "cannot read the folder of handlers; modules that are loaded stay in service"
                    );
                }
                return;
            }
        };
        self.is_readable = true;
        self.has_been_read = true;
        let changes = self.files.look(&there, Instant::now(), SystemTime::now());
        for change in changes {
            let event = self.event(change);
            self.events.push_back(event);
        }
    }

    /// Reads the folder on a blocking thread, so that a mount that hangs blocks nothing else. If a scan is running already,
    /// waits for it instead of starting a second one.
    async fn scan(&mut self) -> Scan {
        let (dir, must_scan) = (&self.dir, &mut self.must_scan);
        let scan = self.scan.get_or_insert_with(|| {
            *must_scan = false;
            let dir = dir.clone();
            tokio::task::spawn_blocking(move || signatures_in(&dir))
        });
        let scanned = scan.await;
        self.scan = None;
        scanned.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn event(&self, change: Change) -> SourceEvent {
        match change {
            Change::Offered {
                name,
                signature,
                is_settled,
            } => SourceEvent::Offered(Candidate {
                is_settled,
                ..candidate(&self.dir, &name, signature, self.bytes_max)
            }),
            Change::Changed(name) => SourceEvent::Changed(origin(&self.dir, &name)),
            Change::Settled(name) => SourceEvent::Settled(origin(&self.dir, &name)),
            Change::Renamed { from, to } => SourceEvent::Renamed {
                from: origin(&self.dir, &from),
                to: origin(&self.dir, &to),
            },
            Change::Removed(name) => SourceEvent::Removed(origin(&self.dir, &name)),
        }
    }

    /// Returns true if the folder is idle at `now` and this was not reported yet.
    fn is_done(&self, now: Instant) -> bool {
        // Before the first scan the folder only seems to be empty.
        let are_offered = self.has_been_read && self.files.are_offered();
        self.busy_since
            .is_some_and(|since| !self.must_scan && (are_offered || now - since >= BUSY_MAX))
    }

    /// Returns when to read the folder again after `now` if no change is reported before.
    fn due_at(&self, now: Instant) -> Instant {
        let idle_at = self.busy_since.map(|since| since + BUSY_MAX);
        // While the folder cannot be read, its files stay due, and waiting for them would be a busy loop.
        let files_at = self.files.due_at().filter(|_| self.is_readable);
        let due = [files_at, idle_at].into_iter().flatten().min();
        // A timer may fire early by its resolution.
        let due = due.map(|at| at + Duration::from_millis(1));
        let rescan_at = now + RESCAN;
        due.map_or(rescan_at, |at| at.min(rescan_at))
    }
}

impl ModuleSource for Folder {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        Box::pin(self.next_event())
    }

    fn look(&mut self, again: &[Origin]) {
        for origin in again {
            if let Origin::File { path } = origin
                && path.parent() == Some(&*self.dir)
                && let Some(name) = path.file_name().and_then(|name| name.to_str())
            {
                self.files.offer_again(name);
            }
        }
        self.busy_since = Some(Instant::now());
        self.must_scan = true;
        self.changed.notify_one();
    }
}

fn origin(dir: &Path, name: &str) -> Origin {
    Origin::File {
        path: dir.join(name),
    }
}

/// Returns a file as a settled candidate.
fn candidate(dir: &Path, name: &str, signature: Signature, bytes_max: u64) -> Candidate {
    let content = file::content(dir.to_owned(), dir.join(name), signature, bytes_max);
    Candidate {
        origin: origin(dir, name),
        since: signature.modified,
        is_settled: true,
        content: Box::pin(content),
    }
}

/// Returns the `*.wasm` files that are directly in the folder, including links.
fn signatures_in(dir: &Path) -> Scan {
    let mut signatures = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Editors and copying tools write to hidden files before they replace a file.
        if name.starts_with('.') || !name.ends_with(".wasm") {
            continue;
        }
        if let Some(signature) = Signature::of(dir, &entry.path()) {
            signatures.insert(name, signature);
        }
    }
    Ok(signatures)
}

/// Makes the operating system report changes. If it cannot, the folder is still read every [`RESCAN`].
fn watch(dir: &Path, changed: Arc<Notify>) -> Option<RecommendedWatcher> {
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reads are reported too, and would make each scan start the next one.
        let is_read = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(kind)
            if kind != AccessKind::Close(AccessMode::Write)));
        if !is_read {
            changed.notify_one();
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(
                folder = %dir.display(), %error,
                "the operating system does not report changes of the folder of handlers: it is read every {RESCAN:?}"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests;
