#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// A folder with a clock that the test sets.
struct Watched {
    files: Files,
    there: BTreeMap<String, Signature>,
    began: Instant,
}

impl Watched {
    fn new() -> Self {
        Self {
            files: Files::default(),
            there: BTreeMap::new(),
            began: Instant::now(),
        }
    }

    /// Writes the file, with `inode` as the number of the change, and a modification time this many seconds ago.
    fn write(&mut self, name: &str, inode: u64, age_seconds: u64) {
        let signature = Signature {
            length: 1,
            modified: Some(present() - Duration::from_secs(age_seconds)),
            inode,
            inode_changed: (0, 0),
            is_file: true,
            is_exposed: false,
        };
        self.there.insert(name.to_owned(), signature);
    }

    /// Looks this many milliseconds after the beginning, and returns the changes in short.
    fn at(&mut self, millis: u64) -> Vec<String> {
        let now = self.began + Duration::from_millis(millis);
        let changes = self.files.look(&self.there, now, present());
        let short = changes.into_iter().map(|change| match change {
            Change::Offered {
                name,
                signature,
                is_settled,
            } => {
                let settled = if is_settled { ", settled" } else { "" };
                format!("{name} {} offered{settled}", signature.inode)
            }
            Change::Changed(name) => format!("{name} changed"),
            Change::Settled(name) => format!("{name} settled"),
            Change::Renamed { from, to } => format!("{from} renamed to {to}"),
            Change::Removed(name) => format!("{name} removed"),
        });
        short.collect()
    }

    fn due_at(&self) -> Option<u128> {
        let due_at = self.files.due_at()?;
        Some((due_at - self.began).as_millis())
    }
}

fn present() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

#[test]
fn a_new_file_is_offered_after_a_tenth_of_a_second_and_settled_after_one() {
    let mut folder = Watched::new();
    folder.write("a", 1, 0);
    assert!(folder.at(0).is_empty());
    assert!(!folder.files.are_offered());
    assert_eq!(folder.due_at(), Some(100));
    assert!(folder.at(99).is_empty());
    assert_eq!(folder.at(100), ["a 1 offered"]);
    assert!(folder.files.are_offered());
    assert_eq!(folder.due_at(), Some(1_000));
    assert!(folder.at(999).is_empty());
    assert_eq!(folder.at(1_000), ["a settled"]);
    assert_eq!(folder.due_at(), None);
    assert!(folder.at(5_000).is_empty());
}

#[test]
fn a_copy_that_pauses_is_offered_again_and_settles_after_its_last_change() {
    let mut folder = Watched::new();
    folder.write("a", 1, 0);
    folder.at(0);
    assert_eq!(folder.at(100), ["a 1 offered"]);
    folder.write("a", 2, 0);
    assert_eq!(folder.at(800), ["a changed"]);
    assert_eq!(folder.at(900), ["a 2 offered"]);
    assert!(folder.at(1_100).is_empty(), "one second after the first");
    assert_eq!(folder.at(1_800), ["a settled"]);
}

#[test]
fn a_file_that_never_stops_changing_is_never_offered() {
    let mut folder = Watched::new();
    for n in 0..100 {
        folder.write("a", n, 0);
        assert!(folder.at(n * 20).is_empty());
        assert!(!folder.files.are_offered());
    }
}

#[test]
fn an_old_file_is_offered_at_first_sight() {
    for (age_seconds, seen) in [
        (1, &["a 1 offered, settled"][..]),
        (86_400, &["a 1 offered, settled"]),
        (0, &[]),
    ] {
        let mut folder = Watched::new();
        folder.write("a", 1, age_seconds);
        assert_eq!(folder.at(0), seen, "{age_seconds}");
    }
    // A modification time in the future does not make a file old.
    let mut folder = Watched::new();
    folder.write("a", 1, 0);
    folder.there.get_mut("a").unwrap().modified = Some(present() + Duration::from_secs(60));
    assert!(folder.at(0).is_empty());
    assert_eq!(folder.at(100), ["a 1 offered"]);
}

#[test]
fn a_file_is_removed_after_half_a_second_and_one_that_comes_back_is_not() {
    let mut folder = Watched::new();
    folder.write("a", 1, 9);
    folder.at(0);
    let gone = folder.there.remove("a").unwrap();
    assert!(folder.at(100).is_empty());
    assert!(!folder.files.are_offered(), "it may have been removed");
    assert_eq!(folder.due_at(), Some(600));
    folder.there.insert("a".to_owned(), gone);
    assert!(folder.at(500).is_empty());
    assert!(folder.at(700).is_empty());
    folder.there.clear();
    assert!(folder.at(800).is_empty());
    assert_eq!(folder.at(1_300), ["a removed"]);
    assert!(folder.at(1_400).is_empty());
    // Removed and written anew is a replacement.
    folder.write("a", 2, 9);
    assert_eq!(folder.at(1_500), ["a 2 offered, settled"]);
}

#[test]
fn a_file_is_offered_again_on_request() {
    let mut folder = Watched::new();
    folder.write("a", 1, 9);
    folder.at(0);
    folder.files.offer_again("a");
    folder.files.offer_again("unknown");
    assert_eq!(folder.at(10), ["a 1 offered, settled"]);
    assert!(folder.at(20).is_empty());
}

#[test]
fn only_what_was_offered_is_reported_as_changed_and_once() {
    let mut folder = Watched::new();
    folder.write("a", 1, 0);
    folder.at(0);
    folder.write("a", 2, 0);
    assert!(folder.at(50).is_empty(), "it was not offered yet");
    assert_eq!(folder.at(150), ["a 2 offered"]);
    assert_eq!(folder.at(1_150), ["a settled"]);
    folder.write("a", 3, 0);
    assert_eq!(folder.at(1_200), ["a changed"]);
    assert!(!folder.files.are_offered());
    folder.write("a", 4, 0);
    assert!(folder.at(1_250).is_empty());
    assert_eq!(folder.at(1_350), ["a 4 offered"]);
    // An old file in its place needs no time to settle.
    folder.write("a", 5, 9);
    assert_eq!(folder.at(1_400), ["a changed", "a 5 offered, settled"]);
}

#[test]
fn a_file_with_another_name_is_renamed_at_once_unless_a_file_of_that_name_was_there() {
    let mut folder = Watched::new();
    folder.write("a", 1, 9);
    folder.write("c", 3, 9);
    folder.at(0);
    folder.there.remove("a");
    folder.write("b", 1, 9);
    assert_eq!(folder.at(10), ["a renamed to b", "b 1 offered, settled"]);
    assert!(folder.at(1_000).is_empty(), "nothing is missing");
    folder.there.remove("b");
    folder.write("c", 1, 9);
    assert_eq!(folder.at(2_000), ["c changed", "c 1 offered, settled"]);
    assert_eq!(folder.at(2_500), ["b removed"]);
}

#[test]
fn a_copy_and_a_file_that_was_never_offered_are_not_renamed() {
    let mut folder = Watched::new();
    folder.write("a", 1, 9);
    folder.write("new", 2, 0);
    folder.at(0);
    folder.write("hard-link", 1, 9);
    folder.there.remove("new");
    folder.write("newer", 2, 0);
    assert_eq!(folder.at(50), ["hard-link 1 offered, settled"]);
}
