//! The limits of one handler, in a table: each with its name in the configuration, its default and its maximum.

use std::fmt;
use std::time::Duration;

use crate::limits::table::limits_table;
use crate::limits::{
    DELIVERY_RECORD_BYTES_MAX, DELIVERY_RECORD_ENTRIES_MAX, SLOT_MEMORY_BYTES_MAX,
};

macro_rules! limits {
    (
        handler { $($(#[doc = $doc:literal])* $variant:ident $name:ident => $field:ident: $type:ident, $unit:ident, $default:expr, at most $most:expr $(, at least $least:expr)?;)* }
        sandbox { $(#[doc = $own_doc:literal] $own_variant:ident $own_name:ident;)* }
    ) => {
        limits_table! {
            /// The limits of one handler, for one invocation unless the limit says otherwise.
            Limits {
                $($(#[doc = $doc])* $name => $field: $type, $unit, $default, at most $most $(, at least $least)?;)*
            }
        }

        /// A limit that a handler can meet: its own, or one of the sandbox.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the table documents each limit")]
        pub enum LimitName {
            $($variant,)*
            $($own_variant,)*
        }

        impl LimitName {
            /// The limits that are not settings of a handler, each with what it limits. Errors and metrics have their names
            /// too.
            pub const OTHERS: &'static [(Self, &'static str)] = &[
                $((Self::$own_variant, $own_doc.trim_ascii()),)*
            ];

            /// Returns the name in configuration, errors and metrics.
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
        /// linear memories and tables together.
        Memory memory => memory_bytes_max: u64, Size, 64 << 20, at most SLOT_MEMORY_BYTES_MAX as u64, at least 1 << 20;
        /// CPU time, including that of host calls made for it.
        Cpu cpu => cpu_max: Duration, Time, Duration::from_millis(500), at most 10 * 60 * 1_000;
        /// time from instantiation to the result.
        Wall wall => wall_max: Duration, Time, Duration::from_secs(30), at most 60 * 60 * 1_000;
        /// invocations of this handler at one time. An eighth of them, and at least one if there are two, is for critical alerts.
        Concurrency concurrency => concurrency_max: u32, Count, 8, at most 10_000;
        /// host calls of any kind, cheap ones too; log lines have limits of their own.
        HostCalls host_calls => host_calls_max: u32, Count, 10_000, at most 1_000_000;
        /// HTTP requests.
        HttpCalls http_calls => http_calls_max: u32, Count, 50, at most 10_000;
        /// Slack calls.
        SlackCalls slack_calls => slack_calls_max: u32, Count, 50, at most 1_000;
        /// calls of kv.
        KvCalls kv_calls => kv_calls_max: u32, Count, 1_000, at most 100_000;
        /// calls of history.
        HistoryCalls history_calls => history_calls_max: u32, Count, 20, at most 1_000;
        /// calls of timer.
        TimerCalls timer_calls => timer_calls_max: u32, Count, 100, at most 1_000;
        /// requests of this handler to one origin, over all its invocations. A request waits up to half of its timeout;
        /// one that would have to wait longer is answered `unavailable`.
        RequestsPerSecond requests_per_second => requests_per_second_max: u32, Rate, 10_000, at most 1_000_000;
        /// what one call may pass to the host, or return from a hook: what the host allocates to read it.
        CallBytes call_bytes => call_bytes_max: usize, Size, 8 << 20, at most 64 << 20;
        /// a request's body.
        RequestBytes request_bytes => request_bytes_max: usize, Size, 4 << 20, at most 64 << 20;
        /// a response's body.
        ResponseBytes response_bytes => response_bytes_max: u32, Size, 8 << 20, at most 256 << 20;
        /// all that host calls bring in: responses, kv values and settings. Once it is used up, requests and reads
        /// of kv are refused.
        BytesIn bytes_in => bytes_in_max: u64, Size, 32 << 20, at most 1 << 30;
        /// all that host calls take out: requests, messages, kv values.
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
        /// this handler's open timers together, with the alert and the found of each, over all its invocations.
        TimerBytes timer_bytes => timer_bytes_max: u64, Size, 16 << 20, at most 1 << 30;
        /// random bytes.
        RandomBytes random_bytes => random_bytes_max: u64, Size, 1 << 20, at most 1 << 30;
    }
    sandbox {
        /// bytes that all steps of one delivery have on record.
        DeliveryRecordBytes delivery_record_bytes;
        /// entries that all steps of one delivery have on record.
        DeliveryRecordEntries delivery_record_entries;
        /// resource handles of one invocation (streams, pollables).
        Handles handles;
        /// invocations at one time: `sandbox.invocations`.
        Invocations invocations;
        /// a guest's stack: `sandbox.stack`.
        Stack stack;
        /// elements of one table: `sandbox.table_elements`.
        TableElements table_elements;
        /// timers that a handler has open for one alert.
        Timers timers;
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
    /// The limit.
    pub limit: LimitName,
    /// The amount used or requested, in the limit's unit: bytes, milliseconds or a count.
    pub used: u64,
    /// The amount allowed, in the same unit.
    pub max: u64,
    /// A sentence with both amounts and with advice.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::table::tests::assert_consistent;

    #[test]
    fn each_default_is_within_what_can_be_set() {
        assert_consistent(Limits::KEYS);
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
