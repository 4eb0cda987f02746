//! What a handler may reach: pure decisions about grants, without I/O.

mod address;
mod grant;
mod refusal;
mod request;
mod steering;

use std::collections::BTreeSet;
use std::sync::Arc;

use url::Url;

pub use grant::{AddressRange, GrantError, HttpGrant};
pub use refusal::{MissingGrants, MissingPin, Needs, Refusal, imports_missing};
pub use refusal::{WITHOUT_FILE, allow_with, scalar};
pub use steering::folded;

/// What the operator granted one handler. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Where it may send requests.
    pub http: Vec<HttpGrant>,
    /// Slack channels, by their names in `slack.channels`.
    pub slack: BTreeSet<String>,
    /// Credentials, by name.
    pub credentials: BTreeSet<String>,
    /// Why no credential may be used although it is granted.
    pub withheld: Option<MissingPin>,
    /// They are the defaults of a server without a configuration file: lines to add need a file first.
    pub is_without_file: bool,
}

impl Grants {
    /// Returns the grant under which `method` on `url` may go out. The address that the name resolves
    /// to is judged apart, by [`HttpGrant::permits_address`], at the time of connecting.
    ///
    /// # Errors
    /// [`Refusal`] says why not, with the lines of configuration that would change it.
    pub fn http(&self, method: &str, url: &Url) -> Result<&HttpGrant, Refusal> {
        self.request(method, url, &[])
    }

    /// Returns the grant under which `method` on `url` may go out with headers of these names.
    ///
    /// # Errors
    /// [`Refusal`] says why not, with the lines of configuration that would change it.
    pub fn request(
        &self,
        method: &str,
        url: &Url,
        headers: &[&str],
    ) -> Result<&HttpGrant, Refusal> {
        request::judge(&self.http, method, url, headers)
    }

    /// Returns Ok where the handler may post to the channel that the configuration calls `channel`.
    ///
    /// # Errors
    /// [`Refusal`] says why not, with the lines of configuration that would change it.
    pub fn slack(&self, channel: &str) -> Result<(), Refusal> {
        if self.slack.contains(channel) {
            return Ok(());
        }
        Err(Refusal::slack(channel, &self.slack))
    }

    /// Returns Ok where the handler may use the credential `name`.
    ///
    /// # Errors
    /// [`Refusal`] says why not, with the lines of configuration that would change it.
    pub fn credential(&self, name: &str) -> Result<(), Refusal> {
        if !self.credentials.contains(name) {
            return Err(Refusal::credential(name));
        }
        match &self.withheld {
            Some(missing) => Err(Refusal::withheld(name, missing)),
            None => Ok(()),
        }
    }

    /// Returns these grants for a module that others than its owner could have put there: without a pin, it is
    /// given no credential.
    #[must_use]
    pub fn for_unpinned(self: &Arc<Self>, missing: impl FnOnce() -> MissingPin) -> Arc<Self> {
        if self.credentials.is_empty() {
            return Arc::clone(self);
        }
        Arc::new(Self {
            withheld: Some(missing()),
            ..(**self).clone()
        })
    }
}
