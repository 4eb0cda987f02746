//! Decides what a handler may reach. Makes no I/O.

mod address;
mod allow;
mod grant;
mod permit;
mod refusal;
mod request;
mod steering;
mod target;
mod yaml;

use std::collections::BTreeSet;
use std::sync::Arc;

use url::Url;

pub use allow::{MissingGrants, Needs, allow_with, imports_missing};
pub use grant::{AddressRange, GrantError, HttpGrant};
pub use refusal::{MissingPin, Refusal, WITHOUT_FILE};
pub use steering::folded;
pub use yaml::scalar;

/// What the operator granted a handler. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The origins that it may send requests to.
    pub http: Vec<HttpGrant>,
    /// Slack channels, by their names in `slack.channels`.
    pub slack: BTreeSet<String>,
    /// The names of credentials.
    pub credentials: BTreeSet<String>,
    /// Why no credential may be used although some are granted.
    pub withheld: Option<MissingPin>,
    /// True for the defaults of a server without a configuration file, which has to be created before lines can be added.
    pub is_without_file: bool,
}

impl Grants {
    /// Returns the grant that permits `method` on `url`. The address that the name resolves to is checked separately, when
    /// connecting, by [`HttpGrant::permits_address`].
    ///
    /// # Errors
    /// Returns a [`Refusal`] with the reason and the lines of configuration that would permit it.
    pub fn http(&self, method: &str, url: &Url) -> Result<&HttpGrant, Refusal> {
        self.request(method, url, &[])
    }

    /// Returns the grant that permits `method` on `url` with headers of these names.
    ///
    /// # Errors
    /// Returns a [`Refusal`] with the reason and the lines of configuration that would permit it.
    pub fn request(
        &self,
        method: &str,
        url: &Url,
        headers: &[&str],
    ) -> Result<&HttpGrant, Refusal> {
        request::judge(&self.http, method, url, headers)
    }

    /// Returns `Ok` if the handler may post to the channel with this name in the configuration.
    ///
    /// # Errors
    /// Returns a [`Refusal`] with the reason and the lines of configuration that would permit it.
    pub fn slack(&self, channel: &str) -> Result<(), Refusal> {
        if self.slack.contains(channel) {
            return Ok(());
        }
        Err(Refusal::slack(channel, &self.slack))
    }

    /// Returns `Ok` if the handler may use the credential `name`.
    ///
    /// # Errors
    /// Returns a [`Refusal`] with the reason and the lines of configuration that would permit it.
    pub fn credential(&self, name: &str) -> Result<(), Refusal> {
        if !self.credentials.contains(name) {
            return Err(Refusal::credential(name));
        }
        match &self.withheld {
            Some(missing) => Err(Refusal::withheld(name, missing)),
            None => Ok(()),
        }
    }

    /// Returns these grants for a module without a pin that others than its owner could have written: without credentials.
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
