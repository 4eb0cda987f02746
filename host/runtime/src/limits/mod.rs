//! The limits of the sandbox. The constants here are fixed. Those that an operator can set are in the tables of `quota.rs`
//! (for one handler) and `bounds.rs` (for the sandbox as a whole).

pub(crate) mod advice;
pub(crate) mod bounds;
pub(crate) mod memory;
pub(crate) mod quota;
pub(crate) mod table;

use std::num::NonZero;
use std::time::Duration;

/// Returns the number of processors that this process may use.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// The length of an epoch: a spinning guest is interrupted after at most this long.
pub(super) const EPOCH: Duration = Duration::from_millis(10);
/// The CPU time after which a guest needs CPU permits. A usual guest takes well under a millisecond, an interpreter one or
/// two.
pub(super) const LONG_CPU: Duration = Duration::from_millis(5);
/// The most frames of a trap's backtrace.
pub(super) const BACKTRACE_FRAMES_MAX: usize = 20;

/// The most bytes that a memory of the pool can have, and the highest `memory` limit that an operator can set.
pub(super) const SLOT_MEMORY_BYTES_MAX: usize = 1 << 30;
/// The most resource handles (streams, pollables) in one instance.
pub(super) const HANDLES_MAX: usize = 1_024;
/// The most random bytes in one call.
pub(super) const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// `describe`: CPU time, which includes the start of an interpreter.
pub(super) const DESCRIBE_CPU_MAX: Duration = Duration::from_secs(3);
/// `describe`: wall clock time from instantiation to the result.
pub(super) const DESCRIBE_WALL_MAX: Duration = Duration::from_secs(10);
/// `describe`: memory. The handler's own limit is not known yet.
pub(super) const DESCRIBE_MEMORY_BYTES_MAX: u64 = 64 << 20;
/// `describe`: bytes of its whole result.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 64 << 10;

/// How long an invocation waits for a permit of the pool. Its own time begins afterwards.
pub(super) const POOL_WAIT_MAX: Duration = Duration::from_secs(10);
/// Permits of the pool that are reserved for `describe`, so that a new module can be loaded on a busy server.
pub(super) const DESCRIBE_PERMITS: u32 = 4;
/// How long `describe` waits for one of them.
pub(super) const DESCRIBE_WAIT_MAX: Duration = Duration::from_secs(60);

/// The most bytes of a request's headers, names and values together.
pub(super) const HTTP_HEADER_BYTES_MAX: usize = 64 << 10;
/// The most headers of a request.
pub(super) const HTTP_HEADERS_MAX: usize = 100;
/// The most bytes of a URL.
pub(super) const HTTP_URL_BYTES_MAX: usize = 8 << 10;
/// The most clients, each with its own connection pool, of one handler.
pub(super) const HTTP_CLIENTS_MAX: usize = 32;
/// The most idle connections to one host that a client keeps.
pub(super) const HTTP_IDLE_MAX: usize = 64;
/// How long an idle connection is kept.
pub(super) const HTTP_IDLE_FOR: Duration = Duration::from_secs(30);
/// The longest time to connect, including TLS.
pub(super) const HTTP_CONNECT_MAX: Duration = Duration::from_secs(10);

/// The most characters of `text`. Slack's own limit is 40,000.
pub(super) const SLACK_TEXT_CHARS_MAX: usize = 39_000;
/// The most characters of `text` in `chat.update`. Slack's own limit is 4,000.
pub(super) const SLACK_UPDATE_TEXT_CHARS_MAX: usize = 3_900;
/// The longest time of one call of Slack's Web API.
pub(super) const SLACK_CALL_MAX: Duration = Duration::from_secs(15);
/// The most bytes of an answer of Slack.
pub(super) const SLACK_RESPONSE_BYTES_MAX: usize = 1 << 20;

/// The most bytes of a key that an author gives to an effect.
pub(super) const EFFECT_KEY_BYTES_MAX: usize = 256;
/// The most bytes of a read's reply. A larger one is not recorded, and a retry makes the call again.
pub(super) const RECORDED_READ_BYTES_MAX: usize = 256 << 10;

/// The most labels that `history.earlier` compares.
pub(super) const HISTORY_LABELS_MAX: usize = 16;
/// The most bytes of the name of such a label.
pub(super) const HISTORY_LABEL_BYTES_MAX: usize = 256;
/// The longest time that `history.earlier` looks back, in seconds: 90 days, as long as history is kept.
pub(super) const HISTORY_SECONDS_MAX: u32 = 90 * 24 * 60 * 60;

/// The most bytes of a timer's key.
pub(super) const TIMER_KEY_BYTES_MAX: usize = 256;
/// The longest time until a timer is due, in seconds: 30 days.
pub(super) const TIMER_SECONDS_MAX: u32 = 30 * 24 * 60 * 60;
/// The most timers that a handler has open for one alert.
pub(super) const TIMERS_OPEN_MAX: u64 = 100;

/// The least room, in bytes, that an effect needs in the record: for its lines and a reply without a body.
pub(super) const RECORDED_EFFECT_BYTES_MIN: u64 = 16 << 10;
/// The most entries in the record of one delivery, over all steps and attempts.
pub(super) const DELIVERY_RECORD_ENTRIES_MAX: u64 = 100_000;
/// The most bytes in the record of one delivery, over all steps and attempts.
pub(super) const DELIVERY_RECORD_BYTES_MAX: u64 = 64 << 20;

/// The most bytes of a log line.
pub(super) const LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// How many bytes past a cut a text is searched for secrets, so that a secret across the cut is masked.
pub(super) const SECRET_BYTES_MAX: usize = 1 << 10;
/// The most bytes of the name of a log line's field.
pub(super) const LOG_FIELD_NAME_BYTES_MAX: usize = 256;
/// The most fields of a log line.
pub(super) const LOG_FIELDS_MAX: usize = 16;
/// The most bytes of stderr, from its end, in the report of a trap.
pub(super) const STDERR_TAIL_BYTES_MAX: usize = 4 << 10;
/// The most calls of one invocation in a story.
pub(super) const TRACE_CALLS_MAX: usize = 200;
/// The most bytes of a call's line in a story.
pub(super) const TRACE_LINE_BYTES_MAX: usize = 500;

/// The most bytes of a failure's message.
pub(super) const FAILURE_BYTES_MAX: usize = 4 << 10;
