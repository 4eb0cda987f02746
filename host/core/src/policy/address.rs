//! Classifies network addresses, in whatever form they are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network that an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The internet.
    Public,
    /// A private network: RFC 1918, RFC 6598 (carrier and cluster networks), ULA.
    Private,
    /// This machine.
    Loopback,
    /// The local link.
    LinkLocal,
    /// A cloud's metadata service, which returns the machine's credentials to any client.
    Metadata,
    /// Multicast, documentation and unassigned ranges.
    Reserved,
}

impl Reach {
    /// Returns a description for use in a sentence.
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Private => "a private address",
            Self::Loopback => "this machine's own loopback",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => {
                "the cloud's metadata service, which gives out this machine's credentials"
            }
            Self::Reserved => "a reserved address",
        }
    }

    /// Returns whether only a grant of exactly this address permits it.
    pub(super) fn needs_literal(self) -> bool {
        matches!(self, Self::Loopback | Self::LinkLocal | Self::Metadata)
    }
}

/// Metadata services outside the link-local range: Alibaba's, Azure's wire server, Oracle's.
const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS's two and Google's.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Classifies an address. An IPv4 address embedded in an IPv6 address is classified by itself.
pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => match (embedded(v6), reach_v6(v6)) {
            (Some(Embedded::Always(v4)), _) => reach_v4(v4),
            (Some(Embedded::Perhaps(v4)), own) => match reach_v4(v4) {
                Reach::Public => own,
                other => other,
            },
            (None, own) => own,
        },
    }
}

/// Returns the canonical form of an address: `::ffff:127.0.0.1` connects to 127.0.0.1.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn reach_v4(v4: Ipv4Addr) -> Reach {
    let [a, b, c, _] = v4.octets();
    match (a, b, c) {
        _ if METADATA_V4.contains(&v4) => Reach::Metadata,
        // Linux connects 0.0.0.0 to the local machine.
        (127, ..) | (0, ..) => Reach::Loopback,
        (169, 254, _) => Reach::LinkLocal,
        (10, ..) | (192, 168, _) => Reach::Private,
        (172, 16..=31, _) | (100, 64..=127, _) => Reach::Private,
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) => Reach::Reserved,
        (198, 51, 100) | (203, 0, 113) | (224..=255, ..) => Reach::Reserved,
        _ => Reach::Public,
    }
}

fn reach_v6(v6: Ipv6Addr) -> Reach {
    let first = v6.segments()[0];
    if METADATA_V6.contains(&v6) {
        Reach::Metadata
    } else if v6.is_loopback() || v6.is_unspecified() {
        Reach::Loopback
    } else if first & 0xffc0 == 0xfe80 || first & 0xffc0 == 0xfec0 {
        Reach::LinkLocal
    } else if first & 0xfe00 == 0xfc00 {
        Reach::Private
    } else if first & 0xe000 != 0x2000 || is_reserved_v6(v6) {
        // Only 2000::/3 was ever assigned for use on the internet.
        Reach::Reserved
    } else {
        Reach::Public
    }
}

fn is_reserved_v6(v6: Ipv6Addr) -> bool {
    // Teredo and the rest of 2001::/23, documentation (2001:db8::/32, 3fff::/20).
    matches!(v6.segments(), [0x2001, 0..=0x01ff | 0x0db8, ..])
        || matches!(v6.segments(), [0x3fff, 0..=0x0fff, ..])
}

/// An IPv4 address embedded in an IPv6 address.
enum Embedded {
    /// Packets are always delivered to it.
    Always(Ipv4Addr),
    /// On some networks packets are delivered to it.
    Perhaps(Ipv4Addr),
}

/// Returns the IPv4 address that packets to `v6` are delivered to: for mapped and compatible addresses, NAT64 (RFC 6052) and
/// 6to4; and, on networks that use them, for an operator's own NAT64 (RFC 8215, reserved unless the embedded address is
/// classified worse) and for ISATAP (RFC 5214).
fn embedded(v6: Ipv6Addr) -> Option<Embedded> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(Embedded::Always(v4(high, low))),
        [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, high, low] => {
            Some(Embedded::Perhaps(v4(high, low)))
        }
        _ => None,
    }
}

/// Returns whether no public resolver answers this name, so that it may resolve to a private address. `host` is in lower case
/// and without a trailing dot.
pub(super) fn cannot_be_public(host: &str) -> bool {
    const PRIVATE_SUFFIXES: [&str; 5] = [".svc", ".cluster.local", ".internal", ".local", ".lan"];
    !host.contains('.') || PRIVATE_SUFFIXES.iter().any(|suffix| host.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_spelling_of_an_address_leads_to_the_same_place() {
        let cases = [
            (
                Reach::Public,
                &["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"][..],
            ),
            (
                Reach::Public,
                &[
                    "64:ff9b::808:808",
                    "2002:808:808::1",
                    "172.32.0.1",
                    "100.128.0.1",
                ],
            ),
            (
                Reach::Private,
                &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
            ),
            (
                Reach::Private,
                &["100.64.0.1", "fd12::1", "fc00::1", "::ffff:10.0.0.1"],
            ),
            (
                Reach::Private,
                &["64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::"],
            ),
            (
                Reach::Loopback,
                &["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::"],
            ),
            (
                Reach::Loopback,
                &["::ffff:127.0.0.1", "::127.0.0.1", "2002:7f00:1::1"],
            ),
            (Reach::Loopback, &["64:ff9b::7f00:1", "::ffff:0:127.0.0.1"]),
            (
                Reach::LinkLocal,
                &["169.254.0.1", "fe80::1", "fec0::1", "::ffff:169.254.1.1"],
            ),
            (
                Reach::Metadata,
                &["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"],
            ),
            (
                Reach::Metadata,
                &["100.100.100.200", "168.63.129.16", "64:ff9b::a9fe:a9fe"],
            ),
            (
                Reach::Reserved,
                &["224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"],
            ),
            (Reach::Reserved, &["64:ff9b:1::808:808", "255.1.2.3"]),
            (
                Reach::Loopback,
                &[
                    "2606::5efe:127.0.0.1",
                    "64:ff9b:1::7f00:1",
                    "::ffff:0.0.0.0",
                ],
            ),
            (Reach::Private, &["2606::200:5efe:10.0.0.1", "::a00:1"]),
            (Reach::Public, &["2606::5efe:8.8.8.8", "::ffff:0:8.8.8.8"]),
            (Reach::LinkLocal, &["fe80::5efe:10.0.0.1", "febf::1"]),
            (
                Reach::Reserved,
                &["ff02::1", "2001:db8::1", "2001::1", "4000::1", "100::1"],
            ),
        ];
        for (expected, addresses) in cases {
            for address in addresses {
                assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
            }
        }
    }

    #[test]
    fn names_that_cannot_be_public_are_told_from_those_that_can() {
        for name in [
            "prometheus",
            "kubernetes.default.svc",
            "a.b.svc.cluster.local",
            "x.internal",
        ] {
            assert!(cannot_be_public(name), "{name}");
        }
        for name in [
            "example.com",
            "svc.example.com",
            "internal.example.com",
            "notlan.org",
        ] {
            assert!(!cannot_be_public(name), "{name}");
        }
    }
}
