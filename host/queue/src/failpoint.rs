//! Points at which a test has the queue break a promise, to show that another test notices.
//!
//! They do nothing without the feature `failpoints`, which no release has. The crate `fail` is not used, because it cannot end the
//! process and has seven dependencies.

/// A promise to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// The process aborts when the first delivery is about to be settled.
    DiesBeforeSettling,
    /// Deliveries that are recovered at startup do not wait for earlier ones of their fingerprint.
    Unordered,
    /// A retry finds no recorded calls of earlier attempts.
    Unrecorded,
    /// Commits are not synced to disk.
    Unsynced,
    /// A server whose term is over begins effects, and takes what it records for stored.
    Unfenced,
}

impl Failpoint {
    /// The environment variable with the names of failpoints to set, separated by commas.
    pub const VARIABLE: &str = "ALERT_MANAGER_FAILPOINTS";

    /// All failpoints.
    pub const ALL: [Self; 5] = [
        Self::DiesBeforeSettling,
        Self::Unordered,
        Self::Unrecorded,
        Self::Unsynced,
        Self::Unfenced,
    ];

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiesBeforeSettling => "dies-before-settling",
            Self::Unordered => "unordered",
            Self::Unrecorded => "unrecorded",
            Self::Unsynced => "unsynced",
            Self::Unfenced => "unfenced",
        }
    }

    /// Returns false: without the feature, no failpoint is set.
    #[cfg(not(feature = "failpoints"))]
    pub(crate) const fn is_set(self) -> bool {
        false
    }

    /// Returns true if it is set.
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
/// If there is no failpoint with one of these names, or failpoints were set before.
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
