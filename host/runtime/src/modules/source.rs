//! The interface of sources of modules. A source offers the bytes that it finds and reports which were removed. It does not
//! decide which modules serve.
//!
//! To add a source, implement [`ModuleSource`] in a new file, and add a line to the list of sources in the server.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use futures_util::future::{self, BoxFuture};
use serde::{Serialize, Serializer};

use crate::modules::load_error::LoadError;
use alert_manager_core::alert::HandlerName;

/// Identifies the place of a module. A module replaces only an earlier one of the same origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A file in the folder of handlers.
    File {
        /// Its path, the folder's included.
        path: PathBuf,
    },
    /// An entry of another source.
    Named {
        /// The source, in one word.
        source: &'static str,
        /// The name within the source.
        name: String,
    },
}

impl Origin {
    /// Returns true for the default file name of a handler: `NAME.wasm`.
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

/// Prints a file as its name without the folder, another origin as `source:name`.
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

/// The content of a candidate.
pub struct Content {
    /// The component.
    pub bytes: Vec<u8>,
    /// Who besides the operator could have written the bytes, as a sentence; `None` if nobody could.
    pub exposure: Option<String>,
}

/// Bytes that may become the module of their origin.
pub struct Candidate {
    /// The place of the bytes.
    pub origin: Origin,
    /// Since when the bytes exist, if known. Of two candidates of the first scan with the same name, the older one serves.
    pub since: Option<SystemTime>,
    /// False if the bytes may be incomplete. They are then not refused before [`SourceEvent::Settled`].
    pub is_settled: bool,
    /// Reads the bytes.
    pub content: BoxFuture<'static, Result<Content, LoadError>>,
}

/// An event of a source.
pub enum SourceEvent {
    /// The origin has bytes that are new or to be loaded again. They replace its earlier candidate.
    Offered(Candidate),
    /// The bytes of the origin's last candidate have changed, so its result does not count. A new candidate may follow.
    Changed(Origin),
    /// The origin's last candidate is complete. If it cannot be loaded, it is refused.
    Settled(Origin),
    /// The bytes of an origin are now those of another, which had none. They are offered again.
    Renamed {
        /// The origin that is gone.
        from: Origin,
        /// The new one.
        to: Origin,
    },
    /// The origin was removed.
    Removed(Origin),
    /// Everything that was found at the last look has been offered. Sent once after other events.
    Idle,
}

/// A source of modules.
pub trait ModuleSource: Send {
    /// Waits for the next event, without a time limit. Dropping the future before it is ready loses no event.
    fn next(&mut self) -> BoxFuture<'_, SourceEvent>;

    /// Looks for changes at once, and sends [`SourceEvent::Idle`] afterwards. Those origins in `again` that belong to this
    /// source are offered once more, even if they have not changed.
    fn look(&mut self, again: &[Origin]);
}

/// Several sources as one.
pub(crate) struct Sources {
    all: Vec<Box<dyn ModuleSource>>,
    /// Which of them are idle, by index.
    idle: Vec<bool>,
    /// True if it was reported that all sources are idle.
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

    /// Waits for the next event of any source. [`SourceEvent::Idle`] is returned once all sources are idle.
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

    /// Calls [`ModuleSource::look`] of each source.
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
