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

If the route sets `slack.thread_by` to `group`, the alerts of one Alertmanager group share a message that counts them, and each
alert is a reply in its thread, updated in place. Critical alerts have a shared message of their own if that of their group is
not critical, because Slack notifies nobody of a reply. A storm is not part of a group.

It needs the interfaces `slack` and `kv`. Unlike the Rust SDK's, the message about a storm describes the alerts of one delivery
of the storm, not of all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from handler_sdk import _check, _kept
from handler_sdk._group import Group, capitalized
from handler_sdk._kept import Kept, Place
from handler_sdk.alert import Alert
from handler_sdk.blocks import Blocks
from handler_sdk.context import Context
from handler_sdk.durations import MINUTE, human, moment, seconds_of
from handler_sdk.enrichment import Enrichment
from handler_sdk.errors import ErrorKind, SlackError
from handler_sdk.mrkdwn import Mrkdwn
from handler_sdk.slack import MessageRef
from handler_sdk.storm import all_resolved

#: A reminder that comes sooner after the last message updates it without a reply: another route has posted it.
_REPLY_AFTER = 5 * MINUTE


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
        self._kept = _kept.read_kept(cx, self._key, "the incident's earlier message is not known")

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
            return self._tell_first(text, blocks)
        if kept.delivery == self._cx.call.delivery_id and self._alert.is_firing:
            # A retry whose record does not have the post.
            return self._facts(kept.at, "posted")
        if self._is_outdated(kept):
            return self._facts(kept.at, "outdated")
        return self._tell_again(kept, text, blocks, reply)

    def _tell_first(self, text: str | Mrkdwn, blocks: Blocks | None) -> dict[str, str]:
        group = self._group if self._alert.is_firing else None
        if group is None:
            return self._post(text, blocks)
        joined = group.join()
        if isinstance(joined, Place):
            return self._tell_in_group(group, joined, text, blocks)
        # The message that was meant for the group becomes the alert's own: another alert's is used.
        at = self._cx.slack.update(joined, text, blocks=blocks, key="update")
        return self._posted(at)

    def _tell_in_group(
        self, group: Group, place: Place, text: str | Mrkdwn, blocks: Blocks | None
    ) -> dict[str, str]:
        """Posts the alert's message in the thread of its group's message."""
        parent = MessageRef(place.at)
        try:
            at = self._cx.slack.post(self._channel, text, blocks=blocks, thread=parent, key="message")
        except SlackError as error:
            if error.kind not in (ErrorKind.NOT_FOUND, ErrorKind.INVALID):
                raise
            # The group's message was deleted, or the channel has no threads.
            group.forget(place)
            return self._post(text, blocks)
        group.count_firing(place)
        self._keep(at, Kept(group=place))
        group.refresh(place)
        return self._facts(at, "posted")

    def _tell_again(
        self, kept: Kept, text: str | Mrkdwn, blocks: Blocks | None, reply: str | Mrkdwn | None
    ) -> dict[str, str]:
        """Updates the message of an earlier delivery."""
        place = kept.group
        thread = MessageRef(place.at) if place else None
        shown = self._cx.slack.update_or_post(MessageRef(kept.at), self._channel, text, blocks=blocks, thread=thread)
        if self._is_kept or place:
            self._keep(shown.at, kept)
        if place is not None:
            group = self._group
            if group is not None:
                if self._alert.is_resolved:
                    group.count_resolved(place)
                group.refresh(place)
            return self._facts(shown.at, "updated")
        if shown.is_new:
            return self._facts(shown.at, "posted")
        facts = self._facts(shown.at, "updated")
        answer = self._reply(kept, reply)
        if answer is not None:
            replied = self._cx.slack.reply(shown.at, self._channel, answer, key="reply")
            facts["slack.thread"] = "failed" if replied.at is None else "posted"
        return facts

    def _post(self, text: str | Mrkdwn, blocks: Blocks | None) -> dict[str, str]:
        return self._posted(self._cx.slack.post(self._channel, text, blocks=blocks, key="message"))

    def _posted(self, at: MessageRef) -> dict[str, str]:
        if self._is_kept:
            self._keep(at, Kept())
        return self._facts(at, "posted")

    @property
    def _group(self) -> Group | None:
        return Group.of(self._cx, self._alert, self._found, self._channel)

    @property
    def _is_kept(self) -> bool:
        """Whether a later delivery may need the message."""
        return self._alert.is_firing or self._found.storm is not None

    def _reply(self, kept: Kept, given: str | Mrkdwn | None) -> str | Mrkdwn | None:
        """Returns the reply to an update; `None` if it needs none."""
        now = self._cx.now()
        storm = self._found.storm
        if storm is not None:
            if not (storm.is_over and self._alert.is_resolved):
                return None
            ended = self._alert.ends_at or now
            lasted = ended - (storm.since or self._alert.starts_at)
            return capitalized(f"{all_resolved(storm.count)} after {human(lasted)}.")
        lasted = self._alert.duration(now)
        if self._alert.is_resolved:
            return given if given is not None else f"Resolved after {human(lasted)}."
        if max(timedelta(0), now - moment(kept.told_at)) < _REPLY_AFTER:
            return None
        return f"Still firing after {human(lasted)}."

    def _is_outdated(self, kept: Kept) -> bool:
        """Returns whether the message shows a later state of the storm already."""
        storm = self._found.storm
        if storm is None or kept.count == 0:
            return False
        told, new = (kept.count, kept.resolved), (storm.count, storm.resolved)
        return told[0] >= new[0] and told[1] >= new[1] and told != new

    def _keep(self, at: str, earlier: Kept) -> None:
        """Keeps what later deliveries need. The message is posted already, so a failure is only logged."""
        storm = self._found.storm
        kept = replace(
            earlier,
            at=at,
            delivery=self._cx.call.delivery_id,
            told_at=seconds_of(self._cx.now()),
            count=storm.count if storm else 0,
            resolved=storm.resolved if storm else 0,
            notes={**earlier.notes, **self._notes},
        )
        _kept.write(self._cx, self._key, kept, "the message could not be remembered; its end will be a new message")

    def _facts(self, at: str, how: str) -> dict[str, str]:
        return {"slack.channel": self._channel, "slack.message": at, "slack.how": how}
