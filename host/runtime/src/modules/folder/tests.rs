#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::modules::load_error::LoadError;

/// Returns a watched folder that has these files, and what removes it in the end.
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
    assert!(folder.is_done(opened_at + BUSY_MAX), "it is not for ever");
    fs::create_dir(&folder.dir).unwrap();
    folder.look_at_files().await;
    assert!(folder.is_done(opened_at));
    // What was read once is known, although it cannot be read now.
    fs::remove_dir(&folder.dir).unwrap();
    folder.look_at_files().await;
    assert!(folder.is_done(opened_at));
}

#[tokio::test]
async fn what_is_read_of_a_file_that_changed_does_not_count() {
    let (_parent, folder) = folder_with(&["a.wasm", "b.wasm", "c.wasm"]);
    let offered = Folder::candidates(&folder.dir, 10).unwrap();
    fs::write(folder.dir.join("a.wasm"), b"other").unwrap();
    // Nor does why it could not be read.
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
            SourceEvent::Removed(origin) => return format!("{origin} removed"),
        }
    };
    assert_eq!(next().await, "a.wasm offered");
    fs::write(parent.path().join("handlers/a.wasm"), b"other").unwrap();
    assert_eq!(next().await, "a.wasm changed");
    assert_eq!(next().await, "a.wasm offered");
}
