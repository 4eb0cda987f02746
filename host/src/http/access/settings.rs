//! The settings of the API and the page.

use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;

use crate::secret::Authorization;

/// `api`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `authorization` or `basic_auth`; absent if anyone who reaches the address may use the API.
    pub authorization: Option<Authorization>,
    /// `user_header`: in which header a proxy names the person.
    pub user_header: Option<HeaderName>,
    /// `trusted_proxies`: the addresses from which that header counts.
    pub trusted_proxies: Vec<IpNet>,
}

impl Settings {
    /// Returns whether an address is that of a proxy that names the person.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let mut trusted = self.trusted_proxies.iter();
        trusted.any(|network| network.contains(&address))
    }
}
