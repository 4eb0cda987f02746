//! Addresses in every notation of resolvers and URLs, against independent tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use alert_manager::policy::HttpGrant;

use super::engine::{Dice, fuzz};

/// The ranges of this machine, of its links and of metadata services, according to IANA's registries
/// (first address, bits).
const LITERAL_ONLY: [(&str, u32); 6] = [
    ("0.0.0.0", 8),
    ("127.0.0.0", 8),
    ("169.254.0.0", 16),
    ("100.100.100.200", 32),
    ("168.63.129.16", 32),
    ("192.0.0.192", 32),
];

const PRIVATE: [(&str, u32); 4] = [
    ("10.0.0.0", 8),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("100.64.0.0", 10),
];

fn is_in(v4: Ipv4Addr, table: &[(&str, u32)]) -> bool {
    table.iter().any(|(first, bits)| {
        let first = u32::from(first.parse::<Ipv4Addr>().unwrap());
        match bits {
            32 => u32::from(v4) == first,
            bits => u32::from(v4) >> (32 - bits) == first >> (32 - bits),
        }
    })
}

/// Returns the ways in which an IPv4 address is written within an IPv6 one.
fn embeddings(v4: Ipv4Addr, dice: &mut Dice) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let any = u16::from_be_bytes([dice.byte(), dice.byte()]);
    vec![
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, any, any, any, high, low),
        Ipv6Addr::new(0x2002, high, low, any, any, any, any, any),
        Ipv6Addr::new(0x2606, any, any, any, 0, 0x5efe, high, low),
        Ipv6Addr::new(0x2a00, any, any, any, 0x200, 0x5efe, high, low),
    ]
}

fn near(dice: &mut Dice) -> Ipv4Addr {
    let table = if dice.one_in(2) {
        &LITERAL_ONLY[..]
    } else {
        &PRIVATE
    };
    let (first, bits) = dice.pick(table);
    let first = u32::from(first.parse::<Ipv4Addr>().unwrap());
    let host_bits = 32u32.saturating_sub(*bits);
    let within = u32::try_from(dice.next() & ((1 << host_bits) - 1)).unwrap();
    let address = first | within;
    Ipv4Addr::from(if dice.one_in(4) {
        address.wrapping_sub(1)
    } else {
        address
    })
}

#[test]
fn addresses_of_this_machine_open_to_their_very_literal_alone() {
    let public = HttpGrant::parse("https://example.com").unwrap();
    let widest = HttpGrant::parse("https://example.com").unwrap();
    let widest = widest
        .with_addresses(["private", "0.0.0.0/0", "::/0"])
        .unwrap();
    let cluster = HttpGrant::parse("https://*.svc").unwrap();
    fuzz("addresses_of_this_machine", 4_000, |dice| {
        let v4 = match dice.one_in(4) {
            true => Ipv4Addr::from(u32::try_from(dice.next() >> 32).unwrap()),
            false => near(dice),
        };
        let mut spelled: Vec<IpAddr> = vec![v4.into()];
        spelled.extend(embeddings(v4, dice).into_iter().map(IpAddr::from));
        let compatible = Ipv6Addr::from(u128::from(u32::from(v4)));
        for address in spelled {
            // `::` and `::1` are addresses of their own.
            let is_literal_only =
                is_in(v4, &LITERAL_ONLY) || address == IpAddr::V6(Ipv6Addr::LOCALHOST);
            let is_private = is_in(v4, &PRIVATE) && address != IpAddr::V6(Ipv6Addr::LOCALHOST);
            let opens =
                |grant: &HttpGrant, host: &str| grant.permits_address(host, address).is_ok();
            if is_literal_only {
                for grant in [&public, &widest, &cluster] {
                    assert!(
                        !opens(grant, "example.com"),
                        "{address} is {v4}, which {grant} opened"
                    );
                    assert!(
                        !opens(grant, "a.svc"),
                        "{address} is {v4}, which {grant} opened"
                    );
                }
            } else if is_private {
                assert!(!opens(&public, "example.com"), "{address} is {v4}");
                let is_always = address != IpAddr::V6(compatible) || u32::from(v4) > 1;
                if is_always {
                    assert!(opens(&cluster, "a.svc"), "{address} is {v4}");
                    assert!(opens(&widest, "example.com"), "{address} is {v4}");
                }
            }
        }
        let literal = HttpGrant::parse(&format!("http://{v4}:81")).unwrap();
        assert!(literal.permits_address(&v4.to_string(), v4.into()).is_ok());
        let other = Ipv4Addr::from(u32::from(v4) ^ (1 << dice.below(32)));
        if is_in(other, &LITERAL_ONLY) {
            assert!(
                literal
                    .permits_address(&other.to_string(), other.into())
                    .is_err()
            );
        }
    });
}
