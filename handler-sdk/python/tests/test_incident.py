"""What becomes of one message over many deliveries."""

from __future__ import annotations

from datetime import timedelta

from handler_sdk import Alert, Blocks, Context, Description, Enrichment, ErrorKind, Facts, Handler
from handler_sdk.durations import DAY, HOUR, MINUTE, moment
from handler_sdk.incident import Incident
from handler_sdk.mock import Host, Storm

BEGAN = moment(1_700_000_000)
ALERT = Alert.new("DiskFull", {"pod": "web-0"}, starts_at=BEGAN)


class DiskFull(Handler):
    """Shows each alert by its state."""

    def describe(self) -> Description:
        return Description("disk-full", "0.1.0", "Says which disk fills up.", alerts=["*"], storm_one=True)

    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        state = "FIRING" if alert.is_firing else "RESOLVED"
        incident = Incident(cx, alert, found, "alerts")
        before = incident.note("first") or cx.call.delivery_id
        count = found.storm.firing if found.storm else 1
        return incident.keep_note("first", before).tell(f"[{state}] {count}", Blocks().context(f"first {before}"))

    def resolved(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        return self.act(cx, alert, found)


def at(host: Host, id: str, after: timedelta) -> Host:
    return host.delivery(id).now(BEGAN + after)


def test_one_message_is_posted_reminded_of_and_resolved() -> None:
    host = Host().now(BEGAN)
    assert host.act(DiskFull, ALERT)["slack.how"] == "posted"
    assert at(host, "d-2", 2 * MINUTE).act(DiskFull, ALERT) == {
        "slack.channel": "alerts", "slack.message": "mock:alerts:1", "slack.how": "updated",
    }  # fmt: skip
    assert at(host, "d-3", 4 * HOUR).act(DiskFull, ALERT)["slack.thread"] == "posted"
    ended = ALERT.resolve(BEGAN + 5 * HOUR)
    assert at(host, "d-4", 5 * HOUR).act(DiskFull, ended)["slack.thread"] == "posted"
    assert [post.text for post in host.posts] == ["[FIRING] 1", "Still firing after 4h.", "Resolved after 5h."]
    assert [post.thread for post in host.posts] == [None, "mock:alerts:1", "mock:alerts:1"]
    assert (host.updates[-1].text, host.updates[-1].visible) == ("[RESOLVED] 1", "first d-1")


def test_a_message_that_is_gone_is_posted_anew() -> None:
    host = Host().now(BEGAN)
    host.act(DiskFull, ALERT)
    at(host, "d-2", DAY).slack_error(ErrorKind.NOT_FOUND)
    assert host.act(DiskFull, ALERT)["slack.how"] == "posted"
    assert [post.text for post in host.posts] == ["[FIRING] 1", "[FIRING] 1"]
    at(host, "d-3", 2 * DAY).act(DiskFull, ALERT.resolve(BEGAN + 2 * DAY))
    assert host.updates[-1].at == "mock:alerts:2"


def test_a_week_later_the_message_is_not_known() -> None:
    host = Host().now(BEGAN)
    host.act(DiskFull, ALERT)
    at(host, "d-2", 8 * DAY).act(DiskFull, ALERT)
    assert (len(host.posts), len(host.updates)) == (2, 0)


def test_a_store_that_fails_holds_no_message_back() -> None:
    host = Host().kv_error(ErrorKind.UNAVAILABLE, "disk full").kv_error(ErrorKind.UNAVAILABLE, "disk full")
    assert host.act(DiskFull, ALERT)["slack.how"] == "posted"
    assert [line.message for line in host.logs] == [
        "the incident's earlier message is not known",
        "the message could not be remembered; its end will be a new message",
    ]
    odd = Host().kv(f"message/alerts/{ALERT.incident_key}", '{"of": "another version"}')
    assert odd.act(DiskFull, ALERT)["slack.how"] == "posted"


def test_a_storm_is_one_message_that_counts_and_ends_once() -> None:
    alerts = [Alert.new("DiskFull", {"pod": f"web-{n}"}, starts_at=BEGAN) for n in range(3)]
    host = Host().now(BEGAN).storm(Storm(alerts))
    host.act(DiskFull, alerts[0])
    at(host, "d-2", HOUR).storm(Storm(alerts).count(5)).act(DiskFull, alerts[1])
    late = at(host, "d-3", HOUR).storm(Storm(alerts).count(4)).act(DiskFull, alerts[2])
    assert late["slack.how"] == "outdated"
    ended = alerts[0].resolve(BEGAN + 2 * HOUR)
    at(host, "d-4", 2 * HOUR).storm(Storm(alerts).count(5).resolved(2)).act(DiskFull, ended)
    over = at(host, "d-5", 2 * HOUR).storm(Storm(alerts).count(5).resolved(5)).act(DiskFull, ended)
    assert over["slack.thread"] == "posted"
    assert [update.text for update in host.updates] == ["[FIRING] 5", "[RESOLVED] 3", "[RESOLVED] 0"]
    assert [post.text for post in host.posts] == ["[FIRING] 3", "All 5 have resolved after 2h."]
