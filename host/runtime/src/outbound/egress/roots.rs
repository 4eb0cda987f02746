//! The certificates that are trusted.

use rustls::RootCertStore;

/// Which certificates of an origin are trusted.
pub enum Roots {
    /// Those that the system trusts.
    System,
    /// These alone.
    Only(RootCertStore),
    /// None is needed: plain HTTP.
    None,
}
