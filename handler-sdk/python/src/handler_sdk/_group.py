"""The message that the alerts of one Alertmanager group share, in whose thread each of them is a reply.

Deliveries of one group run at the same time, and nothing but the store is common to them. The first one claims to post the
shared message; the others wait for it without using an attempt. A claim ends after ten minutes, in case its delivery has died.
If its message arrives all the same after another was posted, it becomes the message of its own alert.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from handler_sdk import _kept
from handler_sdk._kept import Place, guarded
from handler_sdk.alert import Alert, digest
from handler_sdk.blocks import Blocks
from handler_sdk.context import Context
from handler_sdk.durations import MINUTE, human, moment, seconds_of, slack_date
from handler_sdk.enrichment import Enrichment
from handler_sdk.errors import CallError, ErrorKind, KvError, SlackError
from handler_sdk.failure import Permanent, Unavailable
from handler_sdk.mrkdwn import Mrkdwn
from handler_sdk.severity import Severity
from handler_sdk.slack import MessageRef
from handler_sdk.storm import all_resolved

#: The setting that the route's `slack.thread_by` becomes.
THREAD_BY = "slack.thread_by"
_CLAIM = 10 * MINUTE
_WAIT = timedelta(seconds=1)
#: How often one delivery updates the shared message at most, if the counts change meanwhile.
_UPDATES_MAX = 3
_PROBLEM = "the group's message may be wrong"
#: Group labels that the message shows elsewhere than in its header.
_NOT_IN_HEADER = ("alertname", "severity", "priority")
_TRANSIENT = (ErrorKind.RATE_LIMITED, ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT)


def capitalized(text: str) -> str:
    """Returns text whose first letter is a capital."""
    return text[:1].upper() + text[1:]


class Group:
    """The group of an alert, in a channel."""

    @classmethod
    def of(cls, cx: Context, alert: Alert, found: Enrichment, channel: str) -> Group | None:
        """Returns the group of an alert; `None` if the route does not ask for threads by group, or the alert is in none."""
        key = alert.origin.group_key
        if key is None or found.storm is not None or cx.config(THREAD_BY) != "group":
            return None
        return cls(cx, alert, channel, _level(alert, found), f"group/{channel}/{digest(key.encode())}")

    def __init__(self, cx: Context, alert: Alert, channel: str, level: Severity, key: str) -> None:
        """Use `of`."""
        self._cx = cx
        self._alert = alert
        self._channel = channel
        self._level = level
        self._key = key

    def join(self) -> Place | MessageRef:
        """Returns the shared message in whose thread the firing alert belongs; `count_firing` counts it once it is there. Or
        returns the message that this alert has posted for the group, if another alert had posted one too.

        Raises `Unavailable` while another alert posts the shared message, and `SlackError` if posting it fails.
        """
        place = self._place()
        if place is not None:
            return place
        claim = f"{self._class_key(self._is_critical)}/claim"
        if not self._claims(claim):
            raise Unavailable("another alert of the group is about to post the message that they share", after=_WAIT)
        try:
            joined = self._lead()
        except CallError as error:
            if isinstance(error.as_failure(), Permanent):
                guarded(self._cx, _PROBLEM, lambda: self._cx.kv.remove(claim), None)
            raise
        guarded(self._cx, _PROBLEM, lambda: self._cx.kv.remove(claim), None)
        return joined

    def _claims(self, claim: str) -> bool:
        delivery = self._cx.call.delivery_id
        try:
            if self._cx.kv.set_if_absent(claim, delivery, ttl=_CLAIM):
                return True
        except KvError as error:
            # Without the store no claim can be respected. The message is more important.
            self._cx.log.warn(_PROBLEM, why=error)
            return True
        return self._cx.kv.get_text(claim) == delivery

    def _lead(self) -> Place | MessageRef:
        """Posts the shared message, unless it was posted just before."""
        place = self._place()
        if place is not None:
            return place
        key = f"{self._key}/{self._cx.call.delivery_id}"
        place = Place("", key, seconds_of(self._alert.starts_at), self._is_critical)
        text, blocks = self._message(place, 1, 0)
        at = self._cx.slack.post(self._channel, text, blocks=blocks, key="group")
        if self._place() is not None:
            return at
        place = replace(place, at=at)
        _kept.write(self._cx, self._class_key(place.is_critical), place, _PROBLEM)
        return place

    def _place(self) -> Place | None:
        """Returns the shared message, if there is one for alerts as urgent as this one and not all of its alerts have
        resolved."""
        for is_critical in (True,) if self._is_critical else (True, False):
            place = _kept.read_place(self._cx, self._class_key(is_critical), _PROBLEM)
            if place is not None:
                firing, resolved = self._counts(place)
                # Before its first alert is counted, it has neither.
                if firing > 0 or resolved == 0:
                    return place
        return None

    def count_firing(self, place: Place) -> None:
        """Counts the alert as firing, once."""
        if self._is_first(place, "fired"):
            self._add(f"{place.key}/firing", 1)

    def count_resolved(self, place: Place) -> None:
        """Counts the alert as resolved, once."""
        if self._is_first(place, "ended"):
            self._add(f"{place.key}/firing", -1)
            self._add(f"{place.key}/resolved", 1)

    def _is_first(self, place: Place, what: str) -> bool:
        """Returns true the first time that it is asked about the alert and a shared message."""
        key = f"{place.key}/{what}/{digest(self._alert.incident_key.encode())}"
        return guarded(self._cx, _PROBLEM, lambda: self._cx.kv.set_if_absent(key, "", ttl=_kept.TTL), False)

    def _add(self, key: str, by: int) -> None:
        guarded(self._cx, _PROBLEM, lambda: self._cx.kv.increment(key, by, ttl=_kept.TTL), 0)

    def _counts(self, place: Place) -> tuple[int, int]:
        """Returns how many alerts of a shared message fire, and how many have resolved."""

        def count(name: str) -> int:
            text = guarded(self._cx, _PROBLEM, lambda: self._cx.kv.get_text(f"{place.key}/{name}"), None)
            return max(0, int(text)) if text else 0

        return count("firing"), count("resolved")

    def refresh(self, place: Place) -> None:
        """Updates the shared message if its counts have changed, and says in its thread if all alerts have resolved.

        Raises `SlackError` if a retry of the step may succeed.
        """
        posted_now = place.key.endswith(f"/{self._cx.call.delivery_id}")
        shown = (1, 0) if posted_now else None
        for turn in range(1, _UPDATES_MAX + 1):
            # Another delivery may count while this one waits for Slack; its own update may have been sent before this one.
            counts = self._counts(place)
            if shown == counts:
                break
            text, blocks = self._message(place, *counts)
            try:
                self._cx.slack.update(MessageRef(place.at), text, blocks=blocks, key=f"group-update-{turn}")
            except SlackError as error:
                if error.kind in _TRANSIENT:
                    raise
                self._cx.log.warn("the group's message could not be updated", why=error)
                self.forget(place)
                return
            shown = counts
        if shown is not None and shown[0] == 0:
            self._tell_end(place, shown[1])

    def _tell_end(self, place: Place, resolved: int) -> None:
        once = f"{place.key}/end"
        if not guarded(self._cx, _PROBLEM, lambda: self._cx.kv.set_if_absent(once, "told", ttl=_CLAIM), False):
            return
        lasted = human((self._alert.ends_at or self._cx.now()) - moment(place.began_at))
        text = capitalized(f"{all_resolved(resolved)} after {lasted}.")
        self._cx.slack.reply(MessageRef(place.at), self._channel, text, key="group-end")

    def forget(self, place: Place) -> None:
        """Has the group's next alert post another shared message, unless another one was posted already."""
        key = self._class_key(place.is_critical)
        current = _kept.read_place(self._cx, key, _PROBLEM)
        if current is not None and current.at == place.at:
            guarded(self._cx, _PROBLEM, lambda: self._cx.kv.remove(key), None)

    def _message(self, place: Place, firing: int, resolved: int) -> tuple[str, Blocks]:
        """Returns the text and the blocks of the shared message."""
        alert, now = self._alert, self._cx.now()
        labels = alert.origin.group_labels
        name = labels.get("alertname")
        others = {label: value for label, value in labels.items() if label not in _NOT_IN_HEADER and value}
        who = [name or "Alerts of one group", *others.values()]
        status = "RESOLVED" if firing == 0 else "FIRING"
        severity = self._severity(place)
        counts = _counted(firing, resolved)
        text = f"[{status}]{f' {severity}' if severity else ''} {' '.join(who)}: {counts}"
        # As the reply says that all have resolved.
        end = alert.ends_at if firing == 0 and alert.ends_at else now
        began = moment(place.began_at)
        lead = Mrkdwn().bold(capitalized(counts))
        if firing == 0:
            lead = lead.text(f" after {human(end - began)}, from ").then(_date(began))
        else:
            lead = lead.text(", since ").then(_date(began)).text(f" ({human(end - began)})")
        said = Mrkdwn()
        if firing > 0 and alert.is_firing and alert.summary:
            said = Mrkdwn("One of them: ").prose(alert.summary)
        first = Mrkdwn.join([Mrkdwn().bold(status), severity], " · ")
        blocks = Blocks().header(" · ".join(who)).section(Mrkdwn.join([first, lead, said], "\n"))
        if others:
            blocks.fields(others)
        links = [("Runbook", alert.runbook_url), ("Dashboard", alert.dashboard_url)] if name else []
        blocks.links([(title, url) for title, url in links if url])
        receiver = f"receiver {alert.origin.receiver}" if alert.origin.receiver else ""
        blocks.context("each alert is a reply in the thread", receiver)
        return text, blocks

    def _severity(self, place: Place) -> str:
        """Returns the severity of all alerts: that of their group's label, unless the server ranks them otherwise."""
        level = Severity.CRITICAL if place.is_critical else self._level
        labelled = self._alert.origin.group_labels.get("severity", "").lower()
        is_ranked = level in (Severity.CRITICAL, Severity.WARNING) and Severity.of_word(labelled) is not level
        return level.value if is_ranked else labelled

    def _class_key(self, is_critical: bool) -> str:
        return f"{self._key}/critical" if is_critical else f"{self._key}/other"

    @property
    def _is_critical(self) -> bool:
        return self._level is Severity.CRITICAL


def _level(alert: Alert, found: Enrichment) -> Severity:
    """Returns how urgent an alert is: as the server ranks it by the operator's configuration, or else by its labels."""
    rank = found.fact("priority")
    if rank in ("critical", "warning"):
        return Severity(rank)
    if rank == "normal" and alert.level in (Severity.CRITICAL, Severity.WARNING):
        return Severity.INFO
    return alert.level


def _counted(firing: int, resolved: int) -> str:
    if resolved == 0:
        return f"{firing} firing"
    return all_resolved(resolved) if firing == 0 else f"{firing} firing, {resolved} resolved"


def _date(at: datetime) -> Mrkdwn:
    return Mrkdwn.raw(slack_date(at))
