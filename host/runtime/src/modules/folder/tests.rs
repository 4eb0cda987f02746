#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

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
