//! The drop folder as a source of modules: copies, replacements, links, and files that are none.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alert_manager::alert::HandlerName;
use alert_manager::runtime::{Bounds, Compiler, Folder, ModuleInfo, ModuleState, Pins, Registry};
use tests::harness::Harness;
use tests::modules;
use tests::server::PATIENCE;

struct Shelf {
    harness: Harness,
    dir: PathBuf,
    registry: Arc<Registry>,
}

impl Shelf {
    async fn with(files: &[&str]) -> Self {
        Self::over(Harness::new(), files).await
    }

    async fn over(harness: Harness, files: &[&str]) -> Self {
        let dir = harness.folder.path().join("handlers");
        fs::create_dir(&dir).unwrap();
        for name in files {
            fs::copy(modules::path(name), dir.join(format!("{name}.wasm"))).unwrap();
        }
        let folder = Folder::open(dir.clone(), Bounds::default().module_bytes_max).unwrap();
        let loader = Arc::clone(harness.runtime.loader());
        let registry = Registry::open(loader, vec![Box::new(folder)], Pins::new());
        registry.ready().await;
        Self {
            harness,
            dir,
            registry,
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    fn serves(&self, name: &str) -> bool {
        self.registry.get(&HandlerName::new(name)).is_some()
    }

    fn info(&self, file: &str) -> Option<ModuleInfo> {
        let serving = self.registry.serving();
        let mut listed = serving.listed().iter();
        let found = listed.find(|info| info.origin.to_string() == file);
        found.cloned()
    }

    /// Waits until `check` is true, woken by the registry.
    async fn until(&self, check: impl Fn(&Self) -> bool) {
        let mut generation = self.registry.subscribe();
        let wait = async {
            while !check(self) {
                generation.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(
            waited.is_ok(),
            "never came: {:?}",
            self.registry.serving().listed()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_dropped_in_serves_and_one_removed_does_not() {
    let shelf = Shelf::with(&["probe"]).await;
    assert!(shelf.serves("probe"));
    assert!(!shelf.serves("hostile"));
    fs::copy(modules::path("hostile"), shelf.path("any-name.wasm")).unwrap();
    shelf.until(|shelf| shelf.serves("hostile")).await;
    let info = shelf.info("any-name.wasm").unwrap();
    assert_eq!(info.state, ModuleState::Ready);
    assert_eq!(info.alerts, ["Hostile"]);
    fs::remove_file(shelf.path("any-name.wasm")).unwrap();
    shelf.until(|shelf| !shelf.serves("hostile")).await;
    assert!(shelf.serves("probe"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_was_compiled_before_serves_without_a_compiler() {
    let before = Harness::new();
    before.guest("hostile").await;
    let shelf = Shelf::over(
        Harness::with(|options| {
            options.cache_dir = before.folder.path().join("cache");
            options.compiler = Compiler::Program("/nowhere".into());
        }),
        &[],
    )
    .await;
    fs::copy(modules::path("hostile"), shelf.path("hostile.wasm")).unwrap();
    shelf.until(|shelf| shelf.serves("hostile")).await;
    fs::copy(modules::path("probe"), shelf.path("probe.wasm")).unwrap();
    let state = |shelf: &Shelf| shelf.info("probe.wasm").map(|info| info.state);
    shelf
        .until(|shelf| state(shelf) == Some(ModuleState::Refused))
        .await;
    assert!(!shelf.serves("probe") && shelf.serves("hostile"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_leaves_the_old_one_serving_and_says_why() {
    let shelf = Shelf::with(&["probe"]).await;
    let old = shelf.registry.get(&HandlerName::new("probe")).unwrap();
    fs::write(shelf.path("probe.wasm"), "not wasm at all").unwrap();
    shelf.registry.rescan().await;
    let info = shelf.info("probe.wasm").unwrap();
    assert_eq!(info.state, ModuleState::Refused);
    assert!(info.error.unwrap().contains("text file"));
    assert_eq!(info.name.unwrap().as_str(), "probe");
    let still = shelf.registry.get(&HandlerName::new("probe")).unwrap();
    assert!(Arc::ptr_eq(&old.module, &still.module));
    fs::copy(modules::path("probe"), shelf.path("probe.wasm")).unwrap();
    shelf.registry.rescan().await;
    assert_eq!(shelf.info("probe.wasm").unwrap().state, ModuleState::Ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_pauses_for_long_is_refused_and_served_once_it_is_complete() {
    let shelf = Shelf::with(&[]).await;
    let (bytes, path) = (modules::bytes("probe"), shelf.path("probe.wasm"));
    let error = |shelf: &Shelf| shelf.info("probe.wasm").and_then(|info| info.error);
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    shelf.until(|shelf| error(shelf).is_some()).await;
    fs::write(&path, &bytes).unwrap();
    shelf.until(|shelf| shelf.serves("probe")).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_in_place_are_seen_although_length_and_time_agree() {
    let shelf = Shelf::with(&[]).await;
    let (bytes, path) = (modules::bytes("probe"), shelf.path("probe.wasm"));
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let write = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(long_ago).unwrap();
    };
    write(&vec![b'x'; bytes.len()]);
    shelf
        .until(|shelf| {
            let info = shelf.info("probe.wasm");
            info.is_some_and(|info| info.state == ModuleState::Refused)
        })
        .await;
    write(&bytes);
    shelf.until(|shelf| shelf.serves("probe")).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_to_files_are_followed_and_turning_one_is_a_replacement() {
    use std::os::unix::fs::symlink;
    // As Kubernetes mounts a ConfigMap: file → ..data/file, ..data → a folder of this version.
    let shelf = Shelf::with(&[]).await;
    for (version, name) in [("..1", "probe"), ("..2", "hostile")] {
        fs::create_dir(shelf.path(version)).unwrap();
        fs::copy(
            modules::path(name),
            shelf.path(version).join("handler.wasm"),
        )
        .unwrap();
    }
    symlink("..1", shelf.path("..data")).unwrap();
    symlink("..data/handler.wasm", shelf.path("handler.wasm")).unwrap();
    shelf.until(|shelf| shelf.serves("probe")).await;
    symlink("..2", shelf.path("..next")).unwrap();
    fs::rename(shelf.path("..next"), shelf.path("..data")).unwrap();
    shelf.until(|shelf| shelf.serves("hostile")).await;
    assert!(!shelf.serves("probe"));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_folders_and_dangling_links_do_no_harm() {
    use std::os::unix::fs::symlink;
    let shelf = Shelf::with(&["probe"]).await;
    symlink("/dev/zero", shelf.path("endless.wasm")).unwrap();
    symlink("nowhere", shelf.path("dangling.wasm")).unwrap();
    fs::create_dir(shelf.path("folder.wasm")).unwrap();
    fs::File::create(shelf.path("huge.wasm"))
        .unwrap()
        .set_len(500 << 20)
        .unwrap();
    fs::File::create(shelf.path("empty.wasm")).unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(shelf.path("fifo.wasm"))
        .status();
    assert!(fifo.unwrap().success());
    shelf.registry.rescan().await;
    let why = |file: &str| shelf.info(file).unwrap().error.unwrap();
    for file in ["endless.wasm", "folder.wasm", "fifo.wasm"] {
        assert!(why(file).contains("not a regular file"), "{}", why(file));
    }
    assert!(why("huge.wasm").contains("at most"), "{}", why("huge.wasm"));
    assert!(why("empty.wasm").contains("empty"), "{}", why("empty.wasm"));
    assert!(shelf.info("dangling.wasm").is_none());
    assert!(shelf.serves("probe"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_never_settles_holds_up_no_reload() {
    let shelf = Shelf::with(&["probe"]).await;
    let path = shelf.path("restless.wasm");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = tokio::spawn(async move {
        let mut length = 0;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            length += 1;
            fs::write(&path, "x".repeat(length)).unwrap();
            tick.tick().await;
        }
    });
    shelf.until(|shelf| shelf.serves("probe")).await;
    let waited = tokio::time::timeout(PATIENCE, shelf.registry.rescan()).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.await.unwrap();
    assert!(waited.is_ok());
}

#[test]
fn a_missing_folder_says_what_to_do() {
    let error = Folder::open("/nowhere/at/all".into(), 1_000);
    let why = error.err().unwrap().to_string();
    assert!(
        why.contains("/nowhere/at/all") && why.contains("--handlers"),
        "{why}"
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_else_could_have_written_a_module_is_known_and_seen_to_change() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let chmod = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let shelf = Shelf::with(&["probe"]).await;
    let exposure = |shelf: &Shelf| {
        let served = shelf.registry.get(&HandlerName::new("probe"));
        served.and_then(|served| served.exposure.clone())
    };
    chmod(&shelf.dir, 0o755);
    chmod(&shelf.path("probe.wasm"), 0o644);
    shelf.until(|shelf| exposure(shelf).is_none()).await;
    for (place, open, closed) in [
        (shelf.dir.clone(), 0o775, 0o755),
        (shelf.path("probe.wasm"), 0o646, 0o644),
    ] {
        chmod(&place, open);
        shelf.until(|shelf| exposure(shelf).is_some()).await;
        let why = exposure(&shelf).unwrap();
        assert!(
            why.contains(&*place.to_string_lossy()) && why.contains(&format!("{open:o}")),
            "{why}"
        );
        assert_eq!(shelf.info("probe.wasm").unwrap().exposure, Some(why));
        chmod(&place, closed);
        shelf.until(|shelf| exposure(shelf).is_none()).await;
    }
    // The same for a link to a folder that anybody may write to.
    let common = shelf.harness.folder.path().join("common");
    fs::create_dir(&common).unwrap();
    fs::rename(shelf.path("probe.wasm"), common.join("probe.wasm")).unwrap();
    chmod(&common, 0o777);
    symlink(common.join("probe.wasm"), shelf.path("probe.wasm")).unwrap();
    shelf.until(|shelf| exposure(shelf).is_some()).await;
    assert!(exposure(&shelf).unwrap().contains("common"));
}
