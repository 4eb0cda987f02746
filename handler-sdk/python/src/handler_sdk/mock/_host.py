"""The mock host: a test scripts it, runs a handler, and reads what the handler did."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from handler_sdk import _author, _check, _project, _run
from handler_sdk.alert import Alert
from handler_sdk.context import Call, Context
from handler_sdk.enrichment import Enrichment
from handler_sdk.errors import KvError, SlackError, kv_error, slack_error
from handler_sdk.errors import ErrorKind
from handler_sdk.failure import Failure, Unavailable
from handler_sdk.handler import Handler
from handler_sdk.history import Past
from handler_sdk.mock import _checks
from handler_sdk.mock._mock_imports import MockImports
from handler_sdk.mock._reply import Reply
from handler_sdk.mock._sent import LogLine, Post, Reaction, Request, SetTimer, Update, Upload
from handler_sdk.mock._state import EARLIER_MESSAGE, State
from handler_sdk.mock._storm import Storm
from handler_sdk.slack import MessageRef

_TIME_LEFT = timedelta(seconds=30)


@dataclass(frozen=True)
class Run:
    """The results of a handler's two steps."""

    enrichment: Enrichment | Failure
    """What `enrich` added, or its failure."""
    result: dict[str, str] | Failure
    """What `act` or `resolved` returned, or its failure."""

    @property
    def facts(self) -> dict[str, str]:
        """The facts of `act`. Raises the failure if there is one."""
        if isinstance(self.result, Failure):
            raise self.result
        return self.result

    @property
    def failure(self) -> Failure:
        """The failure of `act`. Raises `AssertionError` if there is none."""
        assert isinstance(self.result, Failure), f"`act` succeeded: {self.result}"
        return self.result


class Host:
    """A mock host in memory. It grants Slack and kv, answers no request, and has no settings.

    The methods that script it return it, so that a script reads from top to bottom.
    """

    def __init__(self) -> None:
        self._state = State()
        self._are_needs_given = False

    # The script.

    def now(self, now: datetime) -> Host:
        """Sets the time."""
        self._state.now = now
        return self

    def attempt(self, attempt: int) -> Host:
        """Sets the number of the attempt. As on the real host, a later attempt for the same alert is answered from the
        record of the earlier ones, up to the last effect that succeeded: a message is not posted again, and until then the
        time is the recorded one. A host that has not run the alert before has no record."""
        self._state.attempt = attempt
        return self

    def delivery(self, id: str) -> Host:
        """Begins another delivery with this id; by default all runs are the delivery `d-1`. A reminder and a resolved alert
        are deliveries of their own."""
        self._state.delivery_id = id
        self._state.attempt = 1
        return self

    def needs(self, *interfaces: str) -> Host:
        """Has a use of any other interface fail; by default, what the `pyproject.toml` above the handler declares."""
        self._state.needs = interfaces
        self._are_needs_given = True
        return self

    def config(self, key: str, value: str) -> Host:
        """Sets a setting of the operator: a scalar as written, a list or mapping as JSON."""
        self._state.config[key] = value
        return self

    def http_get(self, url: str, status: int, body: str | bytes = b"") -> Host:
        """Scripts the response to a GET request; a `*` in the URL matches any text."""
        return self.http("GET", url, Reply.status(status, body))

    def http(self, method: str, url: str, reply: Reply) -> Host:
        """Scripts the response to a request; a `*` in the URL matches any text. If several scripts match, the latest is
        used. A request that matches none is denied."""
        self._state.routes.append((method, url, reply))
        return self

    def deny_slack(self) -> Host:
        """Denies all calls to Slack."""
        self._state.is_slack_denied = True
        return self

    def channels(self, names: Iterable[str]) -> Host:
        """Grants only these channels; by default all are granted."""
        self._state.channels = set(names)
        return self

    def credentials(self, names: Iterable[str]) -> Host:
        """Grants only these credentials; by default all are granted."""
        self._state.credentials = set(names)
        return self

    def allow_uploads(self) -> Host:
        """Takes uploads, as a later server will. By default each is unavailable, as on a server of this version."""
        self._state.are_uploads_allowed = True
        return self

    def hold_channel(self, channel: str, code: str) -> Host:
        """Makes Slack reject a channel until `release_channel`, for example with `not_in_channel`. As on the real host, the
        call is unavailable, and an `act` that then fails, with whatever failure, waits for the channel."""
        self._state.held[channel] = code
        return self

    def release_channel(self, channel: str) -> Host:
        """Ends the rejection that `hold_channel` began, as if the operator had fixed its cause."""
        self._state.held.pop(channel, None)
        return self

    def slack_error(self, kind: ErrorKind, reason: str = "", *, wait: timedelta | None = None, after: int = 0) -> Host:
        """Makes the next call to Slack fail, or one after so many that succeed, counted after those that are scripted
        already."""
        error: SlackError = slack_error(kind, reason, wait)
        self._state.slack_errors.extend([None] * after)
        self._state.slack_errors.append(error)
        return self

    def kv_error(self, kind: ErrorKind, reason: str = "") -> Host:
        """Makes the next call to kv fail; repeated calls script the calls after it, in order."""
        error: KvError = kv_error(kind, reason)
        self._state.kv_errors.append(error)
        return self

    def kv(self, key: str, value: str | bytes) -> Host:
        """Sets a value, as an earlier delivery of the handler could have done."""
        self._state.kv_put(key, value.encode() if isinstance(value, str) else value, None)
        return self

    def history(self, past: Past) -> Host:
        """Sets what the server has of earlier alerts; by default nothing."""
        self._state.past = past
        return self

    def storm(self, storm: Storm) -> Host:
        """Has the handler run for a storm of alerts from now on. Combine it with `delivery` for each further delivery of
        the storm."""
        found = storm.found()
        self._state.given = Enrichment({**self._state.given.facts, **found.facts}, found.blocks)
        return self

    def late(self, why: str) -> Host:
        """Gives the reason why messages are late from now on, as the host does."""
        return self._give("late.why", why)

    def priority(self, rank: str) -> Host:
        """Gives the rank that the operator's configuration has for the alerts from now on: `critical`, `warning` or
        `normal`."""
        return self._give("priority", rank)

    def _give(self, name: str, value: str) -> Host:
        given = self._state.given
        self._state.given = replace(given, facts={**given.facts, name: value})
        return self

    # Runs.

    def run(self, handler: type[Handler], alert: Alert, so_far: Enrichment | None = None) -> Run:
        """Runs the handler for an alert: `enrich`, then `act` with what `enrich` found; after other handlers have found
        `so_far`.

        As on the real host, a failed `enrich` does not stop the alert: `act` gets the fact `enrich_failed.NAME`. A
        `Mistake`, and every exception that is no failure, is raised.
        """
        before = so_far or Enrichment()
        added: Enrichment | Failure
        try:
            added = self.enrich(handler, alert, before)
            found = before.plus(added)
        except Failure as failure:
            added = failure
            name = _run.describe(handler).name
            found = before.plus(Enrichment({f"enrich_failed.{name}": failure.message}))
        try:
            return Run(added, self.act(handler, alert, found))
        except Failure as failure:
            return Run(added, failure)

    def enrich(self, handler: type[Handler], alert: Alert, so_far: Enrichment | None = None) -> Enrichment:
        """Runs only `enrich`, and returns what it added. Raises its `Failure`."""
        self._begin("enrich", handler, alert)
        added = _run.enrich(handler, self._cx("enrich"), alert, self._with_given(so_far))
        wrong = _checks.facts_of(added.facts.items())
        if wrong:
            raise _check.mistake(f"`enrich` returned {wrong}", _author.line_of(handler.enrich))
        return added

    def act(self, handler: type[Handler], alert: Alert, found: Enrichment | None = None) -> dict[str, str]:
        """Runs only `act`, or `resolved` if the alert has resolved, and returns its facts. Raises its `Failure`. As on the
        real host, facts with the host's names are dropped."""
        self._begin("act", handler, alert)
        self._state.met_hold = None
        try:
            returned = _run.act(handler, self._cx("act"), alert, self._with_given(found))
        except Failure as failure:
            if self._state.met_hold is None:
                raise
            raise Unavailable(self._state.met_hold) from failure
        facts = _checks.without_hosts(returned)
        wrong = _checks.facts_of(facts.items())
        if wrong:
            hook = "act" if alert.is_firing else "resolved"
            raise _check.mistake(f"`{hook}` returned {wrong}", _author.line_of(getattr(handler, hook)))
        return facts

    def cx(self) -> Context:
        """Returns the context of an `act`, to test a function that takes one."""
        return self._cx("act")

    def _cx(self, step: str) -> Context:
        call = Call(self._state.delivery_id, self._state.attempt, _TIME_LEFT, dry_run=False)
        return Context(call, MockImports(self._state, step))

    def _with_given(self, found: Enrichment | None) -> Enrichment:
        return self._state.given.plus(found or Enrichment())

    def _begin(self, step: str, handler: type[Handler], alert: Alert) -> None:
        _run.check(handler)
        if not self._are_needs_given:
            project = _project.above(Path(inspect.getfile(handler)))
            self._state.needs = project.needs if project else None
        state = self._state
        state.declared = tuple(setting.name for setting in handler().describe().settings)
        state.fingerprint = alert.fingerprint
        event = f"{state.delivery_id} {alert.fingerprint} {alert.starts_at} {alert.status}"
        state.begin(step, event)

    # What the handler did.

    @property
    def requests(self) -> list[Request]:
        """The requests that were sent, denied ones too."""
        return list(self._state.requests)

    @property
    def posts(self) -> list[Post]:
        """The messages that were posted."""
        return list(self._state.posts)

    @property
    def updates(self) -> list[Update]:
        """The changes to messages."""
        return list(self._state.updates)

    @property
    def reactions(self) -> list[Reaction]:
        """The emoji that were added."""
        return list(self._state.reactions)

    @property
    def uploads(self) -> list[Upload]:
        """The files that were uploaded, which takes `allow_uploads`."""
        return list(self._state.uploads)

    @property
    def timers(self) -> list[SetTimer]:
        """The timers that are open, by key."""
        return [timer for _, timer in sorted(self._state.timers.items())]

    @property
    def logs(self) -> list[LogLine]:
        """The lines that were logged."""
        return list(self._state.logs)

    def kept(self, key: str) -> str | None:
        """Returns a stored value as text; `None` if it has expired."""
        value = self._state.kv_live(key)
        return None if value is None else value.decode(errors="replace")

    @property
    def kept_keys(self) -> list[str]:
        """The keys that have a value, sorted, including expired ones."""
        return sorted(self._state.kv)

    def earlier_message(self) -> MessageRef:
        """Returns a reference for a message of an earlier delivery, which no post of this host returns."""
        return MessageRef(EARLIER_MESSAGE)

    def transcript(self) -> str:
        """Returns all messages and changes as a person sees them, in the order of the script: the text that notifications on
        a phone show, after `text:`, then the blocks, one line each."""
        number = {post.at: index for index, post in enumerate(self.posts, 1)}
        parts = []
        for index, post in enumerate(self.posts, 1):
            thread = "" if post.thread is None else f", in the thread of {number.get(post.thread, 0)}"
            parts.append(_part(f"== message {index} to {post.channel}{thread}", post))
        parts += [_part(f"== message {number.get(update.at, 0)} becomes", update) for update in self.updates]
        return "\n".join(parts)


def _part(heading: str, message: Any) -> str:
    blocks = f"{message.visible}\n" if message.visible else ""
    return f"{heading}\ntext: {message.text}\n{blocks}"
