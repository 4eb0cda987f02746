//! Paths as people read and type them.

use std::borrow::Cow;
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

/// Quotes a path as one word of a shell command.
pub(super) fn shell_word(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}
