//! Changes to a handler's key-value store. Their semantics are used by the store, by a dry run and by the tests' ledger.

use serde::{Deserialize, Serialize};

/// A change to a handler's key-value store, made in the same transaction as its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvChange {
    /// Sets the value.
    Set {
        /// The value.
        value: Vec<u8>,
        /// The time after which it expires; absent for never.
        ttl_seconds: Option<u32>,
    },
    /// Sets the value if there is none.
    SetIfAbsent {
        /// The value.
        value: Vec<u8>,
        /// The time after which it expires; absent for never.
        ttl_seconds: Option<u32>,
    },
    /// Adds to a decimal number; an absent key counts as 0; the sum saturates at the bounds of i64.
    Increment {
        /// The number to add.
        by: i32,
        /// The time after which it expires; absent for never.
        ttl_seconds: Option<u32>,
    },
    /// Removes the key.
    Remove,
}

/// What a change writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvWrite {
    /// Nothing.
    Keep,
    /// Sets a value.
    Put {
        /// The value.
        value: Vec<u8>,
        /// The time after which it expires; absent for never.
        ttl_seconds: Option<u32>,
    },
    /// Removes the key.
    Remove,
}

impl KvChange {
    /// Returns the reply and the write for this change, given the current value unless it has expired. Does not check the quota,
    /// which is up to the store.
    #[must_use]
    pub fn apply(self, current: Option<&[u8]>) -> (KvReply, KvWrite) {
        match self {
            Self::Set { value, ttl_seconds } => {
                (KvReply::Done, KvWrite::Put { value, ttl_seconds })
            }
            Self::SetIfAbsent { .. } if current.is_some() => {
                (KvReply::WasAbsent(false), KvWrite::Keep)
            }
            Self::SetIfAbsent { value, ttl_seconds } => (
                KvReply::WasAbsent(true),
                KvWrite::Put { value, ttl_seconds },
            ),
            Self::Remove if current.is_none() => (KvReply::Done, KvWrite::Keep),
            Self::Remove => (KvReply::Done, KvWrite::Remove),
            Self::Increment { by, ttl_seconds } => {
                let number = match current.map(std::str::from_utf8) {
                    None => Some(0_i64),
                    Some(text) => text.ok().and_then(|text| text.trim().parse().ok()),
                };
                let Some(number) = number else {
                    return (KvReply::NotANumber, KvWrite::Keep);
                };
                let sum = number.saturating_add(by.into());
                let value = sum.to_string().into_bytes();
                (KvReply::Value(sum), KvWrite::Put { value, ttl_seconds })
            }
        }
    }
}

/// The limits of a handler's key-value store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvQuota {
    /// The bytes of all keys and values together.
    pub bytes_max: u64,
    /// The number of keys.
    pub keys_max: u64,
}

impl KvQuota {
    /// Returns the reply if a handler would use these `bytes` and `keys` after a value of `new` bytes replaced one of `old` bytes, or
    /// was added, and that exceeds the quota. A change that does not increase the usage is allowed: the quota may have been
    /// lowered.
    #[must_use]
    pub fn over(self, bytes: u64, keys: u64, old: Option<u64>, new: u64) -> Option<KvReply> {
        if bytes > self.bytes_max && new > old.unwrap_or(0) {
            Some(KvReply::QuotaExceeded)
        } else if keys > self.keys_max && old.is_none() {
            Some(KvReply::TooManyKeys)
        } else {
            None
        }
    }
}

/// The reply to a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvReply {
    /// Set or removed.
    Done,
    /// Whether `SetIfAbsent` set it.
    WasAbsent(bool),
    /// The number after adding.
    Value(i64),
    /// All keys and values together would exceed their limit; nothing was changed.
    QuotaExceeded,
    /// The number of keys would exceed its limit; nothing was changed.
    TooManyKeys,
    /// The value is not a number, so that `Increment` changed nothing.
    NotANumber,
}

/// The reply to a change, and whether the store is different now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvOutcome {
    /// The reply for the guest.
    pub reply: KvReply,
    /// False if nothing was changed; then nothing was recorded either.
    pub changed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_comes_to_one_reply_and_one_write() {
        let ttl_seconds = Some(9);
        let set = KvChange::Set {
            value: b"v".to_vec(),
            ttl_seconds,
        };
        let absent = KvChange::SetIfAbsent {
            value: b"v".to_vec(),
            ttl_seconds,
        };
        let add = |by| KvChange::Increment { by, ttl_seconds };
        let put = |text: &str| KvWrite::Put {
            value: text.as_bytes().to_vec(),
            ttl_seconds,
        };
        let top = i64::MAX.to_string();
        for (current, change, reply, write) in [
            (None, set.clone(), KvReply::Done, put("v")),
            (Some("x"), set, KvReply::Done, put("v")),
            (None, absent.clone(), KvReply::WasAbsent(true), put("v")),
            (Some(""), absent, KvReply::WasAbsent(false), KvWrite::Keep),
            (None, KvChange::Remove, KvReply::Done, KvWrite::Keep),
            (Some(""), KvChange::Remove, KvReply::Done, KvWrite::Remove),
            (None, add(2), KvReply::Value(2), put("2")),
            (Some("5"), add(-7), KvReply::Value(-2), put("-2")),
            (Some(" 5\n"), add(1), KvReply::Value(6), put("6")),
            (Some("x"), add(1), KvReply::NotANumber, KvWrite::Keep),
            (Some(""), add(1), KvReply::NotANumber, KvWrite::Keep),
            (Some(&top), add(1), KvReply::Value(i64::MAX), put(&top)),
        ] {
            let came_to = change.clone().apply(current.map(str::as_bytes));
            assert_eq!(came_to, (reply, write), "{change:?} over {current:?}");
        }
    }
}
