//! Where modules come from. A source offers the bytes that it finds and reports the ones that are gone; who serves is none of
//! its business.
//!
//! Another source is one file that implements [`ModuleSource`], and one line where the server puts its sources together.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use futures_util::future::{self, BoxFuture};
use serde::{Serialize, Serializer};

use crate::modules::load_error::LoadError;
use alert_manager_core::alert::HandlerName;

/// What identifies a module's place: a module replaces the one that came from the same origin, and no other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A file in the folder of handlers.
    File {
        /// Its path, the folder's included.
        path: PathBuf,
    },
    /// What another kind of source calls by a name of its own.
    Named {
        /// The source, in one word.
        source: &'static str,
        /// The name within the source.
        name: String,
    },
}

impl Origin {
    /// Returns true for the file that a handler of this name has if it is not renamed: `NAME.wasm`.
    #[must_use]
    pub fn is_file_of(&self, handler: &HandlerName) -> bool {
        match self {
            Self::File { path } => {
                path.extension().is_some_and(|end| end == "wasm")
                    && path
                        .file_stem()
                        .is_some_and(|stem| stem == handler.as_str())
            }
            Self::Named { .. } => false,
        }
    }
}

/// A file by its name without the folder, anything else as `source:name`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                f.write_str(&name.to_string_lossy())
            }
            Self::Named { source, name } => write!(f, "{source}:{name}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a candidate consists of.
pub struct Content {
    /// The component.
    pub bytes: Vec<u8>,
    /// Who besides the operator could have written the bytes, as a sentence; None if nobody could.
    pub exposure: Option<String>,
}

/// Bytes that may become the module of their origin.
pub struct Candidate {
    /// Where they are.
    pub origin: Origin,
    /// Since when they are there, as far as that is known. Of two candidates of the first scan with one name the older serves.
    pub since: Option<SystemTime>,
    /// False if they may still be incomplete: then they are not refused before [`SourceEvent::Settled`].
    pub is_settled: bool,
    /// Reads them.
    pub content: BoxFuture<'static, Result<Content, LoadError>>,
}

/// What a source reports.
pub enum SourceEvent {
    /// The origin has bytes that are new, or that are to be loaded again. Supersedes what the origin offered before.
    Offered(Candidate),
    /// The origin has not the bytes any more that it offered last. What became of them does not count; others may follow.
    Changed(Origin),
    /// What the origin offered last is complete: if it cannot be loaded, it is refused.
    Settled(Origin),
    /// The origin has nothing any more.
    Removed(Origin),
    /// Nothing is pending: everything that was there at the last look has been offered. Follows other events once.
    Idle,
}

/// Somewhere that modules come from.
pub trait ModuleSource: Send {
    /// Waits for the next event, for ever if there is none. A future that is dropped before it is ready loses no event.
    fn next(&mut self) -> BoxFuture<'_, SourceEvent>;

    /// Looks for changes at once, and reports [`SourceEvent::Idle`] afterwards. Of `again`, the origins of this source are
    /// offered once more although they have not changed.
    fn look(&mut self, again: &[Origin]);
}

/// Several sources as one.
pub(crate) struct Sources {
    all: Vec<Box<dyn ModuleSource>>,
    /// Which of them are idle, by index.
    idle: Vec<bool>,
    /// That all are idle has been reported.
    is_reported: bool,
}

impl Sources {
    pub(crate) fn new(all: Vec<Box<dyn ModuleSource>>) -> Self {
        Self {
            idle: vec![false; all.len()],
            all,
            is_reported: false,
        }
    }

    /// Waits for the next event of any source. Idle is reported once all are.
    pub(crate) async fn next(&mut self) -> SourceEvent {
        loop {
            if !self.is_reported && self.idle.iter().all(|is_idle| *is_idle) {
                self.is_reported = true;
                return SourceEvent::Idle;
            }
            if self.all.is_empty() {
                return future::pending().await;
            }
            let events = self.all.iter_mut().map(|source| source.next());
            let (event, index, _) = future::select_all(events).await;
            self.idle[index] = matches!(event, SourceEvent::Idle);
            if !self.idle[index] {
                self.is_reported = false;
                return event;
            }
        }
    }

    /// Has each source look for changes, and offer those of `again` once more.
    pub(crate) fn look(&mut self, again: &[Origin]) {
        for source in &mut self.all {
            source.look(again);
        }
        self.idle.fill(false);
        self.is_reported = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_shown_and_found_by_its_name_without_the_folder() {
        let file = |path: &str| Origin::File { path: path.into() };
        assert_eq!(file("/a/b/probe.wasm").to_string(), "probe.wasm");
        let probe = HandlerName::new("probe");
        for (path, is_its) in [
            ("/a/probe.wasm", true),
            ("/a/probe.2.wasm", false),
            ("/a/probe", false),
            ("/probe/b.wasm", false),
        ] {
            assert_eq!(file(path).is_file_of(&probe), is_its, "{path}");
        }
        let named = Origin::Named {
            source: "memory",
            name: "probe.wasm".to_owned(),
        };
        assert_eq!(named.to_string(), "memory:probe.wasm");
        assert!(!named.is_file_of(&probe));
    }
}
