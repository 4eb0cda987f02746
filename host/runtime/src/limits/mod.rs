//! Every limit of the sandbox. The constants here are those that no configuration changes; those that an operator sets are
//! tables: `quota.rs` (of one handler) and `bounds.rs` (of the sandbox as a whole).

pub(crate) mod advice;
pub(crate) mod bounds;
pub(crate) mod quota;
pub(crate) mod table;

use std::time::Duration;

/// Epochs are this long: how late a spinning guest is noticed.
pub(super) const EPOCH: Duration = Duration::from_millis(10);
/// CPU time after which a guest needs CPU permits. A usual guest takes well under a millisecond, an interpreter one or two.
pub(super) const LONG_CPU: Duration = Duration::from_millis(5);
/// Frames of a trap's backtrace.
pub(super) const BACKTRACE_FRAMES_MAX: usize = 20;

/// No `memory` limit of an operator can be above this: it is how large a memory of the pool can grow.
pub(super) const SLOT_MEMORY_BYTES_MAX: usize = 1 << 30;
/// Resource handles in one instance (streams, pollables).
pub(super) const HANDLES_MAX: usize = 1_024;
/// Random bytes in one call.
pub(super) const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// `describe`: CPU time. An interpreter starts here too.
pub(super) const DESCRIBE_CPU_MAX: Duration = Duration::from_secs(3);
/// `describe`: from instantiation to the result.
pub(super) const DESCRIBE_WALL_MAX: Duration = Duration::from_secs(10);
/// `describe`: memory. Nobody set a limit yet for a name that nobody knows.
pub(super) const DESCRIBE_MEMORY_BYTES_MAX: u64 = 64 << 20;
/// `describe`: bytes of all that it returns.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 64 << 10;

/// How long an invocation waits for a permit of the pool; its own time begins once it has one.
pub(super) const POOL_WAIT_MAX: Duration = Duration::from_secs(10);
/// Permits of the pool that `describe` has for itself: a new module is described however busy the others are.
pub(super) const DESCRIBE_PERMITS: u32 = 4;
/// How long `describe` waits for one of them.
pub(super) const DESCRIBE_WAIT_MAX: Duration = Duration::from_secs(60);

/// Headers of a request, names and values together.
pub(super) const HTTP_HEADER_BYTES_MAX: usize = 64 << 10;
/// How many headers a request has.
pub(super) const HTTP_HEADERS_MAX: usize = 100;
/// A URL.
pub(super) const HTTP_URL_BYTES_MAX: usize = 8 << 10;
/// Clients (connection pools) that one handler keeps.
pub(super) const HTTP_CLIENTS_MAX: usize = 32;
/// Idle connections to one host that each client keeps.
pub(super) const HTTP_IDLE_MAX: usize = 64;
/// How long an idle connection is kept.
pub(super) const HTTP_IDLE_FOR: Duration = Duration::from_secs(30);
/// To connect, TLS included.
pub(super) const HTTP_CONNECT_MAX: Duration = Duration::from_secs(10);

/// Slack's own bound of `text` is 40,000 characters.
pub(super) const SLACK_TEXT_CHARS_MAX: usize = 39_000;
/// Slack's own bound of `text` in `chat.update` is 4,000 characters.
pub(super) const SLACK_UPDATE_TEXT_CHARS_MAX: usize = 3_900;
/// One call of Slack's Web API.
pub(super) const SLACK_CALL_MAX: Duration = Duration::from_secs(15);
/// What Slack may answer.
pub(super) const SLACK_RESPONSE_BYTES_MAX: usize = 1 << 20;

/// A key that an author gives to an effect.
pub(super) const EFFECT_KEY_BYTES_MAX: usize = 256;
/// A read whose reply is larger is not recorded: a retry makes the call again.
pub(super) const RECORDED_READ_BYTES_MAX: usize = 256 << 10;

/// What an effect takes of the record at least, in bytes: its lines, and a reply without a body.
pub(super) const RECORDED_EFFECT_BYTES_MIN: u64 = 16 << 10;
/// Entries on record of one delivery, over all its steps and their attempts.
pub(super) const DELIVERY_RECORD_ENTRIES_MAX: u64 = 100_000;
/// Bytes of these entries.
pub(super) const DELIVERY_RECORD_BYTES_MAX: u64 = 64 << 20;

/// One line.
pub(super) const LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// How far past a cut a text is searched for a secret that the cut would leave a part of.
pub(super) const SECRET_BYTES_MAX: usize = 1 << 10;
/// The name of a line's field.
pub(super) const LOG_FIELD_NAME_BYTES_MAX: usize = 256;
/// Fields of one line.
pub(super) const LOG_FIELDS_MAX: usize = 16;
/// The end of stderr that the report of a trap shows.
pub(super) const STDERR_TAIL_BYTES_MAX: usize = 4 << 10;
/// Calls that a story keeps of one invocation.
pub(super) const TRACE_CALLS_MAX: usize = 200;
/// One line of the story about a call.
pub(super) const TRACE_LINE_BYTES_MAX: usize = 500;

/// The message of a failure.
pub(super) const FAILURE_BYTES_MAX: usize = 4 << 10;
