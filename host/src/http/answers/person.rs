//! Who a request is from, for the log.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The person or program that has made a request, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    /// What the proxy, the user's name of basic authentication or the sign-in form says; absent if none of them does.
    pub(crate) name: Option<String>,
    /// True if a proxy or a password vouches for the name; false if it is what the person has typed on signing in.
    pub(crate) is_vouched_for: bool,
    /// The address of the other end of the connection, which may be a proxy.
    pub(crate) address: Option<IpAddr>,
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_deref().unwrap_or("unnamed"))?;
        match self.address {
            Some(address) => write!(f, " ({address})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_who_and_from_where() {
        let anna = Person {
            name: Some("anna".to_owned()),
            is_vouched_for: false,
            address: Some(IpAddr::from([10, 1, 2, 3])),
        };
        assert_eq!(anna.to_string(), "anna (10.1.2.3)");
        assert_eq!(Person::default().to_string(), "unnamed");
    }
}
