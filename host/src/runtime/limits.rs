//! Every bound that a guest meets and an operator does not set: one place to read them all.

use std::time::Duration;

/// A module's file. Python's interpreter makes 18 MB of it.
pub(super) const MODULE_BYTES_MAX: u64 = 64 << 20;
/// All precompiled modules together; the oldest go first.
pub(super) const CACHE_BYTES_MAX: u64 = 2 << 30;

/// Epochs are this long: how late a spinning guest is noticed.
pub(super) const EPOCH: Duration = Duration::from_millis(10);
/// Guest frames, in bytes. A tenth of what the fiber has, so that the host's own frames fit.
pub(super) const WASM_STACK_BYTES: usize = 1 << 20;
/// The whole fiber: guest and host frames.
pub(super) const FIBER_STACK_BYTES: usize = 2 << 20;
/// Frames of a trap's backtrace.
pub(super) const BACKTRACE_FRAMES_MAX: usize = 20;

/// Core instances in one component: Python's has a dozen.
pub(super) const CORE_INSTANCES_MAX: u32 = 20;
/// Linear memories in one component. Every toolchain makes one.
pub(super) const MEMORIES_MAX: u32 = 4;
/// Tables in one component.
pub(super) const TABLES_MAX: u32 = 8;
/// Elements of one table: Python's fills more than half of it.
pub(super) const TABLE_ELEMENTS_MAX: usize = 20_000;
/// No `memory` limit of an operator can be above this: it is what a slot of the pool can grow to.
pub(super) const SLOT_MEMORY_BYTES_MAX: usize = 1 << 30;
/// Resource handles in one instance (streams, pollables).
pub(super) const HANDLES_MAX: usize = 1_024;
/// What the host may allocate to read the arguments or the results of one call.
pub(super) const LIFT_BYTES_MAX: usize = 8 << 20;
/// Random bytes in one call.
pub(super) const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// `describe`: time on a processor. An interpreter starts here too.
pub(super) const DESCRIBE_CPU_MAX: Duration = Duration::from_secs(3);
/// `describe`: in all.
pub(super) const DESCRIBE_WALL_MAX: Duration = Duration::from_secs(10);
/// `describe`: memory. Nobody set a limit yet for a name that nobody knows.
pub(super) const DESCRIBE_MEMORY_BYTES_MAX: u64 = 64 << 20;
/// `describe`: bytes of all that it says.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 64 << 10;

/// How long an invocation waits for a slot; its own time begins only once it has one.
pub(super) const SLOT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Slots that `describe` has for itself: a new module is looked at however busy the others are.
pub(super) const DESCRIBE_SLOTS: u32 = 4;
/// How long `describe` waits for one of them.
pub(super) const DESCRIBE_WAIT_MAX: Duration = Duration::from_secs(60);

/// Host calls in one invocation, cheap ones too.
pub(super) const HOST_CALLS_MAX: u32 = 10_000;
/// Slack calls in one invocation.
pub(super) const SLACK_CALLS_MAX: u32 = 50;
/// Calls of `kv` in one invocation.
pub(super) const KV_CALLS_MAX: u32 = 1_000;

/// A request's body.
pub(super) const HTTP_REQUEST_BODY_BYTES_MAX: usize = 4 << 20;
/// A response's body.
pub(super) const HTTP_RESPONSE_BODY_BYTES_MAX: u32 = 8 << 20;
/// All responses of one step together.
pub(super) const HTTP_TOTAL_BYTES_MAX: u64 = 32 << 20;
/// Headers of a request, names and values together.
pub(super) const HTTP_HEADER_BYTES_MAX: usize = 64 << 10;
/// How many headers a request has.
pub(super) const HTTP_HEADERS_MAX: usize = 100;
/// A URL.
pub(super) const HTTP_URL_BYTES_MAX: usize = 8 << 10;
/// Clients (connection pools) that one handler keeps.
pub(super) const HTTP_CLIENTS_MAX: usize = 32;
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

/// A key of `kv`.
pub(super) const KV_KEY_BYTES_MAX: u32 = 512;
/// A value of `kv`.
pub(super) const KV_VALUE_BYTES_MAX: u32 = 64 << 10;
/// A handler's keys and values together: some ten thousand incidents with their messages.
pub(super) const KV_TOTAL_BYTES_MAX: u64 = 16 << 20;

/// A key that an author gives to an effect.
pub(super) const EFFECT_KEY_BYTES_MAX: usize = 256;
/// A read whose answer is larger is not recorded: a retry asks again.
pub(super) const RECORDED_READ_BYTES_MAX: usize = 256 << 10;

/// Lines that a story keeps of one invocation.
pub(super) const LOG_LINES_MAX: usize = 200;
/// Bytes that a story keeps of one invocation's lines.
pub(super) const LOG_BYTES_MAX: usize = 64 << 10;
/// One line.
pub(super) const LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// Fields of one line.
pub(super) const LOG_FIELDS_MAX: usize = 16;
/// The end of stderr that a trap's report shows.
pub(super) const STDERR_TAIL_BYTES_MAX: usize = 4 << 10;
/// Calls that a story keeps of one invocation.
pub(super) const TRACE_CALLS_MAX: usize = 200;
/// One line about a call.
pub(super) const TRACE_LINE_BYTES_MAX: usize = 500;

/// Facts that one hook may return.
pub(super) const FACTS_MAX: usize = 256;
/// A fact's name.
pub(super) const FACT_NAME_BYTES_MAX: usize = 256;
/// A fact's value.
pub(super) const FACT_VALUE_BYTES_MAX: usize = 8 << 10;
/// Blocks that one hook may return.
pub(super) const BLOCKS_MAX: usize = 64;
/// Facts and blocks of one hook, all their bytes.
pub(super) const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// The message of a failure.
pub(super) const FAILURE_BYTES_MAX: usize = 4 << 10;
