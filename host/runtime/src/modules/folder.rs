//! Keeps up with the drop folder: told by the system and by looking itself, file by file, each loaded only once it has settled.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{self, JoinSet};

use crate::modules::registry::{ModuleInfo, Serving, Shared};
use crate::{LoadError, Module, ModuleState, Runtime, hex};
use alert_manager_core::alert::HandlerName;

/// A file is loaded once it has not changed for this long: a copy under way is not a bad module.
const SETTLE: Duration = Duration::from_millis(100);
/// What cannot be loaded is refused once it has not changed for this long: a slow copy pauses.
const SETTLE_REFUSED: Duration = Duration::from_secs(1);
/// A file that is gone is unloaded after this long: `rm` and `cp` is a replacement.
const SETTLE_REMOVED: Duration = Duration::from_millis(500);
/// How often the folder is looked at without being told: what a link leads to changes unseen.
pub(crate) const RESCAN: Duration = Duration::from_secs(2);
/// Whoever waits for the folder is answered after this long: a file that never settles, or takes
/// long to compile, is not to hold up a reload.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// What this server was at fault for is tried again after this long: a full disk is emptied, and no file tells.
const RETRY: Duration = Duration::from_secs(20);
/// Files that are loaded at one time.
const LOADS_MAX: usize = 8;

/// Why a folder cannot be served from.
#[derive(Debug, thiserror::Error)]
#[error(
    "the handlers' folder {dir} cannot be read: {source}. Make it, or name another with --handlers."
)]
pub struct FolderError {
    dir: PathBuf,
    source: std::io::Error,
}

/// Tells one content of a file from the next without reading it. A replaced link or a rename over
/// changes the inode where time and length may agree; writing in place, with the old time put back
/// (`rsync --inplace --times`), changes when the inode was changed, which nobody can put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
    /// Seconds and nanoseconds.
    inode_changed: (i64, i64),
    is_file: bool,
    /// Others than its owner could write it: a change of that is a change of the file.
    is_exposed: bool,
}

impl Signature {
    /// Of what `path` in the folder `dir` leads to.
    fn of(dir: &Path, path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let (inode, inode_changed) = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (inode, inode_changed) = (0, (0, 0));
        Some(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            inode,
            inode_changed,
            is_file: metadata.is_file(),
            is_exposed: exposure(dir, path).is_some(),
        })
    }

    fn age(&self) -> Duration {
        self.modified
            .and_then(|at| at.elapsed().ok())
            .unwrap_or_default()
    }
}

/// One file of the folder.
struct File {
    signature: Signature,
    changed_at: Instant,
    /// Since when it is gone.
    missing_since: Option<Instant>,
    stage: Stage,
    /// What serves from this path: the last that could be loaded.
    module: Option<Arc<Module>>,
}

enum Stage {
    /// Changed, or new.
    Settling,
    Loading,
    Loaded,
    /// Could not be loaded; told once it has not changed for a while.
    Failed(Refusal),
    Refused(Refusal),
}

struct Refusal {
    why: String,
    cause: Cause,
    since: Instant,
}

/// What has to change before a file that was refused can be served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    File,
    /// Another file has the name, or the pin differs: may end without a change of this file.
    Conflict,
    /// This server: may end at any time.
    Host,
}

impl Refusal {
    fn new(why: String, cause: Cause) -> Self {
        Self {
            why,
            cause,
            since: Instant::now(),
        }
    }

    fn of(error: &LoadError) -> Self {
        let cause = match error {
            LoadError::Host(_) => Cause::Host,
            _ => Cause::File,
        };
        Self::new(error.to_string(), cause)
    }
}

type LoadResult = Result<Module, LoadError>;

/// The folder's state, owned by its task.
pub(crate) struct Folder {
    runtime: Arc<Runtime>,
    dir: PathBuf,
    shared: Arc<Shared>,
    files: BTreeMap<String, File>,
    loads: JoinSet<(Signature, LoadResult)>,
    /// The files that `loads` is about.
    loading: HashMap<task::Id, String>,
    opened_at: Instant,
    /// Results of the first scan, applied together by age and name, so that of two files with one name always the same one
    /// is served.
    first_results: Option<BTreeMap<String, (Signature, LoadResult)>>,
    woken: Arc<Notify>,
    is_readable: bool,
    _watcher: Option<RecommendedWatcher>,
}

impl Folder {
    pub(crate) fn open(
        runtime: Arc<Runtime>,
        dir: PathBuf,
        shared: Arc<Shared>,
    ) -> Result<Self, FolderError> {
        if let Err(source) = fs::read_dir(&dir) {
            return Err(FolderError { dir, source });
        }
        let woken = Arc::new(Notify::new());
        Ok(Self {
            runtime,
            shared,
            files: BTreeMap::new(),
            loads: JoinSet::new(),
            loading: HashMap::new(),
            opened_at: Instant::now(),
            first_results: Some(BTreeMap::new()),
            is_readable: true,
            _watcher: watch(&dir, Arc::clone(&woken)),
            woken,
            dir,
        })
    }

    /// Keeps up with the folder until the registry is gone.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut waiting: Vec<(Instant, oneshot::Sender<()>)> = Vec::new();
        loop {
            self.scan().await;
            self.start_loads();
            let is_late = self.loads.is_empty() && self.opened_at.elapsed() >= ANSWER_MAX;
            if self.is_quiet() || is_late {
                self.end_first_scan();
            }
            // What the first scan could not load is not refused yet: asked again.
            let is_quiet = self.is_quiet();
            if is_quiet || waiting.iter().any(|(since, _)| is_overdue(*since)) {
                self.drop_unpinned();
            }
            for (_, done) in waiting.extract_if(.., |(since, _)| is_quiet || is_overdue(*since)) {
                let _ = done.send(());
            }
            let next = self.next_look();
            tokio::select! {
                request = requests.recv() => match request {
                    Some(done) => {
                        self.retry_refused();
                        waiting.push((Instant::now(), done));
                    }
                    None => return,
                },
                () = self.woken.notified() => {}
                Some(done) = self.loads.join_next_with_id() => self.take_joined(done),
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// Compares the folder with what is known of it. Only looks: no file is opened.
    async fn scan(&mut self) {
        let dir = self.dir.clone();
        // A mount that hangs is not to hold up a serving thread.
        let names = tokio::task::spawn_blocking(move || names_in(&dir)).await;
        let names = match names.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(names) => names,
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
        let now = Instant::now();
        for (name, signature) in &names {
            match self.files.get_mut(name) {
                Some(file) if file.signature == *signature => file.missing_since = None,
                Some(file) => {
                    file.signature = *signature;
                    file.changed_at = now;
                    file.missing_since = None;
                    file.stage = Stage::Settling;
                }
                None => {
                    let file = File {
                        signature: *signature,
                        changed_at: now,
                        missing_since: None,
                        stage: Stage::Settling,
                        module: None,
                    };
                    self.files.insert(name.clone(), file);
                }
            }
        }
        self.settle(&names, now);
    }

    /// Lets time pass: refuses what stays bad, unloads what stays gone.
    fn settle(&mut self, names: &BTreeMap<String, Signature>, now: Instant) {
        let mut gone = Vec::new();
        let mut has_changed = false;
        for (name, file) in &mut self.files {
            if !names.contains_key(name) {
                let since = *file.missing_since.get_or_insert(now);
                if now - since >= SETTLE_REMOVED {
                    gone.push(name.clone());
                }
                continue;
            }
            let has_settled = file.is_unchanged_for(SETTLE_REFUSED, now);
            match std::mem::replace(&mut file.stage, Stage::Settling) {
                Stage::Failed(refusal) if has_settled => {
                    file.refuse(name, refusal);
                    has_changed = true;
                }
                // Settles, and so is loaded again.
                Stage::Refused(refusal)
                    if refusal.cause == Cause::Host && now - refusal.since >= RETRY => {}
                stage => file.stage = stage,
            }
        }
        for name in &gone {
            if let Some(file) = self.files.remove(name) {
                match &file.module {
                    Some(module) => tracing::info!(
                        handler = %module.name(), file = name,
                        "{name} was removed: {} is no longer served", module.name()
                    ),
                    None => tracing::info!(file = name, "{name} was removed: it served no handler"),
                }
            }
        }
        if !gone.is_empty() {
            // A name may have become free for another file.
            self.retry_refused();
        }
        if has_changed || !gone.is_empty() {
            self.publish();
        }
    }

    /// Has what may no longer be refused loaded again, although its file is the same.
    fn retry_refused(&mut self) {
        for file in self.files.values_mut() {
            let may_differ = match &file.stage {
                Stage::Refused(refusal) => refusal.cause != Cause::File,
                Stage::Loaded => file
                    .module
                    .as_ref()
                    .is_some_and(|module| self.shared.pin_error(module).is_some()),
                Stage::Settling | Stage::Loading | Stage::Failed(_) => false,
            };
            if may_differ {
                file.stage = Stage::Settling;
            }
        }
    }

    fn start_loads(&mut self) {
        let now = Instant::now();
        for (name, file) in &mut self.files {
            if self.loads.len() >= LOADS_MAX {
                return;
            }
            let is_ready = matches!(file.stage, Stage::Settling)
                && file.missing_since.is_none()
                && file.is_unchanged_for(SETTLE, now);
            if !is_ready {
                continue;
            }
            file.stage = Stage::Loading;
            let signature = file.signature;
            let (runtime, dir) = (Arc::clone(&self.runtime), self.dir.clone());
            let path = dir.join(name);
            let load = self.loads.spawn(async move {
                let result = load(&runtime, &dir, path, signature).await;
                (signature, result)
            });
            self.loading.insert(load.id(), name.clone());
        }
    }

    fn take_joined(&mut self, done: Result<(task::Id, (Signature, LoadResult)), task::JoinError>) {
        let id = done
            .as_ref()
            .map_or_else(task::JoinError::id, |(id, _)| *id);
        let Some(name) = self.loading.remove(&id) else {
            return;
        };
        match done {
            Ok((_, (signature, result))) => self.take_result(name, signature, result),
            Err(error) => self.fail_load(&name, &error),
        }
    }

    fn take_result(&mut self, name: String, signature: Signature, result: LoadResult) {
        match &mut self.first_results {
            Some(results) => {
                results.insert(name, (signature, result));
            }
            None => {
                self.apply(&name, signature, result);
                self.publish();
            }
        }
    }

    /// Gives a file up until it changes.
    fn fail_load(&mut self, name: &str, error: &task::JoinError) {
        if let Some(file) = self.files.get_mut(name)
            && matches!(file.stage, Stage::Loading)
        {
            let why =
                format!("loading failed inside the server, which is a bug of the server: {error}");
            file.stage = Stage::Failed(Refusal::new(why, Cause::File));
        }
    }

    /// Ends the service of modules that a pin forbids, whatever became of their files since.
    fn drop_unpinned(&mut self) {
        let mut has_changed = false;
        for (name, file) in &mut self.files {
            let Some(why) = file.module.as_ref().and_then(|m| self.shared.pin_error(m)) else {
                continue;
            };
            tracing::error!(
                file = name,
                error = why,
                "the handler from {name} is no longer served"
            );
            file.module = None;
            has_changed = true;
        }
        if has_changed {
            self.publish();
        }
    }

    fn end_first_scan(&mut self) {
        let Some(results) = self.first_results.take() else {
            return;
        };
        let mut results: Vec<_> = results.into_iter().collect();
        // Of two files with one name the older one is served: while a server runs, it is the one that was there first.
        results.sort_by_key(|(_, (signature, _))| signature.modified);
        for (name, (signature, result)) in results {
            self.apply(&name, signature, result);
        }
        self.publish();
    }

    fn apply(&mut self, name: &str, signature: Signature, result: LoadResult) {
        let taken = match &result {
            Ok(module) => self.owner_of(module.name(), name),
            Err(_) => None,
        };
        let Some(file) = self.files.get_mut(name) else {
            return;
        };
        if file.signature != signature || !matches!(file.stage, Stage::Loading) {
            return;
        }
        let mut module = match result {
            Ok(module) => module,
            Err(error) => {
                let refusal = Refusal::of(&error);
                if file.is_unchanged_for(SETTLE_REFUSED, Instant::now()) {
                    file.refuse(name, refusal);
                } else {
                    file.stage = Stage::Failed(refusal);
                }
                return;
            }
        };
        if let Some(other) = taken {
            let why = format!(
                "the name {} is already served from {other}, which was there first: remove one of the two files, or change the name in describe()",
                module.name()
            );
            file.refuse(name, Refusal::new(why, Cause::Conflict));
            return;
        }
        if let Some(why) = self.shared.pin_error(&module) {
            // The one before goes on serving, but not where these are the very same bytes.
            file.module
                .take_if(|old| self.shared.pin_error(old).is_some());
            file.refuse(name, Refusal::new(why, Cause::Conflict));
            return;
        }
        file.stage = Stage::Loaded;
        if let Some(old) = &file.module
            && old.sha256() == module.sha256()
        {
            // Touched, or its rights changed: the same bytes serve on, with what they have open.
            if old.exposure() != module.exposure() {
                module.clients = Arc::clone(&old.clients);
                module.rates = Arc::clone(&old.rates);
                file.module = Some(Arc::new(module));
            }
            return;
        }
        tracing::info!(
            handler = %module.name(), file = name,
            version = module.description().version, sha256 = module.sha256(),
            "{name} serves {}", module.name()
        );
        file.module = Some(Arc::new(module));
    }

    /// Returns the other file that serves `handler`.
    fn owner_of(&self, handler: &HandlerName, file: &str) -> Option<String> {
        self.files
            .iter()
            .find(|(name, other)| {
                *name != file && other.module.as_ref().is_some_and(|m| m.name() == handler)
            })
            .map(|(name, _)| name.clone())
    }

    /// Swaps in what is served now, whole.
    fn publish(&self) {
        let modules = self
            .files
            .values()
            .filter_map(|file| file.module.as_ref())
            .map(|module| (module.name().clone(), Arc::clone(module)))
            .collect();
        let files = self
            .files
            .iter()
            .map(|(name, file)| file.info(name))
            .collect();
        self.shared
            .serving
            .store(Arc::new(Serving { modules, files }));
        if self.first_results.is_none() {
            self.shared.generation.send_modify(|n| *n += 1);
        }
    }

    /// Returns true where every file is served, refused or known to be bad, and nothing is pending.
    fn is_quiet(&self) -> bool {
        self.loads.is_empty()
            && self.files.values().all(|file| {
                file.missing_since.is_none()
                    && !matches!(file.stage, Stage::Settling | Stage::Failed(_))
                    && (!matches!(file.stage, Stage::Loading) || self.first_results.is_some())
            })
    }

    /// Returns how long nothing can become due.
    fn next_look(&self) -> Duration {
        let now = Instant::now();
        self.files
            .values()
            .filter_map(|file| match (file.missing_since, &file.stage) {
                (Some(since), _) => Some(since + SETTLE_REMOVED),
                (None, Stage::Settling) => Some(file.changed_at + SETTLE),
                (None, Stage::Failed(_)) => Some(file.changed_at + SETTLE_REFUSED),
                _ => None,
            })
            .map(|due| due.saturating_duration_since(now) + Duration::from_millis(1))
            .min()
            .unwrap_or(RESCAN)
            .min(RESCAN)
    }
}

fn is_overdue(since: Instant) -> bool {
    since.elapsed() >= ANSWER_MAX
}

impl File {
    /// An old file has settled before it was first seen.
    fn is_unchanged_for(&self, long: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.changed_at).max(
            // A time in the file's own past counts only up to a second: its clock may be another's.
            if self.signature.age() >= SETTLE_REFUSED {
                SETTLE_REFUSED
            } else {
                Duration::ZERO
            },
        ) >= long
    }

    fn refuse(&mut self, name: &str, refusal: Refusal) {
        let why = &refusal.why;
        match &self.module {
            Some(module) => tracing::error!(
                handler = %module.name(), file = name, error = why,
                "{name} is refused; the version of {} before it stays in service", module.name()
            ),
            None => tracing::error!(file = name, error = why, "{name} is refused"),
        }
        self.stage = Stage::Refused(refusal);
    }

    fn info(&self, name: &str) -> ModuleInfo {
        let description = self.module.as_ref().map(|module| module.description());
        let error = match &self.stage {
            Stage::Refused(refusal) => Some(refusal.why.clone()),
            Stage::Settling | Stage::Loading | Stage::Loaded | Stage::Failed(_) => None,
        };
        ModuleInfo {
            name: description.map(|d| d.name.clone()),
            version: description.map(|d| d.version.clone()),
            sha256: self.module.as_ref().map(|m| m.sha256().to_owned()),
            file: name.to_owned(),
            state: match (&self.stage, description) {
                (Stage::Refused(_), _) => ModuleState::Refused,
                (_, Some(_)) => ModuleState::Ready,
                (_, None) => ModuleState::Loading,
            },
            summary: description.map(|d| d.summary.clone()),
            alerts: description.map(|d| d.alerts.clone()).unwrap_or_default(),
            imports: self
                .module
                .as_ref()
                .map(|m| m.imports().to_vec())
                .unwrap_or_default(),
            exposure: self
                .module
                .as_ref()
                .and_then(|m| m.exposure().map(str::to_owned)),
            error,
        }
    }
}

impl Shared {
    /// Says where a module is not the one that its name is pinned to.
    fn pin_error(&self, module: &Module) -> Option<String> {
        let pin = hex(self.pins.load().get(module.name())?);
        (pin != module.sha256()).then(|| {
            format!(
                "handlers.{}.sha256 is {pin}, but this file's is {}: change the pin if the file is the one that you mean",
                module.name(),
                module.sha256()
            )
        })
    }
}

/// Returns the files that count: `*.wasm` directly in the folder, links to files too.
fn names_in(dir: &Path) -> std::io::Result<BTreeMap<String, Signature>> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Editors and copying tools write hidden files beside the one that they replace.
        if name.starts_with('.') || !name.ends_with(".wasm") {
            continue;
        }
        if let Some(signature) = Signature::of(dir, &entry.path()) {
            names.insert(name, signature);
        }
    }
    Ok(names)
}

async fn load(
    runtime: &Arc<Runtime>,
    dir: &Path,
    path: PathBuf,
    signature: Signature,
) -> LoadResult {
    if !signature.is_file {
        return Err(LoadError::NotAComponent(
            "it is not a regular file, nor a link to one".to_owned(),
        ));
    }
    let bytes_max = runtime.sandbox.bounds.module_bytes_max;
    if signature.length > bytes_max {
        return Err(LoadError::NotAComponent(format!(
            "it has {} bytes; at most {bytes_max} are taken (sandbox.module_bytes)",
            signature.length
        )));
    }
    let dir = dir.to_owned();
    let (bytes, exposure) = tokio::task::spawn_blocking(move || {
        let bytes = read(&path, bytes_max)?;
        // Looked at after the file was read: who may write to it now could have written it.
        std::io::Result::Ok((bytes, exposure(&dir, &path)))
    })
    .await
    .map_err(|error| LoadError::Host(error.to_string()))?
    .map_err(|error| LoadError::NotAComponent(format!("it cannot be read: {error}")))?;
    let mut module = runtime.load(bytes).await?;
    module.exposure = exposure;
    Ok(module)
}

/// Says who besides its owner could write to a module's file, or put another in its place: whoever may write to the
/// folder, to that of the file that a link leads to, or to the file. None where nobody could.
#[cfg(unix)]
fn exposure(dir: &Path, path: &Path) -> Option<String> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let look = || {
        let owner = fs::metadata(dir)?.uid();
        let trusted = [owner, 0, rustix::process::geteuid().as_raw()];
        let real = fs::canonicalize(path)?;
        for place in [dir, real.parent().unwrap_or(dir), &real] {
            let metadata = fs::metadata(place)?;
            let mode = metadata.permissions().mode() & 0o7777;
            if mode & 0o022 != 0 {
                let place = place.display();
                return Ok(Some(format!(
                    "{place} can be written to by others than its owner (mode {mode:o})"
                )));
            }
            if !trusted.contains(&metadata.uid()) {
                let (place, dir) = (place.display(), dir.display());
                return Ok(Some(format!("{place} belongs to another user than {dir}")));
            }
        }
        std::io::Result::Ok(None)
    };
    look().unwrap_or_else(|error| {
        Some(format!(
            "who can write to {} cannot be seen ({error})",
            path.display()
        ))
    })
}

#[cfg(not(unix))]
fn exposure(_dir: &Path, _path: &Path) -> Option<String> {
    None
}

/// Reads a file that may grow while it is read, or turn into something else.
fn read(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Opening a FIFO that took the file's place must not wait for somebody to write to it.
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        options.custom_flags(flags.cast_signed());
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a regular file any more"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Has the system tell of changes. Where it cannot, looking every two seconds does.
fn watch(dir: &Path, woken: Arc<Notify>) -> Option<RecommendedWatcher> {
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is an event too: heeding it would wake the scan that made it.
        let is_read = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(kind)
            if kind != AccessKind::Close(AccessMode::Write)));
        if !is_read {
            woken.notify_one();
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
                "the system does not announce changes of the folder of handlers: it is read every {RESCAN:?}"
            );
            None
        }
    }
}
