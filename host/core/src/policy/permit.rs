//! Decides whether a grant permits a connection to an address.

use std::net::IpAddr;

use ipnet::IpNet;

use super::address::{self, Reach};
use super::grant::{AddressRange, HostPattern, HttpGrant};
use super::refusal::{Change, Refusal};

impl HttpGrant {
    /// Returns `Ok` if the grant permits a connection to `address`, which `host` of the URL resolved to.
    ///
    /// It has to be called for every connection, with the address that is connected to: a name may resolve to another address
    /// than a moment ago.
    ///
    /// # Errors
    /// Returns a [`Refusal`] that classifies the address and names the grant that would permit it.
    pub fn permits_address(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let canonical = address::canonical(address);
        if self.host == HostPattern::Address(canonical) {
            return Ok(());
        }
        let reach = address::reach(address);
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let permitted = match reach {
            Reach::Public => true,
            Reach::Private => address::cannot_be_public(&host) || self.opens(canonical, reach),
            Reach::Reserved => self.opens(canonical, reach),
            Reach::Loopback | Reach::LinkLocal | Reach::Metadata => false,
        };
        if permitted {
            return Ok(());
        }
        Err(self.refuse_address(&host, canonical, reach))
    }

    fn opens(&self, address: IpAddr, reach: Reach) -> bool {
        self.addresses.iter().any(|range| match range {
            AddressRange::Private => reach == Reach::Private,
            AddressRange::Net(net) => net.contains(&address),
        })
    }

    fn refuse_address(&self, host: &str, address: IpAddr, reach: Reach) -> Refusal {
        let what = reach.described();
        if reach.needs_literal() {
            let mut literal = self.clone();
            literal.host = HostPattern::Address(address);
            return Refusal::new(
                format!(
                    "{host} leads to {address}, {what}: only a grant of that very address opens it."
                ),
                Some(Change::AddHttp(literal)),
            );
        }
        let net = IpNet::from(address);
        let mut to = self.clone();
        to.addresses.push(AddressRange::Net(net));
        if let HostPattern::Address(own) = &mut to.host {
            *own = address;
        }
        let change = Change::WidenHttp {
            from: self.clone(),
            to: to.yaml(),
            what: format!("addresses: [\"{net}\"]"),
        };
        Refusal::new(
            format!("{host} leads to {address}, {what}, which this grant does not open."),
            Some(change),
        )
    }
}
