//! What a dry run holds back: the state that its calls would have left behind.

use std::collections::BTreeMap;

use alert_manager_core::journal::{
    KvChange, KvQuota, KvReply, KvWrite, TimerChange, TimerQuota, TimerReply,
};

/// The changes that a dry run has held back. They are subject to the limits of a handler as if they were all that it has stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldBack {
    /// The keys of the key-value store that were changed, with their values; `None` for a removed key.
    pub kv: BTreeMap<String, Option<Vec<u8>>>,
    /// The timers that were set, by key, each with its size in bytes.
    pub timers: BTreeMap<String, u64>,
}

impl HeldBack {
    /// Makes a change to a value, unless that would exceed the quota.
    pub(super) fn change_kv(
        &mut self,
        key: String,
        current: Option<&[u8]>,
        change: KvChange,
        quota: KvQuota,
    ) -> KvReply {
        let (reply, write) = change.apply(current);
        match write {
            KvWrite::Keep => {}
            KvWrite::Remove => drop(self.kv.insert(key, None)),
            KvWrite::Put { value, .. } => {
                let size = |value: &[u8]| (key.len() + value.len()) as u64;
                let (old, new) = (current.map(size), size(&value));
                let others = self.kv.iter().filter(|(other, _)| **other != key);
                let others = others.filter_map(|(other, value)| {
                    Some((other.len() + value.as_ref()?.len()) as u64)
                });
                let (bytes, keys) =
                    others.fold((new, 1), |(bytes, keys), one| (bytes + one, keys + 1));
                if let Some(over) = quota.over(bytes, keys, old, new) {
                    return over;
                }
                self.kv.insert(key, Some(value));
            }
        }
        reply
    }

    /// Sets or cancels a timer of an alert of this many bytes, unless that would exceed the quota.
    pub(super) fn change_timer(
        &mut self,
        key: &str,
        change: &TimerChange,
        alert_bytes: usize,
        quota: TimerQuota,
    ) -> TimerReply {
        let TimerChange::Set { found, .. } = change else {
            return match self.timers.remove(key) {
                Some(_) => TimerReply::Done,
                None => TimerReply::Absent,
            };
        };
        let others = self.timers.iter().filter(|(other, _)| *other != key);
        let (count, others) =
            others.fold((0, 0), |(count, bytes), (_, one)| (count + 1, bytes + one));
        if !self.timers.contains_key(key) && count >= quota.open_max {
            return TimerReply::TooMany;
        }
        let bytes = (alert_bytes + found.len() + key.len()) as u64;
        if others + bytes > quota.bytes_max {
            return TimerReply::TooLarge;
        }
        self.timers.insert(key.to_owned(), bytes);
        TimerReply::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_of_the_key_value_store_counts_what_was_changed_before() {
        let quota = KvQuota {
            bytes_max: 10,
            keys_max: 2,
        };
        let mut held_back = HeldBack::default();
        let mut set = |key: &str, value: &str| {
            let current = held_back.kv.get(key).cloned().flatten();
            let change = KvChange::Set {
                value: value.into(),
                ttl_seconds: None,
            };
            held_back.change_kv(key.to_owned(), current.as_deref(), change, quota)
        };
        assert_eq!(set("a", "1234"), KvReply::Done);
        assert_eq!(set("b", "12345"), KvReply::QuotaExceeded);
        assert_eq!(set("b", "1234"), KvReply::Done);
        assert_eq!(set("c", ""), KvReply::QuotaExceeded);
        assert_eq!(set("a", "1"), KvReply::Done);
        assert_eq!(set("c", ""), KvReply::TooManyKeys);
        held_back.change_kv("b".to_owned(), Some(b"1234"), KvChange::Remove, quota);
        assert_eq!(held_back.kv["b"], None);
        assert!(!held_back.kv.contains_key("c"));
    }

    #[test]
    fn the_limits_of_timers_count_those_that_were_set_before() {
        let quota = TimerQuota {
            open_max: 2,
            bytes_max: 20,
        };
        let set = |found: &str| TimerChange::Set {
            delay_seconds: 1,
            found: found.to_owned(),
        };
        let mut held_back = HeldBack::default();
        let mut change = |key: &str, change| held_back.change_timer(key, &change, 5, quota);
        assert_eq!(change("a", set("1234")), TimerReply::Done);
        assert_eq!(change("b", set("12345")), TimerReply::TooLarge);
        assert_eq!(change("b", set("1")), TimerReply::Done);
        assert_eq!(change("c", set("")), TimerReply::TooMany);
        assert_eq!(change("a", set("")), TimerReply::Done);
        assert_eq!(change("b", TimerChange::Cancel), TimerReply::Done);
        assert_eq!(change("b", TimerChange::Cancel), TimerReply::Absent);
    }
}
