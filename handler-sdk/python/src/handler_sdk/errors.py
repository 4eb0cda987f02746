"""The errors of host calls. One that leaves a hook becomes the failure that fits, as `as_failure` describes."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from handler_sdk.failure import Failure, Permanent, Retryable, Unavailable


class ErrorKind(Enum):
    """Why a call to the host failed."""

    DENIED = "denied"
    """The operator has not granted the call. The message holds the lines of configuration that would grant it."""
    INVALID = "invalid"
    """The host or Slack refuses the call as it is. The message says what to change."""
    UNREACHABLE = "unreachable"
    """The name did not resolve, no connection could be made, TLS failed, or the connection broke."""
    TIMEOUT = "timeout"
    """The time ran out. Whether the call took effect is unknown."""
    TOO_LARGE = "too-large"
    """The response, key or value is larger than the limit that the message names, in bytes."""
    BUDGET_EXHAUSTED = "budget-exhausted"
    """A limit of this step is used up; the message names it."""
    UNAVAILABLE = "unavailable"
    """Any other transient error."""
    NOT_FOUND = "not-found"
    """The message no longer exists in Slack, or is too old to be changed: post a new one."""
    RATE_LIMITED = "rate-limited"
    """Slack asks to wait; `wait` says how long."""
    QUOTA_EXCEEDED = "quota-exceeded"
    """This handler's keys and values are over their limit in all."""
    STATUS = "status"
    """`Response.raise_for_status` found another status than 200 to 299."""
    UNREADABLE = "unreadable"
    """`Response.json` could not read the body."""


_UNAVAILABLE = {ErrorKind.UNREACHABLE, ErrorKind.TIMEOUT, ErrorKind.UNAVAILABLE, ErrorKind.RATE_LIMITED}


class CallError(Exception):
    """A call to the host that failed.

    `kind` says why, `reason` is the host's own text, `wait` how long to wait before another attempt, if that is known.
    """

    def __init__(self, kind: ErrorKind, message: str, *, reason: str = "", wait: timedelta | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.reason = reason
        self.wait = wait

    def as_failure(self) -> Failure:
        """Returns the failure that the error becomes if the handler does not catch it: `Unavailable` for timeouts,
        outages and rate limits (with their wait), `Retryable` for a body that cannot be read, `Permanent` for the
        rest."""
        if self.kind in _UNAVAILABLE:
            return Unavailable(self.message, after=self.wait)
        return Permanent(self.message)


class HttpError(CallError):
    """An HTTP request without a response, or without a usable one. `status` is set if the kind is `STATUS`."""

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        reason: str = "",
        wait: timedelta | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(kind, message, reason=reason, wait=wait)
        self.status = status

    def as_failure(self) -> Failure:
        """Returns `Unavailable` for 408, 425, 429, 5xx, timeouts and unreachable hosts, with the server's `Retry-After`;
        `Retryable` for a body that cannot be read; `Permanent` for the rest."""
        if self.kind is ErrorKind.STATUS and self.status is not None:
            if self.status in (408, 425, 429) or self.status >= 500:
                return Unavailable(self.message, after=self.wait)
        if self.kind is ErrorKind.UNREADABLE:
            return Retryable(self.message)
        return super().as_failure()


class SlackError(CallError):
    """A call to Slack that failed."""


class KvError(CallError):
    """A call to the key-value store that failed."""


class HistoryError(CallError):
    """A question about earlier alerts that failed."""


class TimerError(CallError):
    """A timer that could not be set or removed."""


def slack_error(kind: ErrorKind, reason: str = "", wait: timedelta | None = None) -> SlackError:
    """Returns the error of a call to Slack, in the words that people read."""
    wait_ms = (wait or timedelta(0)) // timedelta(milliseconds=1)
    message = {
        ErrorKind.DENIED: f"Slack: not granted: {reason}",
        ErrorKind.INVALID: f"Slack refuses the message: {reason}",
        ErrorKind.NOT_FOUND: "Slack: the message is gone, or too old to be changed",
        ErrorKind.RATE_LIMITED: f"Slack asks to wait {wait_ms} ms",
        ErrorKind.UNAVAILABLE: f"Slack is unavailable: {reason}",
        ErrorKind.TIMEOUT: "Slack timed out; whether it was posted is unknown",
        ErrorKind.BUDGET_EXHAUSTED: f"Slack: the step's limit is used up: {reason}",
    }[kind]
    return SlackError(kind, message, reason=reason, wait=wait)


def kv_error(kind: ErrorKind, reason: str = "") -> KvError:
    """Returns the error of a call to the key-value store, in the words that people read."""
    message = {
        ErrorKind.TOO_LARGE: f"kv: the key or value is over its limit of {reason} bytes",
        ErrorKind.QUOTA_EXCEEDED: "kv: this handler's keys and values are over their limit in all; give them a time to "
        "live, or remove some",
        ErrorKind.UNAVAILABLE: f"kv: {reason}",
        ErrorKind.BUDGET_EXHAUSTED: f"kv: the step's limit is used up: {reason}",
    }[kind]
    return KvError(kind, message, reason=reason)


def history_error(kind: ErrorKind, reason: str = "") -> HistoryError:
    """Returns the error of a question about earlier alerts."""
    return HistoryError(kind, f"history: {_words(kind, reason)}", reason=reason)


def timer_error(kind: ErrorKind, reason: str = "") -> TimerError:
    """Returns the error of a timer."""
    return TimerError(kind, f"timer: {_words(kind, reason)}", reason=reason)


def _words(kind: ErrorKind, reason: str) -> str:
    return {
        ErrorKind.DENIED: f"not granted: {reason}",
        ErrorKind.BUDGET_EXHAUSTED: f"the step's limit is used up: {reason}",
    }.get(kind, reason)
