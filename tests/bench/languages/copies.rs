//! Copies of a component under other names: a module of its own each for the server, without a build.

use super::project::{ALERTNAME, NAME};

/// Returns the component under another number.
pub(super) fn copy(module: &[u8], number: usize) -> Vec<u8> {
    let mut copy = module.to_vec();
    for text in [NAME, ALERTNAME] {
        let digits = text.len() - 3;
        let found: Vec<usize> = positions(&copy, text.as_bytes());
        assert!(!found.is_empty(), "{text} is not in the component's data");
        for at in found {
            let digits = &mut copy[at + digits..at + text.len()];
            digits.copy_from_slice(format!("{number:03}").as_bytes());
        }
    }
    copy
}

fn positions(bytes: &[u8], text: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(text.len()).enumerate();
    windows
        .filter(|(_, window)| *window == text)
        .map(|(at, _)| at)
        .collect()
}
