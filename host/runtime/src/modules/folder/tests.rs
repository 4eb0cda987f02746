#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::modules::catalog::{Catalog, Decision, Offer, Pins};
use crate::modules::load_error::LoadError;
use crate::modules::module::Module;

/// Returns a watched folder with these files, and the guard that deletes it.
fn folder_with(files: &[&str]) -> (tempfile::TempDir, Folder) {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("handlers");
    fs::create_dir(&dir).unwrap();
    for file in files {
        fs::write(dir.join(file), b"any").unwrap();
    }
    (parent, Folder::open(dir, 1_000).unwrap())
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_is_read_again_only_after_a_pause() {
    let (_parent, mut folder) = folder_with(&["a.wasm"]);
    folder.look_at_files().await;
    folder.busy_since = None;
    let later = Instant::now() + BUSY_MAX;
    assert!(folder.due_at(later) < later, "the file is to be offered");
    fs::remove_dir_all(&folder.dir).unwrap();
    folder.look_at_files().await;
    assert_eq!(folder.due_at(later), later + RESCAN);
    folder.busy_since = Some(later);
    assert_eq!(folder.due_at(later), later + RESCAN);
    let idle_at = later + BUSY_MAX;
    assert!(folder.due_at(idle_at - RESCAN / 2) < idle_at + RESCAN / 2);
}

#[tokio::test]
async fn the_first_scan_has_not_ended_before_the_folder_was_read_once() {
    let (_parent, mut folder) = folder_with(&[]);
    let opened_at = folder.busy_since.unwrap();
    fs::remove_dir(&folder.dir).unwrap();
    folder.look_at_files().await;
    assert!(!folder.is_done(opened_at));
    assert!(folder.is_done(opened_at + BUSY_MAX), "but not for ever");
    fs::create_dir(&folder.dir).unwrap();
    folder.look_at_files().await;
    assert!(folder.is_done(opened_at));
    // A later failure to read it does not matter.
    fs::remove_dir(&folder.dir).unwrap();
    folder.look_at_files().await;
    assert!(folder.is_done(opened_at));
}

#[tokio::test]
async fn the_content_of_a_file_that_changed_since_the_scan_does_not_count() {
    let (_parent, folder) = folder_with(&["a.wasm", "b.wasm", "c.wasm"]);
    let offered = Folder::candidates(&folder.dir, 10).unwrap();
    fs::write(folder.dir.join("a.wasm"), b"other").unwrap();
    // Neither does its error.
    fs::write(folder.dir.join("b.wasm"), b"longer than a module may be").unwrap();
    let mut contents = BTreeMap::new();
    for candidate in offered {
        let content = candidate.content.await.map(|content| content.bytes);
        contents.insert(candidate.origin.to_string(), content);
    }
    assert!(matches!(contents["a.wasm"], Err(LoadError::Changed)));
    assert!(matches!(contents["b.wasm"], Err(LoadError::Changed)));
    assert!(matches!(&contents["c.wasm"], Ok(bytes) if bytes == b"any"));
}

#[tokio::test]
async fn a_file_that_is_gone_is_refused_and_an_error_of_the_disk_is_no_fault_of_the_file() {
    let (_parent, folder) = folder_with(&["gone.wasm"]);
    let mut offered = Folder::candidates(&folder.dir, 10).unwrap();
    fs::remove_file(folder.dir.join("gone.wasm")).unwrap();
    let gone = offered.remove(0).content.await;
    assert!(matches!(gone, Err(LoadError::NotAComponent(_))));
    for (kind, is_of_the_file) in [
        (io::ErrorKind::NotFound, true),
        (io::ErrorKind::PermissionDenied, false),
        (io::ErrorKind::Other, false),
    ] {
        let error = file::unreadable(&io::Error::from(kind));
        let refused = matches!(error, LoadError::NotAComponent(_));
        assert_eq!(refused, is_of_the_file, "{kind}");
    }
}

#[tokio::test]
async fn a_file_that_is_written_over_has_changed_and_is_offered_again() {
    let (parent, mut folder) = folder_with(&["a.wasm"]);
    let mut next = async || loop {
        match folder.next_event().await {
            SourceEvent::Idle | SourceEvent::Settled(_) => {}
            SourceEvent::Offered(candidate) => return format!("{} offered", candidate.origin),
            SourceEvent::Changed(origin) => return format!("{origin} changed"),
            SourceEvent::Renamed { from, to } => return format!("{from} renamed to {to}"),
            SourceEvent::Removed(origin) => return format!("{origin} removed"),
        }
    };
    assert_eq!(next().await, "a.wasm offered");
    fs::write(parent.path().join("handlers/a.wasm"), b"other").unwrap();
    assert_eq!(next().await, "a.wasm changed");
    assert_eq!(next().await, "a.wasm offered");
}

#[test]
fn a_copy_that_pauses_is_refused_only_after_a_second() {
    let origin = origin(Path::new("/handlers"), "a.wasm");
    let half = Signature {
        length: 1,
        modified: None,
        inode: 1,
        inode_changed: (0, 0),
        is_file: true,
        is_exposed: false,
    };
    let there = BTreeMap::from([("a.wasm".to_owned(), half)]);
    let (mut files, mut catalog) = (Files::default(), Catalog::<Module>::new(Pins::new()));
    catalog.end_first_scan();
    let (began, mut refused_at) = (Instant::now(), Vec::new());
    for millis in 0..=2_000 {
        let now = began + Duration::from_millis(millis);
        for change in files.look(&there, now, SystemTime::UNIX_EPOCH) {
            let decisions = match change {
                Change::Offered { is_settled, .. } => {
                    let since = None;
                    catalog.offered(&origin, Offer { since, is_settled });
                    let half = LoadError::Damaged("half of it".to_owned());
                    catalog.loaded(&origin, Err(half))
                }
                Change::Settled(_) => catalog.settled(&origin),
                other => panic!("{other:?}"),
            };
            for decision in decisions {
                assert!(matches!(decision, Decision::Refused { .. }));
                refused_at.push(millis);
            }
        }
    }
    assert_eq!(refused_at, [1_000]);
}
