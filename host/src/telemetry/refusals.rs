//! Log lines about refused requests. The first of a kind is logged at once, later ones are counted and summarized, so that
//! a client with a thousand requests per second causes two lines per minute.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use super::Refusal;
use crate::shapes;

/// How long refusals of one kind are counted after one was logged.
const WINDOW: Duration = Duration::from_secs(60);

/// The kinds that are tracked at one time; further senders are counted together, by reason.
const KINDS_MAX: usize = 1_000;

/// The length to which a line cuts text from a request.
const SHOWN_CHARS_MAX: usize = 300;

/// Refusals of one kind have the same reason and the same address, or IPv6 network of 64 bits.
type Kind = (&'static str, Option<IpAddr>);

/// The parts of a refused request that may be logged: no header, no query, no body.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    pub(crate) reason: Refusal,
    pub(crate) status: u16,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) error: &'a str,
}

/// The recent refusals.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<Kind, Window>>);

#[derive(Debug)]
struct Window {
    since: Instant,
    more: u64,
}

/// The refusals of one kind after the one that was logged.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    reason: &'static str,
    sender: Option<IpAddr>,
    more: u64,
}

impl Refusals {
    /// Logs a refusal, or counts it if one of its kind was logged recently.
    pub(crate) fn log(&self, refused: &Refused<'_>, now: Instant) {
        let kind = (
            refused.reason.as_str(),
            refused.peer.map(|peer| class_of(peer.ip())),
        );
        let (is_first, before) = self.take(kind, now);
        before.iter().for_each(Summary::log);
        if !is_first {
            return;
        }
        let peer = refused.peer.map(|peer| peer.to_string());
        tracing::warn!(
            reason = refused.reason.as_str(),
            status = refused.status,
            peer = peer.unwrap_or_default(),
            method = shown(refused.method),
            path = shown(refused.path),
            error = shown(refused.error),
            "request refused"
        );
    }

    /// Logs what refused requests have in common, once a window, until the server ends.
    pub(crate) async fn sum_up_each_window(self: Arc<Self>) {
        let mut windows = tokio::time::interval(WINDOW);
        windows.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            windows.tick().await;
            self.sum_up(Some(Instant::now()));
        }
    }

    /// Sums up the kinds whose window has ended; at the end of the server, all.
    pub(crate) fn sum_up(&self, ended_by: Option<Instant>) {
        self.ended(ended_by).iter().for_each(Summary::log);
    }

    /// Returns true for the first refusal of its kind in a window, and the summary of an earlier window.
    fn take(&self, mut kind: Kind, now: Instant) -> (bool, Option<Summary>) {
        let mut windows = self.0.lock();
        if windows.len() >= KINDS_MAX && !windows.contains_key(&kind) {
            kind.1 = None;
        }
        match windows.get_mut(&kind) {
            Some(window) if now.duration_since(window.since) < WINDOW => {
                window.more += 1;
                (false, None)
            }
            _ => {
                let new = Window {
                    since: now,
                    more: 0,
                };
                let before = windows.insert(kind, new);
                (true, before.and_then(|window| summary(kind, window.more)))
            }
        }
    }

    fn ended(&self, ended_by: Option<Instant>) -> Vec<Summary> {
        let mut summaries = Vec::new();
        self.0.lock().retain(|kind, window| {
            let is_open = ended_by.is_some_and(|now| now.duration_since(window.since) < WINDOW);
            if !is_open {
                summaries.extend(summary(*kind, window.more));
            }
            is_open
        });
        summaries
    }
}

impl Summary {
    fn log(&self) {
        let sender = self.sender.map(|sender| sender.to_string());
        let sender = sender.as_deref().unwrap_or("several");
        tracing::warn!(
            reason = self.reason,
            sender,
            more = self.more,
            "{}",
            self.sentence(sender)
        );
    }

    fn sentence(&self, sender: &str) -> String {
        let (more, reason) = (self.more, self.reason);
        let (requests, were) = match more {
            1 => ("request", "was"),
            _ => ("requests", "were"),
        };
        let from = match self.sender {
            Some(_) => sender,
            None => "several senders",
        };
        format!("{more} more {requests} from {from} {were} refused for the same reason, {reason}")
    }
}

fn summary((reason, sender): Kind, more: u64) -> Option<Summary> {
    (more > 0).then_some(Summary {
        reason,
        sender,
        more,
    })
}

fn class_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
        v4 => v4,
    }
}

/// Returns a text with secrets masked, then cut.
///
/// It is masked first, since a part of a secret can no longer be recognized.
pub(crate) fn shown(text: &str) -> String {
    shapes::masked(text).chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(reason: &'static str, address: &str) -> Kind {
        let address: IpAddr = address.parse().expect("an address");
        (reason, Some(class_of(address)))
    }

    #[test]
    fn the_first_of_a_kind_is_logged_and_those_like_it_are_counted() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let take = |kind, seconds| refusals.take(kind, start + Duration::from_secs(seconds));
        let one = kind("unauthorized", "10.0.0.1");
        assert_eq!(take(one, 0), (true, None));
        assert_eq!(take(one, 1), (false, None));
        assert_eq!(take(one, 59), (false, None));
        assert_eq!(take(kind("unauthorized", "10.0.0.2"), 59), (true, None));
        assert_eq!(take(kind("too_large", "10.0.0.1"), 59), (true, None));
        let more = Summary {
            reason: "unauthorized",
            sender: one.1,
            more: 2,
        };
        assert_eq!(take(one, 60), (true, Some(more)), "the next window");
    }

    #[test]
    fn a_window_that_has_ended_is_summed_up_without_another_refusal() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let one = kind("unauthorized", "10.0.0.1");
        for _ in 0..4 {
            refusals.take(one, start);
        }
        refusals.take(kind("too_large", "10.0.0.1"), start);
        assert!(refusals.ended(Some(start)).is_empty());
        let ended = refusals.ended(Some(start + WINDOW));
        assert_eq!(ended.len(), 1, "one alone needs no summary");
        assert_eq!(ended[0].more, 3);
        assert!(refusals.0.lock().is_empty());
        refusals.take(one, start);
        refusals.take(one, start);
        assert_eq!(refusals.ended(None).len(), 1, "at the end of the server");
    }

    #[test]
    fn a_summary_says_how_many_from_whom_and_why() {
        let of = |more, address: Option<&str>| {
            let sender = address.map(|address| address.parse().expect("an address"));
            let reason = "unauthorized";
            let summary = Summary {
                reason,
                sender,
                more,
            };
            summary.sentence(address.unwrap_or("several"))
        };
        assert_eq!(
            of(1, Some("10.0.0.1")),
            "1 more request from 10.0.0.1 was refused for the same reason, unauthorized"
        );
        assert_eq!(
            of(3, None),
            "3 more requests from several senders were refused for the same reason, unauthorized"
        );
    }

    #[test]
    fn senders_beyond_the_most_are_one_and_an_ipv6_network_is_one() {
        let refusals = Refusals::default();
        let now = Instant::now();
        for n in 0..KINDS_MAX {
            let n = u32::try_from(n).expect("few");
            let address = std::net::Ipv4Addr::from(n).into();
            assert!(refusals.take(("rate", Some(address)), now).0);
        }
        assert!(refusals.take(kind("rate", "192.0.2.1"), now).0);
        assert!(!refusals.take(kind("rate", "192.0.2.2"), now).0);
        assert_eq!(refusals.0.lock().len(), KINDS_MAX + 1);
        assert_eq!(kind("rate", "2001:db8::1"), kind("rate", "2001:db8::2:1"));
        assert_ne!(kind("rate", "2001:db8::1"), kind("rate", "2001:db9::1"));
        assert_eq!(kind("rate", "::ffff:10.0.0.1"), kind("rate", "10.0.0.1"));
    }

    #[test]
    fn a_secret_in_a_path_is_not_shown() {
        let token = [
            "xoxb",
            "123456789012",
            "1234567890123",
            "AbCdEfGhIjKlMnOpQrStUvWx",
        ]
        .join("-");
        for before in (0..SHOWN_CHARS_MAX).step_by(7) {
            let path = format!("/{}/{token}", "x".repeat(before));
            let shown = shown(&path);
            assert!(!shown.contains("1234567"), "{shown}");
            assert!(shown.chars().count() <= SHOWN_CHARS_MAX, "{shown}");
        }
        assert_eq!(shown(&"x".repeat(999)).len(), SHOWN_CHARS_MAX);
    }
}
