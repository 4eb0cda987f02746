"""One message in Slack for each incident, from its first alert to its end.

An incident is an alert that fires, or a storm of alerts (`Enrichment.storm`). Its first delivery posts a message. A later one
updates that message and replies in its thread: a reminder says how long the alert has fired by now, the end how long it fired.
Deliveries of a storm update the message without a reply, until all its alerts have resolved. If Slack reports that the message
is gone, a new one is posted. What is needed for this is kept in the key-value store for a week after the last delivery, so a
restart changes nothing.

    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        return Incident(cx, alert, found, "alerts").tell(f"[FIRING] {alert.name}", Blocks().section("A disk is full."))

    def resolved(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        return Incident(cx, alert, found, "alerts").tell(f"[RESOLVED] {alert.name}", Blocks().section("It has space again."))

It needs the interfaces `slack` and `kv`. Unlike the Rust SDK's, it does not put the alerts of a group into a thread, and the
message about a storm describes the alerts of one delivery of the storm, not of all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any

from handler_sdk import _check
from handler_sdk.alert import Alert
from handler_sdk.blocks import Blocks
from handler_sdk.context import Context
from handler_sdk.durations import DAY, MINUTE, human, moment, seconds_of
from handler_sdk.enrichment import Enrichment
from handler_sdk.errors import KvError
from handler_sdk.mrkdwn import Mrkdwn
from handler_sdk.slack import MessageRef
from handler_sdk.storm import all_resolved

#: How long a message is remembered after the last delivery.
_KEPT = 7 * DAY
#: A reminder that comes sooner after the last message updates it without a reply: another route has posted it.
_REPLY_AFTER = 5 * MINUTE


@dataclass(frozen=True)
class _Kept:
    """What is kept of a message."""

    at: str = ""
    delivery: str = ""
    """The delivery that posted or updated it last."""
    told_at: int = 0
    """When that was, in seconds since 1970."""
    count: int = 0
    """How many alerts of a storm the message counts."""
    resolved: int = 0
    """How many of them it counts as resolved."""
    notes: dict[str, str] = field(default_factory=dict)
    """The handler's notes."""


class Incident:
    """The incident that a delivery is about, and its message in a channel."""

    def __init__(self, cx: Context, alert: Alert, found: Enrichment, channel: str) -> None:
        """Looks up the incident's message in a channel, given by its name in the operator's configuration. If the store
        fails, the message counts as unknown, and a new one will be posted."""
        self._cx = cx
        self._alert = alert
        self._found = found
        self._channel = _check.text(channel, "`channel` of `Incident`")
        self._key = f"message/{channel}/{found.incident_key(alert)}"
        self._notes: dict[str, str] = {}
        self._kept = self._read()

    def note(self, name: str) -> str | None:
        """Returns a note that an earlier delivery of the incident kept."""
        return self._kept.notes.get(name) if self._kept else None

    def keep_note(self, name: str, text: str) -> Incident:
        """Keeps a note for later deliveries, for example what was found while the alert fired."""
        self._notes[_check.text(name, "the name of a note")] = _check.text(text, "a note")
        return self

    def tell(
        self, text: str | Mrkdwn, blocks: Blocks | None = None, *, reply: str | Mrkdwn | None = None
    ) -> dict[str, str]:
        """Shows the message: posts it, or updates the incident's earlier message and replies in its thread. `reply`
        replaces the reply for a message that is updated because the alert has resolved; by default it says after how
        long.

        Returns facts for the delivery's story: `slack.channel` and `slack.message`; `slack.how`, which is `posted`,
        `updated` or, if a later delivery of the storm has updated the message already, `outdated`; `slack.thread` for
        the reply, which is `posted` or `failed`.

        Raises `SlackError` if the message fails, or the reply and a retry may succeed.
        """
        kept = self._kept
        if kept is None:
            return self._post(text, blocks)
        if kept.delivery == self._cx.call.delivery_id and self._alert.is_firing:
            # A retry whose record does not have the post.
            return self._facts(kept.at, "posted")
        if self._is_outdated(kept):
            return self._facts(kept.at, "outdated")
        shown = self._cx.slack.update_or_post(MessageRef(kept.at), self._channel, text, blocks=blocks)
        if self._is_kept:
            self._keep(shown.at, kept)
        if shown.is_new:
            return self._facts(shown.at, "posted")
        facts = self._facts(shown.at, "updated")
        answer = self._reply(kept, reply)
        if answer is not None:
            replied = self._cx.slack.reply(shown.at, self._channel, answer, key="reply")
            facts["slack.thread"] = "failed" if replied.at is None else "posted"
        return facts

    def _post(self, text: str | Mrkdwn, blocks: Blocks | None) -> dict[str, str]:
        at = self._cx.slack.post(self._channel, text, blocks=blocks, key="message")
        if self._is_kept:
            self._keep(at, _Kept())
        return self._facts(at, "posted")

    @property
    def _is_kept(self) -> bool:
        """Whether a later delivery may need the message."""
        return self._alert.is_firing or self._found.storm is not None

    def _reply(self, kept: _Kept, given: str | Mrkdwn | None) -> str | Mrkdwn | None:
        """Returns the reply to an update; `None` if it needs none."""
        now = self._cx.now()
        storm = self._found.storm
        if storm is not None:
            if not (storm.is_over and self._alert.is_resolved):
                return None
            ended = self._alert.ends_at or now
            lasted = ended - (storm.since or self._alert.starts_at)
            told = f"{all_resolved(storm.count)} after {human(lasted)}."
            return told[0].upper() + told[1:]
        lasted = self._alert.duration(now)
        if self._alert.is_resolved:
            return given if given is not None else f"Resolved after {human(lasted)}."
        if max(timedelta(0), now - moment(kept.told_at)) < _REPLY_AFTER:
            return None
        return f"Still firing after {human(lasted)}."

    def _is_outdated(self, kept: _Kept) -> bool:
        """Returns whether the message shows a later state of the storm already."""
        storm = self._found.storm
        if storm is None or kept.count == 0:
            return False
        told, new = (kept.count, kept.resolved), (storm.count, storm.resolved)
        return told[0] >= new[0] and told[1] >= new[1] and told != new

    def _read(self) -> _Kept | None:
        try:
            kept = self._cx.kv.get(self._key)
        except KvError as error:
            self._cx.log.warn("the incident's earlier message is not known", why=error)
            return None
        if kept is None:
            return None
        try:
            fields: dict[str, Any] = json.loads(kept)
            return replace(_Kept(), **fields)
        except (TypeError, ValueError) as error:
            self._cx.log.warn("the incident's earlier message is not known", why=error)
            return None

    def _keep(self, at: str, earlier: _Kept) -> None:
        """Keeps what later deliveries need. The message is posted already, so a failure is only logged."""
        storm = self._found.storm
        kept = _Kept(
            at=at,
            delivery=self._cx.call.delivery_id,
            told_at=seconds_of(self._cx.now()),
            count=storm.count if storm else 0,
            resolved=storm.resolved if storm else 0,
            notes={**earlier.notes, **self._notes},
        )
        try:
            self._cx.kv.set_json(self._key, asdict(kept), ttl=_KEPT)
        except KvError as error:
            self._cx.log.warn("the message could not be remembered; its end will be a new message", why=error)

    def _facts(self, at: str, how: str) -> dict[str, str]:
        return {"slack.channel": self._channel, "slack.message": at, "slack.how": how}
