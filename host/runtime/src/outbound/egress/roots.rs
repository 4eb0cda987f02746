//! The root certificates of a client.

use rustls::RootCertStore;

/// The root certificates that are trusted.
pub enum Roots {
    /// Those that the system trusts.
    System,
    /// These alone.
    Only(RootCertStore),
    /// None, for plain HTTP.
    None,
}
