//! The rate limit per sender: a limiter for each address, in bounded memory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::settings::SenderRate;
use crate::rate::{Limiter, Rate};

/// How many senders have their own limiter at one time; further ones share one.
const SENDERS_MAX: usize = 10_000;

/// How often idle limiters are removed if there is no space for another.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The limiters of all senders.
#[derive(Debug, Default)]
pub(crate) struct SenderRates(Mutex<Limiters>);

#[derive(Debug, Default)]
struct Limiters {
    /// The rate at which permits were taken.
    rate: SenderRate,
    by_sender: HashMap<IpAddr, Limiter>,
    of_the_rest: Option<Limiter>,
    swept: Option<Instant>,
}

impl SenderRates {
    /// Takes a permit of `sender`; returns false if it has none left.
    pub(crate) fn take(&self, sender: IpAddr, rate: SenderRate, now: Instant) -> bool {
        let Some(permits) = Rate::new(rate.per_second, rate.burst) else {
            return true;
        };
        let mut limiters = self.0.lock();
        limiters.set(rate);
        limiters.sweep(now);
        let new = || Limiter::new(now);
        let sender = known_as(sender);
        let is_known =
            limiters.by_sender.len() < SENDERS_MAX || limiters.by_sender.contains_key(&sender);
        let limiter = if is_known {
            limiters.by_sender.entry(sender).or_insert_with(new)
        } else {
            limiters.of_the_rest.get_or_insert_with(new)
        };
        limiter.take(permits, Duration::ZERO, now).is_ok()
    }
}

impl Limiters {
    /// Sets the rate; if it has changed, all limiters are reset.
    fn set(&mut self, rate: SenderRate) {
        if self.rate != rate {
            *self = Self {
                rate,
                ..Self::default()
            };
        }
    }

    /// Removes idle limiters, which are in the same state as new ones.
    fn sweep(&mut self, now: Instant) {
        let is_due = self
            .swept
            .is_none_or(|at| now.saturating_duration_since(at) >= SWEEP_EVERY);
        if self.by_sender.len() >= SENDERS_MAX && is_due {
            self.swept = Some(now);
            self.by_sender.retain(|_, limiter| !limiter.is_idle(now));
        }
    }
}

/// Returns the network that identifies a sender: for IPv6, the /64, since its owner has all of its addresses.
fn known_as(sender: IpAddr) -> IpAddr {
    match sender.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SenderRate = SenderRate {
        per_second: 2.0,
        burst: 3,
    };

    fn sender(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn a_burst_passes_then_so_many_a_second() {
        let rates = SenderRates::default();
        let start = Instant::now();
        let taken = |at_ms| {
            let now = start + Duration::from_millis(at_ms);
            (0..10).filter(|_| rates.take(sender(1), RATE, now)).count()
        };
        assert_eq!(taken(0), 3);
        assert_eq!(taken(499), 0);
        assert_eq!(taken(1_000), 2);
        assert_eq!(taken(60_000), 3);
        assert!(rates.take(sender(2), RATE, start), "another has its own");
    }

    #[test]
    fn addresses_of_one_network_share_a_bucket() {
        let rates = SenderRates::default();
        let now = Instant::now();
        let take = |text: &str| {
            let address = text.parse().expect("an address");
            (0..10).filter(|_| rates.take(address, RATE, now)).count()
        };
        assert_eq!(take("2001:db8::1"), 3);
        assert_eq!(take("2001:db8::2"), 0);
        assert_eq!(take("2001:db8:0:1::1"), 3);
        assert_eq!(take("192.0.2.1"), 3);
        assert_eq!(take("::ffff:192.0.2.1"), 0);
    }

    #[test]
    fn past_the_most_senders_the_rest_share_until_one_has_been_quiet() {
        let rates = SenderRates::default();
        let start = Instant::now();
        let most = u32::try_from(SENDERS_MAX).expect("small");
        assert!((0..most).all(|n| rates.take(sender(n), RATE, start)));
        let rest = (most..most + 10)
            .filter(|n| rates.take(sender(*n), RATE, start))
            .count();
        assert_eq!(rest, 3);
        assert_eq!(rates.0.lock().by_sender.len(), SENDERS_MAX);
        let later = start + Duration::from_secs(10);
        assert!(rates.take(sender(most + 20), RATE, later));
        assert_eq!(rates.0.lock().by_sender.len(), 1);
    }

    #[test]
    fn a_sender_begins_anew_when_the_rate_has_changed() {
        let rates = SenderRates::default();
        let now = Instant::now();
        let taken = |rate| (0..10).filter(|_| rates.take(sender(1), rate, now)).count();
        let slow = SenderRate {
            per_second: 0.001,
            burst: 1,
        };
        assert_eq!(taken(slow), 1);
        assert_eq!(taken(RATE), 3);
        assert_eq!(taken(RATE), 0, "it is the same");
        assert_eq!(taken(SenderRate::default()), 10, "it is off");
        assert_eq!(taken(slow), 1);
    }

    #[test]
    fn nothing_is_kept_where_it_is_off() {
        let rates = SenderRates::default();
        let off = SenderRate::default();
        assert!((0..1_000).all(|_| rates.take(sender(1), off, Instant::now())));
        assert!(rates.0.lock().by_sender.is_empty());
    }
}
