"""The mock host behaves as the real one: grants, limits, retries from the record, storms."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from handler_sdk import (
    Alert,
    Blocks,
    CallError,
    Context,
    Description,
    Enrichment,
    ErrorKind,
    Facts,
    Handler,
    HttpError,
    Image,
    KvError,
    Mistake,
    Occurrence,
    Past,
    Permanent,
    SlackError,
    TimerError,
    Unavailable,
)
from handler_sdk.durations import DAY, HOUR, MINUTE, moment
from handler_sdk.mock import Host, Reply, Storm, alert_from_json, assert_snapshot

DOWN = Alert.new("Down", {"pod": "web-0"})


class OnCall(Handler):
    """Asks who is on call, and says it."""

    def describe(self) -> Description:
        return Description("on-call", "0.1.0", "Says who is on call.", alerts=["*"])

    def enrich(self, cx: Context, alert: Alert, so_far: Enrichment) -> Enrichment:
        who = cx.http.get("https://rota.example.com/now").raise_for_status().text
        return Enrichment({"on-call": who})

    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        who = found.fact("on-call") or "nobody known"
        count = cx.kv.increment("count")
        at = cx.slack.post("alerts", f"{alert.name}: {who}, {cx.now():%H:%M}")
        cx.slack.react(at, "eyes")
        return {"at": at, "count": str(count)}


def test_a_handler_runs_and_what_it_sent_is_seen() -> None:
    host = Host().http_get("https://rota.example.com/now", 200, "ada")
    run = host.run(OnCall, DOWN)
    assert run.facts == {"at": "mock:alerts:1", "count": "1"}
    assert host.posts[0].text == "Down: ada, 22:13"
    assert [request.line for request in host.requests] == ["GET https://rota.example.com/now"]
    assert host.reactions[0].emoji == "eyes"
    assert host.transcript() == "== message 1 to alerts\ntext: Down: ada, 22:13\n"


def test_a_failed_enrich_does_not_hold_back_the_notification() -> None:
    host = Host()
    run = host.run(OnCall, DOWN)
    assert isinstance(run.enrichment, Permanent)
    why = "GET https://rota.example.com/now: not granted: the test scripted no answer to GET https://rota.example.com/now"
    assert run.enrichment.message == why
    assert host.posts[0].text == "Down: nobody known, 22:13"


def test_a_retry_is_answered_from_the_record() -> None:
    host = Host().slack_error(ErrorKind.UNAVAILABLE, "down", after=1).http_get("*", 200, "ada")
    run = host.run(OnCall, DOWN)
    assert isinstance(run.failure, Unavailable)
    host.attempt(2).now(moment(1_700_000_000) + HOUR)
    assert host.act(OnCall, DOWN, Enrichment({"on-call": "ada"})) == {"at": "mock:alerts:1", "count": "1"}
    assert (len(host.posts), host.kept("count"), len(host.reactions)) == (1, "1", 1)
    host.delivery("d-2")
    assert host.act(OnCall, DOWN)["count"] == "2"
    assert host.posts[1].text == "Down: nobody known, 23:13"


def test_a_coroutine_that_a_hook_returns_is_refused() -> None:
    class Waits(OnCall):
        def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
            return self.later()  # type: ignore[return-value]

        async def later(self) -> Facts:
            return {}

    with pytest.raises(Mistake, match="`act` returned a coroutine, not facts .*: a handler has no event loop"):
        Host().act(Waits, DOWN)


def test_slack_and_timers_are_denied_during_enrich() -> None:
    class Eager(OnCall):
        def enrich(self, cx: Context, alert: Alert, so_far: Enrichment) -> Enrichment:
            with pytest.raises(SlackError) as slack:
                cx.slack.post("alerts", "text")
            with pytest.raises(TimerError) as timer:
                cx.timer.after("k", MINUTE)
            return Enrichment({"kinds": f"{slack.value.kind.value} {timer.value.kind.value}"})

    assert Host().enrich(Eager, DOWN).facts == {"kinds": "denied denied"}


def test_a_held_channel_makes_the_step_wait() -> None:
    host = Host().hold_channel("alerts", "not_in_channel")
    run = host.run(OnCall, DOWN)
    assert isinstance(run.failure, Unavailable)
    assert run.failure.message == "Slack refuses the channel alerts: not_in_channel"
    assert not isinstance(host.release_channel("alerts").attempt(2).run(OnCall, DOWN).result, CallError)


def test_grants_are_respected() -> None:
    cx = Host().channels(["oncall"]).cx()
    cx.slack.post("oncall", "text")
    with pytest.raises(SlackError, match=r"allow.slack: \[alerts\]"):
        cx.slack.post("alerts", "text")
    with pytest.raises(SlackError, match="not granted"):
        Host().deny_slack().cx().slack.post("alerts", "text")
    with pytest.raises(HttpError, match="does not grant the credential c"):
        Host().http_get("*", 200).credentials([]).cx().http.get("https://a.example", credential="c")


def test_an_interface_that_the_project_does_not_declare_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r'`cx.kv` is used, but not declared: write `needs = \["slack", "kv"\]`'):
        Host().needs("slack").act(OnCall, DOWN)


def test_values_are_kept_as_long_as_was_asked() -> None:
    host = Host()
    cx = host.cx()
    cx.kv.set("a", "1", MINUTE)
    cx.kv.set("b", b"2")
    assert not cx.kv.set_if_absent("a", "3")
    host.now(host.cx().now() + DAY)
    assert host.cx().kv.get("a") is None
    assert cx.kv.set_if_absent("a", "3")
    assert cx.kv.get_text("a") == "3"
    cx.kv.remove("b")
    assert host.kept_keys == ["a"]
    with pytest.raises(Permanent, match="the kept value `broken` can't be read"):
        Host().kv("broken", "{").cx().kv.get_json("broken")
    with pytest.raises(KvError, match="over its limit of 512 bytes"):
        cx.kv.get("k" * 513)
    with pytest.raises(KvError, match="over its limit of 65536 bytes"):
        cx.kv.set("k", "v" * 65_537)
    with pytest.raises(KvError, match="the value of word is not a number"):
        Host().kv("word", "x").cx().kv.increment("word")
    with pytest.raises(KvError, match="kv: disk full"):
        Host().kv_error(ErrorKind.UNAVAILABLE, "disk full").cx().kv.get("a")


def test_the_calls_of_a_step_are_limited() -> None:
    class Busy(OnCall):
        def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
            for _ in range(51):
                cx.slack.post("alerts", "again", key=str(_))
            return {}

    host = Host()
    assert "slack_calls: all 50 calls of this step are used up" in host.run(Busy, DOWN).failure.message
    assert len(host.posts) == 50


def test_requests_that_the_host_refuses_are_refused() -> None:
    cx = Host().http("POST", "*", Reply.json(201, {"id": 1})).cx()
    assert cx.http.post("https://a.example", json={"a": 1}).json() == {"id": 1}
    for url, why in [("/x", "relative URL without a base"), ("https://", "empty host"), ("https://" + "a" * 9_000, "8192")]:
        with pytest.raises(HttpError, match=why):
            cx.http.post(url)
    for headers, why in [
        ({"Host": "b"}, "Host is the host's to set"),
        ({"content_length": "1"}, "content_length is the host's to set"),
        ({"a b": "c"}, "is no header's name"),
        ({"a": "b\nc"}, "holds a line break"),
    ]:
        with pytest.raises(HttpError, match=why):
            cx.http.post("https://a.example", headers=headers)
    with pytest.raises(HttpError, match="a body of 4194305 bytes"):
        cx.http.post("https://a.example", body=b"x" * (4 << 20 | 1))
    with pytest.raises(HttpError, match="larger than 8388608 bytes"):
        Host().http_get("*", 200, b"x" * (8 << 20 | 1)).cx().http.get("https://a.example")


def test_a_message_that_slack_would_reject_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="Slack takes no message without text"):
        Host().cx().slack.post("alerts", " ")


def test_a_thread_is_in_the_channel_of_its_parent() -> None:
    host = Host()
    at = host.cx().slack.post("alerts", "text")
    with pytest.raises(SlackError, match="that message is not in oncall"):
        host.cx().slack.post("oncall", "text", thread=at)
    host.cx().slack.post("oncall", "text", thread=host.earlier_message())
    host.cx().slack.update(at, "new", blocks=Blocks().header("New"))
    assert (host.updates[0].text, host.updates[0].visible) == ("new", "New")


def test_a_message_that_is_gone_is_posted_anew_and_a_refused_reply_is_logged() -> None:
    host = Host().slack_error(ErrorKind.NOT_FOUND)
    shown = host.cx().slack.update_or_post(host.earlier_message(), "alerts", "text")
    assert (shown.is_new, len(host.posts)) == (True, 1)
    host.slack_error(ErrorKind.INVALID, "restricted_action_thread_locked")
    reply = host.cx().slack.reply(shown.at, "alerts", "more")
    assert (reply.at, reply.refused) == (None, "Slack refuses the message: restricted_action_thread_locked")
    assert host.logs[0].message == "the thread could not be answered"
    host.slack_error(ErrorKind.RATE_LIMITED, wait=MINUTE)
    with pytest.raises(SlackError) as limited:
        host.cx().slack.reply(shown.at, "alerts", "more")
    assert limited.value.as_failure().after == MINUTE


def test_history_timers_and_uploads_are_scripted_and_seen() -> None:
    past = Past(3, [Occurrence("d-0", moment(0), None, "done")])
    host = Host().history(past)
    assert host.cx().history.earlier(["namespace"], within=7 * DAY) == past
    host.cx().timer.after("again", timedelta(milliseconds=1_500), {"why": "x"})
    assert [(timer.key, timer.delay_seconds, timer.facts) for timer in host.timers] == [("again", 2, {"why": "x"})]
    host.cx().timer.cancel("again")
    assert host.timers == []
    graph = Image("A graph", "image/png", b"\x89PNG")
    with pytest.raises(SlackError) as refused:
        host.cx().slack.upload(graph, "graph.png")
    assert (refused.value.kind, host.uploads) == (ErrorKind.UNAVAILABLE, [])
    file = host.allow_uploads().cx().slack.upload(graph, "graph.png")
    assert (host.uploads[0].at, host.uploads[0].title) == (file, "A graph")


def test_a_storm_is_described_as_by_the_host() -> None:
    alerts = [Alert.new("Down", {"pod": f"web-{n}", "namespace": "shop"}) for n in range(240)]
    found = Storm(alerts).resolved(212).found()
    storm = found.storm
    assert storm is not None
    assert (storm.count, storm.resolved, storm.firing, storm.is_over) == (240, 212, 28, False)
    assert storm.shared == {"alertname": "Down", "namespace": "shop"}
    assert (storm.values_of("pod"), storm.values_of("namespace")) == (240, None)
    assert storm.names[0] == "shop/web-0"
    assert found.incident_key(alerts[0]) == found.incident_key(alerts[1]) == "storm/d-1"
    assert list(found.blocks_of_handlers()) == []

    class Counts(OnCall):
        def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
            return {"count": str(found.storm.count if found.storm else 1)}

    assert Host().storm(Storm(alerts)).act(Counts, alerts[0]) == {"count": "240"}
    assert Host().act(Counts, alerts[0]) == {"count": "1"}


def test_alerts_are_read_from_the_senders_json() -> None:
    text = '{"labels": {"alertname": "A"}, "startsAt": "2022-03-02T07:31:57.339Z", "endsAt": "0001-01-01T00:00:00Z"}'
    alert = alert_from_json(text)
    assert (alert.name, alert.ends_at, alert.delay) == ("A", None, timedelta(seconds=30))
    ended = alert_from_json('{"alerts": [{"labels": {}, "status": "resolved", "endsAt": "2022-03-02T08:31:57+01:00"}]}')
    assert ended.is_resolved and ended.ends_at == moment(1_646_206_317)
    with pytest.raises(ValueError, match="`now` is not a time"):
        alert_from_json('{"startsAt": "now"}')


def test_a_snapshot_that_differs_says_how_to_update_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPDATE_SNAPSHOTS", raising=False)
    with pytest.raises(AssertionError, match="run with UPDATE_SNAPSHOTS=1"):
        assert_snapshot(tmp_path / "a.txt", "text")
    monkeypatch.setenv("UPDATE_SNAPSHOTS", "1")
    assert_snapshot(tmp_path / "a.txt", "text")
    monkeypatch.delenv("UPDATE_SNAPSHOTS")
    assert_snapshot(tmp_path / "a.txt", "text")


def test_facts_of_act_are_checked_and_those_with_the_hosts_names_are_dropped() -> None:
    class Acts(Handler):
        facts: ClassVar[dict[str, str]] = {}

        def describe(self) -> Description:
            return Description("acts", "0.1.0", "Acts.")

        def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
            return self.facts

    alert = Alert.new("A")
    Acts.facts = {"timer.key": "again", "own": "1"}
    assert Host().act(Acts, alert) == {"own": "1"}
    for facts, why in (
        ({"": "1"}, "a fact without a valid name"),
        ({"long": "x" * 8_193}, "fact_bytes: the fact 'long', at most 8192"),
        ({f"f{n}": "" for n in range(257)}, "facts: 257 facts, at most 256"),
    ):
        Acts.facts = facts
        with pytest.raises(Mistake, match=f"`act` returned {why}"):
            Host().act(Acts, alert)
