//! Paths as people read and type them.

use std::path::{Component, Path, PathBuf};

/// Returns the way from the folder `from` to `to`, both absolute.
pub(super) fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components());
    let shared = shared.take_while(|(from, to)| from == to).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(to.components().skip(shared)).collect();
    match relative.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => relative,
    }
}

/// Returns a file of a folder, without the folder if that is the working folder.
pub(super) fn below(folder: &Path, file: &str) -> PathBuf {
    match folder == Path::new(".") {
        true => PathBuf::from(file),
        false => folder.join(file),
    }
}
