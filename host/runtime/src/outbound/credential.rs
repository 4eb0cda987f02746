//! The settings of a credential.

use std::path::PathBuf;

use alert_manager_core::policy::HttpGrant;
use alert_manager_core::secret::{Authorization, SecretSource};
use url::Url;

/// A credential that the host adds to a handler's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What it adds to a request.
    pub kind: CredentialKind,
    /// `origins`: the only origins to which it is sent.
    pub origins: Vec<HttpGrant>,
}

impl Credential {
    /// Returns true if this credential may be sent to `url`.
    #[must_use]
    pub fn is_for(&self, url: &Url) -> bool {
        self.origins.iter().any(|origin| origin.covers(url))
    }
}

/// What a credential adds to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// `authorization` or `basic_auth`.
    Authorization(Authorization),
    /// `header`: `{ name, value | value_file | value_env }`.
    Header {
        /// The header's name.
        name: String,
        /// The header's value.
        value: SecretSource,
    },
    /// `service_account`: a bearer token that Kubernetes rotates, and the CA to trust.
    ServiceAccount {
        /// The token's file, which is read again when it changes.
        token: SecretSource,
        /// The file of the CA's certificates, in PEM.
        ca_file: PathBuf,
    },
}
