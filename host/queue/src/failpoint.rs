//! Places at which a proof has the queue break a promise, to see that the proof notices.
//!
//! They do nothing unless the feature `failpoints` is on, which no release has. Written here because the crate `fail` cannot end
//! the process and brings seven other crates.

/// A promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// The process dies when the first delivery is about to be settled.
    DiesBeforeSettling,
    /// After a start no delivery waits for an earlier one of its fingerprint.
    Unordered,
    /// A retry finds nothing on record of what the attempts before it did.
    Unrecorded,
    /// Commits are not synced.
    Unsynced,
}

impl Failpoint {
    /// The variable that sets failpoints by their names, separated by commas.
    pub const VARIABLE: &str = "ALERT_MANAGER_FAILPOINTS";

    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::DiesBeforeSettling,
        Self::Unordered,
        Self::Unrecorded,
        Self::Unsynced,
    ];

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiesBeforeSettling => "dies-before-settling",
            Self::Unordered => "unordered",
            Self::Unrecorded => "unrecorded",
            Self::Unsynced => "unsynced",
        }
    }

    /// Tells whether it is set: never, without the feature.
    #[cfg(not(feature = "failpoints"))]
    pub(crate) const fn is_set(self) -> bool {
        false
    }

    /// Tells whether it is set.
    #[cfg(feature = "failpoints")]
    pub(crate) fn is_set(self) -> bool {
        SET.get().is_some_and(|set| set.contains(&self))
    }
}

#[cfg(feature = "failpoints")]
static SET: std::sync::OnceLock<Vec<Failpoint>> = std::sync::OnceLock::new();

/// Sets the failpoints of this process by their names, separated by commas.
///
/// # Panics
/// If there is no failpoint of one of these names, or they were set before.
#[cfg(feature = "failpoints")]
pub fn set(names: &str) {
    let named = |name: &str| {
        let found = Failpoint::ALL.into_iter().find(|f| f.name() == name);
        found.unwrap_or_else(|| panic!("there is no failpoint {name:?}"))
    };
    let all = names.split(',').filter(|name| !name.is_empty());
    let is_first = SET.set(all.map(named).collect()).is_ok();
    assert!(is_first, "failpoints are set once");
}
