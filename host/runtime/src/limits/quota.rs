//! What one handler may use, each limit with its default, the operator's name for it and the most that it can be set to.

use std::fmt;
use std::time::Duration;

use crate::limits::{
    DELIVERY_RECORD_BYTES_MAX, DELIVERY_RECORD_ENTRIES_MAX, SLOT_MEMORY_BYTES_MAX,
};

/// How an operator writes a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, as in `64MiB`.
    Size,
    /// A time, as in `500ms`.
    Time,
    /// A whole number, 1 or more.
    Count,
    /// A whole number a second; 0 is off.
    Rate,
}

/// One limit by the name that configuration, errors and metrics share.
pub struct LimitKey {
    /// Below `handlers.NAME.limits`.
    pub name: &'static str,
    /// How it is written.
    pub unit: Unit,
    /// What it may be at most: bytes, milliseconds or a number.
    pub most: u64,
    /// Returns it: bytes, milliseconds or a number.
    pub get: fn(&Limits) -> u64,
    /// Sets it.
    pub set: fn(&mut Limits, u64),
}

/// A limit's value, as configuration reads it and as code uses it.
trait Amount: Copy {
    fn amount(self) -> u64;
    fn of(amount: u64) -> Self;
}

impl Amount for u64 {
    fn amount(self) -> u64 {
        self
    }
    fn of(amount: u64) -> Self {
        amount
    }
}

impl Amount for u32 {
    fn amount(self) -> u64 {
        self.into()
    }
    fn of(amount: u64) -> Self {
        Self::try_from(amount).unwrap_or(Self::MAX)
    }
}

impl Amount for usize {
    fn amount(self) -> u64 {
        self as u64
    }
    fn of(amount: u64) -> Self {
        Self::try_from(amount).unwrap_or(Self::MAX)
    }
}

impl Amount for Duration {
    fn amount(self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
    fn of(amount: u64) -> Self {
        Self::from_millis(amount)
    }
}

macro_rules! limits {
    (
        handler { $($(#[doc = $doc:literal])* $variant:ident $name:ident => $field:ident: $type:ident, $unit:ident, $default:expr, at most $most:expr;)* }
        sandbox { $($own_variant:ident $own_name:ident;)* }
    ) => {
        /// What one handler may use: in one invocation, unless it says otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Limits {
            $(
                #[doc = concat!("`", stringify!($name), "`:")]
                $(#[doc = $doc])*
                pub $field: $type,
            )*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Limits {
            /// Every limit that an operator can set for a handler.
            pub const KEYS: &'static [LimitKey] = &[$(
                LimitKey {
                    name: stringify!($name),
                    unit: Unit::$unit,
                    most: $most,
                    get: |limits| limits.$field.amount(),
                    set: |limits, amount| limits.$field = Amount::of(amount),
                },
            )*];
        }

        /// A limit that a handler can meet, its own or the sandbox's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "each is told by its name in the table")]
        pub enum LimitName {
            $($variant,)*
            $($own_variant,)*
        }

        impl LimitName {
            /// Returns the name that configuration, errors and metrics share.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                    $(Self::$own_variant => stringify!($own_name),)*
                }
            }
        }
    };
}

limits! {
    handler {
        /// linear memories and tables together, in bytes.
        Memory memory => memory_bytes_max: u64, Size, 64 << 20, at most SLOT_MEMORY_BYTES_MAX as u64;
        /// time on a processor, that of host calls made for it too.
        Cpu cpu => cpu_max: Duration, Time, Duration::from_millis(500), at most 10 * 60 * 1_000;
        /// from instantiation to the result.
        Wall wall => wall_max: Duration, Time, Duration::from_secs(30), at most 60 * 60 * 1_000;
        /// invocations of this handler at one time.
        Concurrency concurrency => concurrency_max: u32, Count, 8, at most 10_000;
        /// host calls of whatever kind, cheap ones too; lines of a log have their own bounds.
        HostCalls host_calls => host_calls_max: u32, Count, 10_000, at most 1_000_000;
        /// requests.
        HttpCalls http_calls => http_calls_max: u32, Count, 50, at most 10_000;
        /// calls of Slack.
        SlackCalls slack_calls => slack_calls_max: u32, Count, 50, at most 1_000;
        /// calls of kv.
        KvCalls kv_calls => kv_calls_max: u32, Count, 1_000, at most 100_000;
        /// of this handler's requests to one origin, over all its invocations. A request waits for its turn half as
        /// long as it may take; what would come later is answered `unavailable`.
        RequestsPerSecond requests_per_second => requests_per_second_max: u32, Rate, 10_000, at most 1_000_000;
        /// what may be passed to the host, or returned to it, in one call: what it allocates to read that.
        CallBytes call_bytes => call_bytes_max: usize, Size, 8 << 20, at most 64 << 20;
        /// a request's body.
        RequestBytes request_bytes => request_bytes_max: usize, Size, 4 << 20, at most 64 << 20;
        /// a response's body.
        ResponseBytes response_bytes => response_bytes_max: u32, Size, 8 << 20, at most 256 << 20;
        /// all that host calls bring in: responses, values of kv and settings. Once it is used up, requests and reads
        /// of kv are refused.
        BytesIn bytes_in => bytes_in_max: u64, Size, 32 << 20, at most 1 << 30;
        /// all that host calls take out: requests, messages, values of kv.
        BytesOut bytes_out => bytes_out_max: u64, Size, 32 << 20, at most 1 << 30;
        /// entries that a step has on record, over all its attempts: its effects, and the reads before each. Once they are
        /// used up, no further effect starts.
        RecordEntries record_entries => record_entries_max: u64, Count, 10_000, at most DELIVERY_RECORD_ENTRIES_MAX;
        /// bytes of these entries. An effect's answer is kept whole, so it can have three quarters of what is left at most.
        RecordBytes record_bytes => record_bytes_max: u64, Size, 8 << 20, at most DELIVERY_RECORD_BYTES_MAX;
        /// facts that it returns.
        Facts facts => facts_max: usize, Count, 256, at most 10_000;
        /// a fact's name.
        FactNameBytes fact_name_bytes => fact_name_bytes_max: usize, Size, 256, at most 4 << 10;
        /// a fact's value.
        FactBytes fact_bytes => fact_bytes_max: usize, Size, 8 << 10, at most 1 << 20;
        /// blocks that it returns.
        Blocks blocks => blocks_max: usize, Count, 64, at most 1_000;
        /// facts and blocks that it returns, all their bytes.
        OutputBytes output_bytes => output_bytes_max: usize, Size, 1 << 20, at most 16 << 20;
        /// lines that its story keeps, of stdout and stderr too.
        LogLines log_lines => log_lines_max: usize, Count, 200, at most 10_000;
        /// bytes of these lines.
        LogBytes log_bytes => log_bytes_max: usize, Size, 64 << 10, at most 16 << 20;
        /// lines of this handler in the server's own log, over all its invocations; ten seconds' worth at once.
        LogLinesPerSecond log_lines_per_second => log_lines_per_second_max: u32, Rate, 100, at most 100_000;
        /// keys that this handler may keep, over all its invocations.
        KvKeys kv_keys => kv_keys_max: u64, Count, 50_000, at most 10_000_000;
        /// a key.
        KvKeyBytes kv_key_bytes => kv_key_bytes_max: u32, Size, 512, at most 4 << 10;
        /// a value.
        KvValueBytes kv_value_bytes => kv_value_bytes_max: u32, Size, 64 << 10, at most 8 << 20;
        /// this handler's keys and values together, over all its invocations: some ten thousand incidents with their
        /// messages.
        KvBytes kv_bytes => kv_bytes_max: u64, Size, 16 << 20, at most 1 << 30;
        /// random bytes.
        RandomBytes random_bytes => random_bytes_max: u64, Size, 1 << 20, at most 1 << 30;
    }
    sandbox {
        DeliveryRecordBytes delivery_record_bytes;
        DeliveryRecordEntries delivery_record_entries;
        Handles handles;
        Invocations invocations;
        Stack stack;
        TableElements table_elements;
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A limit that was met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit}: {detail}")]
pub struct LimitHit {
    /// Which.
    pub limit: LimitName,
    /// How much was used or wanted, in the limit's unit: bytes, milliseconds or a number.
    pub used: u64,
    /// How much is allowed.
    pub max: u64,
    /// Both in a sentence, and what to do about it.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_default_is_within_what_can_be_set() {
        let defaults = Limits::default();
        for key in Limits::KEYS {
            let amount = (key.get)(&defaults);
            assert!(amount > 0 && amount <= key.most, "{}: {amount}", key.name);
            let mut changed = defaults;
            (key.set)(&mut changed, key.most);
            assert_eq!((key.get)(&changed), key.most, "{}", key.name);
        }
    }

    #[test]
    fn a_hit_begins_with_the_name_of_its_limit() {
        let hit = LimitHit {
            limit: LimitName::HttpCalls,
            used: 51,
            max: 50,
            detail: "all 50 calls of this step are used up".into(),
        };
        assert_eq!(
            hit.to_string(),
            "http_calls: all 50 calls of this step are used up"
        );
    }
}
