//! Reads the text files of a project.

use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::path::Path;

/// The most bytes of a source in which something is looked for.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Returns the text of a file of at most 1 MiB; `None` if it is larger, no regular file, or no text.
pub(crate) fn text_of(path: &Path) -> Option<String> {
    let is_small = |file: Metadata| file.is_file() && file.len() <= TEXT_BYTES_MAX;
    if !fs::metadata(path).is_ok_and(is_small) {
        return None;
    }
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(TEXT_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}
