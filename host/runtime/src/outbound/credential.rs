//! What the operator set for one credential.

use std::path::PathBuf;

use alert_manager_core::policy::HttpGrant;
use alert_manager_core::secret::{Authorization, SecretSource};
use url::Url;

/// A credential that the host adds to a handler's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What is added.
    pub kind: CredentialKind,
    /// `origins`: the only places that it is sent to.
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
        /// Re-read when it changes.
        token: SecretSource,
        /// PEM.
        ca_file: PathBuf,
    },
}
