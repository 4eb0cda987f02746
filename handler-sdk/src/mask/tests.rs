//! What is masked, what is not, and that a hostile text is scanned once.

use super::*;

#[track_caller]
fn check(plain: &str, expected: &str) {
    assert_eq!(text(plain), expected);
    assert_eq!(text(expected), expected, "masking twice");
}

/// Examples of what is masked and of what is not, which all SDKs have in common.
#[test]
fn the_examples_of_all_sdks_are_masked() {
    let shared = include_str!("../../shared/mask.json");
    let groups: std::collections::BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(shared).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(groups.len(), 4);
    for (plain, expected) in groups.values().flatten() {
        check(plain, expected);
    }
}

#[test]
fn the_list_of_prefixes_is_in_byte_order() {
    assert!(PREFIXES.is_sorted_by_key(|(prefix, ..)| prefix));
    assert!(
        PREFIXES
            .iter()
            .all(|(prefix, _, least, most)| prefix.is_ascii() && *least >= 8 && least <= most)
    );
}

/// Read again from each of its pieces, a text takes minutes. So long is waited for it, on a machine that does much else.
const READ_ONCE_MAX: std::time::Duration = std::time::Duration::from_secs(60);

#[test]
fn a_hostile_text_is_read_once() {
    for piece in [
        "a-",
        "eyJ-",
        "eyJ/",
        "AKIA-",
        "ghp_-",
        "token-",
        "Bearer ",
        "x://",
        "-----BEGIN ",
        "token='[masked] ",
    ] {
        let hostile = piece.repeat(200_000 / piece.len());
        let (done, masked) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(text(&hostile).into_owned()));
        let masked = masked.recv_timeout(READ_ONCE_MAX);
        assert!(masked.is_ok_and(|masked| !masked.is_empty()), "{piece}");
    }
}

#[test]
fn a_token_is_masked_however_long_it_is() {
    let token = "a1".repeat(35_000);
    assert_eq!(text(&format!("ghp_{token}")), "ghp_[masked]");
    assert_eq!(text(&"glpat-".repeat(11_000)), "glpat-[masked]");
    // A prefix with a fixed length matches that length only: AKIA with 16 letters is an id, with 17 it is not.
    let id = format!("AKIA{}", "A".repeat(17));
    assert_eq!(text(&id), id);
}

#[test]
fn what_was_masked_is_known_by_its_beginning() {
    assert_eq!(text("token=[masked]x y"), "token=[masked]x y");
    let far = format!("token={}[masked]", "a".repeat(2_048));
    assert_eq!(text(&far), "token=[masked]");
}
