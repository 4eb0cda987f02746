"""The state of the mock host: its script, what the handler did, and the record of each step."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from handler_sdk._imports import HttpRequest, HttpResponse
from handler_sdk.durations import moment
from handler_sdk.enrichment import Enrichment
from handler_sdk.errors import CallError, ErrorKind, HttpError, KvError, SlackError, kv_error, slack_error, timer_error
from handler_sdk.history import Past
from handler_sdk.mock import _checks
from handler_sdk.mock._replay import Replay
from handler_sdk.mock._reply import Reply
from handler_sdk.mock._sent import LogLine, Post, Reaction, Request, SetTimer, Update, Upload

#: A reference that no post of this host returns.
EARLIER_MESSAGE = "mock:earlier:0"


@dataclass
class State:
    now: datetime = field(default_factory=lambda: moment(1_700_000_000))
    delivery_id: str = "d-1"
    attempt: int = 1
    needs: tuple[str, ...] | None = None
    config: dict[str, str] = field(default_factory=dict)
    #: The names of the settings that the handler declares; `None` if no handler is run.
    declared: tuple[str, ...] | None = None
    routes: list[tuple[str, str, Reply]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    is_slack_denied: bool = False
    #: Channels that Slack rejects, with its error codes.
    held: dict[str, str] = field(default_factory=dict)
    #: The error of such a channel that the current step has met.
    met_hold: str | None = None
    channels: set[str] | None = None
    credentials: set[str] | None = None
    slack_errors: deque[SlackError | None] = field(default_factory=deque)
    kv_errors: deque[KvError] = field(default_factory=deque)
    messages: int = 0
    posts: list[Post] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    are_uploads_allowed: bool = False
    uploads: list[Upload] = field(default_factory=list)
    #: By the alert's fingerprint and the key.
    timers: dict[tuple[str, str], SetTimer] = field(default_factory=dict)
    past: Past = field(default_factory=lambda: Past(0, []))
    kv: dict[str, tuple[bytes, datetime | None]] = field(default_factory=dict)
    logs: list[LogLine] = field(default_factory=list)
    #: What the host itself gives to each step, before what other handlers found.
    given: Enrichment = field(default_factory=Enrichment)
    #: The calls of the current attempt, by interface.
    counts: dict[str, int] = field(default_factory=dict)
    replays: dict[tuple[str, str], Replay] = field(default_factory=dict)
    event: str = ""
    #: The fingerprint of the alert that is run.
    fingerprint: str = ""

    def take(self, interface: str, most: int) -> bool:
        """Counts a call; returns false if the count had reached `most`."""
        count = self.counts.get(interface, 0)
        self.counts[interface] = min(count + 1, most)
        return count < most

    def replay(self, step: str) -> Replay:
        """Returns the record of a step."""
        return self.replays.setdefault((self.event, step), Replay())

    def clock(self, step: str) -> datetime:
        """Returns the time for a step: as on the real host, the recorded time as long as effects are left to replay."""
        replay = self.replay(step)
        return replay.clock() or max(self.now, replay.latest() or self.now)

    def begin(self, step: str, event: str) -> None:
        """Begins an attempt of a step for an event; the first attempt of an event has no record."""
        if self.attempt <= 1:
            self.replays.pop((event, step), None)
        self.event = event
        self.counts = {}
        self.replay(step).begin()

    def is_declared(self, key: str) -> bool:
        """Returns whether a handler may read a setting: it declares it, or it is the server's."""
        if self.declared is None or key in ("story_base", "slack.thread_by"):
            return True
        return any(_fits(name, key) for name in self.declared)

    def set_timer(self, timer: SetTimer) -> None:
        """Sets a timer of the alert that is run, unless as many are open as may be."""
        place = (self.fingerprint, timer.key)
        others = [other for other in self.timers if other[0] == self.fingerprint and other != place]
        if len(others) >= _checks.TIMERS_OPEN_MAX:
            why = f"timers: {_checks.TIMERS_OPEN_MAX} are open for this alert"
            raise timer_error(ErrorKind.BUDGET_EXHAUSTED, why)
        self.timers[place] = timer

    def cancel_timer(self, key: str) -> bool:
        """Removes a timer of the alert that is run; returns whether there was one."""
        return self.timers.pop((self.fingerprint, key), None) is not None

    def reply_to(self, request: HttpRequest) -> HttpResponse:
        """Returns the response to a request that is made now."""
        wrong = _checks.request(request)
        if wrong:
            raise _refused(ErrorKind.INVALID, wrong)
        # The latest script is used, so that a test can replace one between two runs.
        routes = ((url, reply) for method, url, reply in reversed(self.routes) if method == request.method)
        reply = next((reply for url, reply in routes if _fits(url, request.url)), None)
        if reply is None:
            raise _refused(ErrorKind.DENIED, f"the test scripted no answer to {request.method} {request.url}")
        if self.credentials is not None and request.credential not in (None, *self.credentials):
            raise _refused(ErrorKind.DENIED, f"the test does not grant the credential {request.credential}")
        wrong = _checks.headers(request.headers)
        if wrong:
            raise _refused(ErrorKind.INVALID, wrong)
        if isinstance(reply.outcome, HttpError):
            raise _refused(reply.outcome.kind, reply.outcome.reason)
        body = b"" if request.method == "HEAD" else reply.outcome.body
        if len(body) > _checks.RESPONSE_BYTES_MAX:
            raise _refused(ErrorKind.TOO_LARGE, str(_checks.RESPONSE_BYTES_MAX))
        return HttpResponse(reply.outcome.status, list(reply.outcome.headers), body)

    def check_channel(self, channel: str) -> None:
        """Denies a channel that is not granted."""
        if self.is_slack_denied:
            raise slack_error(ErrorKind.DENIED, "handlers.NAME.allow.slack: [CHANNEL]")
        if self.channels is not None and channel not in self.channels:
            raise slack_error(ErrorKind.DENIED, f"handlers.NAME.allow.slack: [{channel}]")

    def channel_of(self, at: str) -> str | None:
        """Returns the channel of a message; `None` for a message of an earlier delivery, which fits every channel."""
        if at == EARLIER_MESSAGE:
            return None
        for post in self.posts:
            if post.at == at:
                return post.channel
        raise slack_error(ErrorKind.NOT_FOUND)

    def next_slack_error(self, channel: str | None) -> None:
        """Raises the next scripted error, or the error of a channel that Slack rejects."""
        if channel in self.held:
            self.met_hold = f"Slack refuses the channel {channel}: {self.held[channel]}"
            raise slack_error(ErrorKind.UNAVAILABLE, self.met_hold)
        error: CallError | None = self.slack_errors.popleft() if self.slack_errors else None
        if error is not None:
            raise error

    def kv_live(self, key: str) -> bytes | None:
        """Returns a value that has not expired."""
        value, ends_at = self.kv.get(key, (None, None))
        return value if ends_at is None or self.now < ends_at else None

    def kv_put(self, key: str, value: bytes, ttl_seconds: int | None) -> None:
        """Sets a value if the quota allows it."""
        live = {name: kept for name in self.kv if name != key and (kept := self.kv_live(name)) is not None}
        size = len(key.encode()) + len(value) + sum(len(name.encode()) + len(kept) for name, kept in live.items())
        if len(live) + 1 > _checks.KV_KEYS_MAX or size > _checks.KV_BYTES_MAX:
            raise kv_error(ErrorKind.QUOTA_EXCEEDED)
        ends_at = None if ttl_seconds is None else self.now + timedelta(seconds=ttl_seconds)
        self.kv[key] = (value, ends_at)


def _refused(kind: ErrorKind, reason: str) -> HttpError:
    return HttpError(kind, reason, reason=reason)


def _fits(pattern: str, url: str) -> bool:
    """Returns whether a URL matches a pattern: `*` matches any text; a pattern without one must be equal."""
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), url, re.DOTALL) is not None
