"""The alerts of one group share a message, and each is a reply in its thread."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from handler_sdk import Alert, Blocks, Context, Description, Enrichment, ErrorKind, Facts, Handler, Permanent, Unavailable
from handler_sdk.alert import Origin
from handler_sdk.durations import HOUR, MINUTE, moment
from handler_sdk.incident import Incident
from handler_sdk.mock import Host, Storm

BEGAN = moment(1_700_000_000)
KEY = '{}/{}:{alertname="Down", namespace="shop"}'


class Pods(Handler):
    """Shows each alert by its state."""

    def describe(self) -> Description:
        return Description("pods", "0.1.0", "Says which pod is down.", alerts=["*"], storm_one=True)

    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        state = "FIRING" if alert.is_firing else "RESOLVED"
        return Incident(cx, alert, found, "alerts").tell(f"[{state}] {alert.label('pod')}", Blocks().section(state))

    def resolved(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        return self.act(cx, alert, found)


def grouped(pod: str, severity: str = "warning") -> Alert:
    origin = Origin(receiver="team", group_key=KEY, group_labels={"alertname": "Down", "namespace": "shop"})
    labels = {"pod": pod, "severity": severity}
    return Alert.new("Down", labels, {"summary": "It does not answer."}, starts_at=BEGAN, origin=origin)


def ended(alert: Alert) -> Alert:
    return alert.resolve(BEGAN + 5 * HOUR)


def by_group() -> Host:
    return Host().now(BEGAN).config("slack.thread_by", "group")


def tell(host: Host, delivery: str, alert: Alert, now: datetime = BEGAN) -> dict[str, str]:
    return host.delivery(delivery).now(now).act(Pods, alert)


def of_thread(host: Host, parent: int) -> list[str]:
    at = host.posts[parent].at
    return [post.text for post in host.posts if post.thread == at]


def test_alerts_of_a_group_share_a_message_that_counts_them() -> None:
    host = by_group()
    tell(host, "d-1", grouped("a"))
    assert not host.updates, "one alert is what the message says already"
    tell(host, "d-2", grouped("b"))
    tell(host, "d-3", grouped("c"))
    assert host.posts[0].text == "[FIRING] warning Down shop: 1 firing"
    assert "One of them: It does not answer." in host.posts[0].visible
    assert "receiver team" in host.posts[0].visible
    assert of_thread(host, 0) == ["[FIRING] a", "[FIRING] b", "[FIRING] c"]
    assert host.updates[-1].text == "[FIRING] warning Down shop: 3 firing"

    later = BEGAN + 5 * HOUR
    assert tell(host, "d-4", ended(grouped("b")), later)["slack.how"] == "updated"
    own, shared = host.updates[-2:]
    assert (own.text, own.at) == ("[RESOLVED] b", host.posts[2].at)
    assert (shared.text, shared.at) == ("[FIRING] warning Down shop: 2 firing, 1 resolved", host.posts[0].at)
    assert len(host.posts) == 4, "the thread is not filled with ends"
    tell(host, "d-5", ended(grouped("a")), later)
    tell(host, "d-6", ended(grouped("c")), later + HOUR)
    assert host.updates[-1].text == "[RESOLVED] warning Down shop: all 3 have resolved"
    assert "after 5h" in host.updates[-1].visible
    assert of_thread(host, 0)[-1] == "All 3 have resolved after 5h."
    # What fires after the end is news.
    tell(host, "d-7", grouped("d"))
    assert host.posts[5].text == "[FIRING] warning Down shop: 1 firing"
    assert host.posts[6].thread == host.posts[5].at


def test_a_reminder_counts_nothing_and_an_end_counts_once() -> None:
    host = by_group()
    tell(host, "d-1", grouped("a"))
    tell(host, "d-2", grouped("a"), BEGAN + 4 * HOUR)
    assert len(host.posts) == 2
    assert host.updates[0].at == host.posts[1].at
    assert host.updates[-1].text == "[FIRING] warning Down shop: 1 firing"
    tell(host, "d-3", ended(grouped("a")))
    tell(host, "d-4", ended(grouped("a")))
    assert host.updates[-1].text == "[RESOLVED] warning Down shop: it has resolved"


def test_a_critical_alert_is_not_a_reply_that_nobody_is_notified_of() -> None:
    host = by_group()
    tell(host, "d-1", grouped("a"))
    tell(host, "d-2", grouped("b", "critical"))
    tell(host, "d-3", grouped("c", "info"))
    assert (host.posts[2].text, host.posts[2].thread) == ("[FIRING] critical Down shop: 1 firing", None)
    assert of_thread(host, 0) == ["[FIRING] a"]
    assert of_thread(host, 2) == ["[FIRING] b", "[FIRING] c"]
    assert host.updates[-1].text == "[FIRING] critical Down shop: 2 firing"
    ranked = by_group().priority("critical")
    tell(ranked, "d-1", grouped("a"))
    assert ranked.posts[0].text == "[FIRING] critical Down shop: 1 firing"


def test_the_others_wait_while_one_posts_the_shared_message() -> None:
    host = by_group().slack_error(ErrorKind.UNAVAILABLE, "away")
    with pytest.raises(Unavailable):
        tell(host, "d-1", grouped("a"))
    with pytest.raises(Unavailable, match="another alert of the group") as waits:
        tell(host, "d-2", grouped("b"))
    assert waits.value.after == timedelta(seconds=1)
    host.delivery("d-1").attempt(2).act(Pods, grouped("a"))
    tell(host, "d-2", grouped("b"))
    assert of_thread(host, 0) == ["[FIRING] a", "[FIRING] b"]
    assert host.updates[-1].text == "[FIRING] warning Down shop: 2 firing"


def test_a_claim_ends_if_its_alert_never_posts() -> None:
    host = by_group().slack_error(ErrorKind.UNAVAILABLE, "away")
    with pytest.raises(Unavailable):
        tell(host, "d-1", grouped("a"))
    tell(host, "d-2", grouped("b"), BEGAN + 11 * MINUTE)
    assert host.posts[0].text == "[FIRING] warning Down shop: 1 firing"
    # A refusal that no retry helps ends it at once.
    host = by_group().slack_error(ErrorKind.DENIED, "no")
    with pytest.raises(Permanent):
        tell(host, "d-1", grouped("a"))
    tell(host, "d-2", grouped("b"))
    assert len(host.posts) == 2


def test_a_shared_message_that_comes_too_late_becomes_the_message_of_its_alert() -> None:
    host = by_group().slack_error(ErrorKind.UNAVAILABLE, "away")
    with pytest.raises(Unavailable):
        tell(host, "d-1", grouped("a"))
    tell(host, "d-2", grouped("b"), BEGAN + 11 * MINUTE)
    # Its delivery does not learn of the other message before it has posted its own.
    host.delivery("d-1").attempt(2)
    host.kv_error(ErrorKind.UNAVAILABLE, "down").kv_error(ErrorKind.UNAVAILABLE, "down").act(Pods, grouped("a"))
    assert of_thread(host, 0) == ["[FIRING] b"]
    assert (len(host.posts), host.posts[2].thread) == (3, None)
    assert (host.updates[-1].text, host.updates[-1].at) == ("[FIRING] a", host.posts[2].at)
    tell(host, "d-3", ended(grouped("a")))
    assert host.updates[-1].at == host.posts[2].at, "it is the alert's own from then on"


def test_a_shared_message_that_is_gone_is_replaced() -> None:
    host = by_group()
    tell(host, "d-1", grouped("a"))
    # The thread is gone, so the alert is in the channel.
    host.slack_error(ErrorKind.NOT_FOUND)
    tell(host, "d-2", grouped("b"))
    assert host.posts[2].thread is None
    tell(host, "d-3", grouped("c"))
    assert host.posts[3].text == "[FIRING] warning Down shop: 1 firing"
    assert host.posts[4].thread == host.posts[3].at
    # The reply is updated; that the first shared message is gone does not take the next one with it.
    host.slack_error(ErrorKind.NOT_FOUND, after=1)
    tell(host, "d-4", ended(grouped("a")))
    tell(host, "d-5", grouped("d"))
    assert of_thread(host, 3) == ["[FIRING] c", "[FIRING] d"]


def test_an_alert_is_counted_once_and_only_if_its_reply_is_posted() -> None:
    host = by_group()
    tell(host, "d-1", grouped("a"))
    host.slack_error(ErrorKind.UNAVAILABLE, "away")
    with pytest.raises(Unavailable):
        tell(host, "d-2", grouped("b"))
    # It is posted, but the update of the shared message fails.
    host.attempt(2).slack_error(ErrorKind.UNAVAILABLE, "away", after=1)
    with pytest.raises(Unavailable):
        host.act(Pods, grouped("b"))
    host.attempt(3).act(Pods, grouped("b"))
    tell(host, "d-3", grouped("c"))
    assert host.updates[-1].text == "[FIRING] warning Down shop: 3 firing"
    host.slack_error(ErrorKind.DENIED, "no")
    with pytest.raises(Permanent):
        tell(host, "d-4", grouped("d"))
    for pod in ("a", "b", "c"):
        tell(host, f"ended-{pod}", ended(grouped(pod)))
    assert host.updates[-1].text == "[RESOLVED] warning Down shop: all 3 have resolved"


def test_a_storm_and_an_alert_without_a_group_are_in_no_group() -> None:
    storm = by_group().storm(Storm([grouped("a"), grouped("b")]))
    tell(storm, "d-1", grouped("a"))
    alone = by_group()
    tell(alone, "d-1", Alert.new("Down", {"pod": "a"}, starts_at=BEGAN))
    not_asked = Host().now(BEGAN)
    tell(not_asked, "d-1", grouped("a"))
    for host in (storm, alone, not_asked):
        assert [(post.text, post.thread) for post in host.posts] == [("[FIRING] a", None)]


def test_without_the_store_everything_is_posted_all_the_same() -> None:
    host = by_group()
    for _ in range(20):
        host.kv_error(ErrorKind.UNAVAILABLE, "down")
    tell(host, "d-1", grouped("a"))
    assert [post.text for post in host.posts] == ["[FIRING] warning Down shop: 1 firing", "[FIRING] a"]
