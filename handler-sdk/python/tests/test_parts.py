"""The parts of the SDK: alerts, settings, times, requests, texts, and the check of needs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from handler_sdk import Alert, Blocks, ErrorKind, HttpError, Mistake, Mrkdwn, Origin, Permanent, Retryable, Setting, Unavailable
from handler_sdk import _check, mask
from handler_sdk.check_needs import check_project, check_source
from handler_sdk.durations import (
    DAY,
    duration_text,
    human,
    moment,
    parse_duration,
    parse_http_date,
    parse_rfc3339,
    rfc3339,
    slack_date,
)
from handler_sdk.http import encode
from handler_sdk.mock import Host, Reply
from handler_sdk.mrkdwn import Most, split
from handler_sdk.settings import declarations


def test_an_alert_is_read_by_name() -> None:
    alert = Alert.new("A", {"severity": "CRITICAL", "empty": ""}, {"message": " disk full ", "runbook": "javascript:x"})
    assert alert.fingerprint == Alert.new("", {"severity": "CRITICAL", "empty": "", "alertname": "A"}).fingerprint
    assert (alert.severity, alert.label("empty"), alert.runbook_url) == ("critical", None, None)
    assert (alert.summary, alert.description) == ("disk full", None)
    again = Alert.new("A", origin=Origin(extra={"alert_manager.occurrence": "2", "dashboardURL": "https://g.example/d"}))
    assert again.incident_key.endswith("@0.000000000#2")
    assert again.dashboard_url == "https://g.example/d"


def test_the_fingerprint_is_alertmanagers() -> None:
    # As Alertmanager computes it of the README's alert.
    labels = json.loads((Path(__file__).parents[3] / "tests/fixtures/readme-alert.json").read_text())["labels"]
    assert Alert.new("", labels).fingerprint == Alert.new("", dict(reversed(labels.items()))).fingerprint
    assert Alert.new("", {}).fingerprint == "cbf29ce484222325"


def test_settings_are_declared_in_the_same_json_as_by_the_rust_sdk() -> None:
    settings = [
        Setting.channel("channel", "where it posts").default("alerts"),
        Setting.one_of("logs", ["on", "off"], "whether logs are shown"),
        Setting.origin("cluster.*.url", "the API server").required(),
        Setting.integer("lines", "how many").default(12),
        Setting.duration("wait", "how long").default(timedelta(minutes=90)),
        Setting.boolean("loud", "whether").default(True),
        Setting.list("rows", "the table").default(["a"]),
    ]
    assert json.loads(declarations(settings)) == [
        {"name": "channel", "type": "string", "default": "alerts", "about": "where it posts", "required": False,
         "refers_to": "channel"},
        {"name": "logs", "type": "string", "about": "whether logs are shown", "required": False, "values": ["on", "off"]},
        {"name": "cluster.*.url", "type": "url", "about": "the API server", "required": True, "refers_to": "origin"},
        {"name": "lines", "type": "integer", "default": "12", "about": "how many", "required": False},
        {"name": "wait", "type": "duration", "default": "1h30m", "about": "how long", "required": False},
        {"name": "loud", "type": "boolean", "default": "true", "about": "whether", "required": False},
        {"name": "rows", "type": "list", "default": '["a"]', "about": "the table", "required": False},
    ]  # fmt: skip


def test_a_setting_is_read_by_its_declaration() -> None:
    cx = Host().config("lines", " 12 ").config("cluster.main.url", "https://k8s").config("ratio", "0.5").cx()
    assert cx.setting(Setting.integer("lines", "")) == 12
    assert cx.setting(Setting.number("ratio", "")) == 0.5
    assert cx.setting(Setting.origin("cluster.*.url", ""), "main") == "https://k8s"
    assert cx.setting(Setting.string("none", "")) is None
    assert cx.setting(Setting.duration("wait", "").default(DAY)) == DAY
    assert cx.setting(Setting.map("map", "").default({"a": 1})) == {"a": 1}
    with pytest.raises(Permanent, match="the setting `name` is missing"):
        cx.setting(Setting.string("name", "").required())


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        (Setting.integer("x", ""), "write a whole number"),
        (Setting.number("x", ""), "write a number"),
        (Setting.boolean("x", ""), "write true or false"),
        (Setting.duration("x", ""), "write it as 30s or 1h30m"),
        (Setting.one_of("x", ["a", "b"], ""), "write one of a, b"),
        (Setting.list("x", ""), "Expecting value"),
    ],
)
def test_a_bad_setting_says_which_and_why(setting: Setting[object], why: str) -> None:
    with pytest.raises(Permanent) as failed:
        Host().config("x", "dozen").cx().setting(setting)
    assert failed.value.message.startswith(f"the setting `x` is `dozen`: {why}")
    assert failed.value.message.endswith("; correct it in the handler's `config`")


@pytest.mark.parametrize(
    ("setting", "default", "why"),
    [
        (Setting.number("x", ""), math.nan, "`nan`: write a number"),
        (Setting.number("x", ""), math.inf, "`inf`: write a number"),
        (Setting.integer("x", ""), 1.5, "`1.5`: write a whole number"),
        (Setting.url("x", ""), "a.example", "`a.example`: write an http or https URL"),
        (Setting.origin("x", ""), "ftp://a", "`ftp://a`: write an http or https URL"),
        (Setting.one_of("x", ["a", "b"], ""), "c", "`c`: write one of a, b"),
    ],
)
def test_a_default_that_the_host_would_refuse_is_refused(setting: Setting[Any], default: object, why: str) -> None:
    with pytest.raises(Mistake) as failed:
        setting.default(default)
    assert f"the default of the setting `x` is {why}" in str(failed.value)


def test_numbers_are_those_that_the_host_takes() -> None:
    setting = Setting.number("x", "")
    assert [setting.read(text) for text in ("3", " -3.5 ", "1e3", ".5", "5.")] == [3, -3.5, 1000, 0.5, 5]
    for text in ("1_000", "nan", "-inf", "1e999", "", "٣"):
        with pytest.raises(ValueError, match="write a number"):
            setting.read(text)


def test_durations_are_for_people_and_for_configuration() -> None:
    for seconds, shown in [(0.35, "0s"), (41, "41s"), (723, "12m 3s"), (7_500, "2h 5m"), (86_400, "1d"), (-1, "0s")]:
        assert human(timedelta(seconds=seconds)) == shown
    for text in ("30s", "1h30m", "1d2h3m4s5ms", "500ms"):
        assert duration_text(parse_duration(text)) == text
    assert parse_duration("1w") == 7 * DAY
    # The host gets whole ones, rounded up, from each SDK.
    assert (_check.whole_seconds(timedelta(seconds=1.001)), _check.milliseconds(timedelta(microseconds=1))) == (2, 1)
    for text in ("", "5", "m", "1m1h", "-1s", "1.5h"):
        with pytest.raises(ValueError, match="write it as 30s"):
            parse_duration(text)


def test_times_are_read_and_written() -> None:
    time, nanoseconds = parse_rfc3339("2022-03-02T08:31:57.339123456+01:00")
    assert (rfc3339(time), nanoseconds) == ("2022-03-02T07:31:57Z", 339_123_456)
    for text in ("", "now", "2022-13-02T07:31:57Z", "2022-03-02T07:31:57", "2022-03-02T07:31:57.Z"):
        with pytest.raises(ValueError, match="is not a time like"):
            parse_rfc3339(text)
    assert moment(10**18).year == 9999 and moment(-(10**18)).year == 1
    assert slack_date(moment(0)) == "<!date^0^{date_short_pretty} {time}|1970-01-01T00:00:00Z>"
    assert parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT") == parse_rfc3339("2026-10-21T07:28:00Z")[0]
    assert parse_http_date("soon") is None


def test_errors_of_http_become_the_failure_that_fits() -> None:
    host = Host().http_get("*/busy?*", 503, "later").http("GET", "*/wait?*", Reply.status(429).header("Retry-After", "30"))
    host.http_get("*/gone?*", 404, 'no token="hunter2" here').http_get("*/text?*", 200, "<html>")
    host.http("GET", "*/moved?*", Reply.status(301).header("location", "https://b.example"))
    host.http("GET", "*/down?*", Reply.unreachable()).http("GET", "*/slow?*", Reply.timeout())
    http = host.cx().http

    def failure(path: str) -> object:
        with pytest.raises(HttpError) as failed:
            http.get(f"https://user:pw@a.example{path}?token=x").raise_for_status().json()
        return failed.value.as_failure()

    for path, kind, message in [
        ("/busy", Unavailable, "answered 503: later"),
        ("/wait", Unavailable, "answered 429"),
        ("/gone", Permanent, 'answered 404: no token="[masked]" here'),
        ("/moved", Permanent, "answered 301: redirects to https://b.example; redirects are not followed"),
        ("/text", Retryable, "the answer can't be read: Expecting value: line 1 column 1 (char 0); it begins `<html>`"),
        ("/down", Unavailable, "unreachable: connection refused"),
        ("/slow", Unavailable, "timed out"),
    ]:
        failed = failure(path)
        assert isinstance(failed, kind)
        assert failed.message == f"GET https://a.example{path}: {message}"
        if path == "/wait":
            assert failed.after == timedelta(seconds=30)
    with pytest.raises(HttpError, match="it was answered 404, so call raise_for_status\\(\\) before json\\(\\); Expecting"):
        http.get("https://user:pw@a.example/gone?token=x").json()


def test_a_date_after_which_to_retry_is_taken_from_the_servers_own_clock() -> None:
    reply = Reply.status(503).header("date", "Wed, 21 Oct 2026 07:28:00 GMT")
    host = Host().http("GET", "*", reply.header("retry-after", "Wed, 21 Oct 2026 07:29:00 GMT"))
    assert host.cx().http.get("https://a.example").retry_after == timedelta(minutes=1)


def test_texts_are_encoded_for_urls() -> None:
    assert encode("a/b c=é~") == "a%2Fb%20c%3D%C3%A9~"


def test_markup_is_cut_between_words_and_never_within_a_link() -> None:
    assert Mrkdwn("one two three").truncated(10).markup == "one…"
    link = Mrkdwn().link("https://a.example/long/path", "a title")
    assert Mrkdwn("see ").then(link).truncated(20).markup == "see…"
    head, rest = split("```\na\nb\nc\n```", Most(lines=3))
    assert (head.count("```"), rest.count("```")) == (2, 2)


def test_a_hostile_text_is_masked_in_one_pass() -> None:
    pieces = ["a-", "eyJ-", "AKIA-", "ghp_-", "token-", "Bearer ", "x://", "-----BEGIN ", "token='[masked] ", "token=[masked]"]
    for piece in pieces:
        assert mask.text(piece * (200_000 // len(piece)))


def test_what_is_used_has_to_be_declared() -> None:
    source = (
        "from handler_sdk import Context\nimport handler_sdk as sdk\n"
        "class H:\n    def act(self, context, alert, found):\n        context.slack.post('a', 'b')\n"
        "def helper(host: Context, other: 'sdk.Context'):\n    host.history.earlier([], 1)\n    other.timer.cancel('x')\n"
        "def unrelated(http):\n    return http.slack, http.kv\n"
        "TABLE = [lambda cx: cx.slack]\n"
        "class Kept:\n    cx: Context\n    def use(self):\n        self.cx.kv.get('a')\n"
    )
    found = [(finding.line, finding.message) for finding in check_source(source, ("slack",))]
    line = "`{}` is used, but not declared: write `needs = [{}]` below [tool.alert-manager] in pyproject.toml"
    assert found == [
        (7, line.format("host.history", '"slack", "history"')),
        (8, line.format("other.timer", '"slack", "timer"')),
        (15, line.format("cx.kv", '"slack", "kv"')),
    ]


def test_a_projects_own_modules_are_checked_and_its_tests_are_not(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.alert-manager]\nneeds = []\n")
    for name in ("handler.py", "test_handler.py", "lib/part.py", ".sdk/x.py", "target/y.py", "tests/z.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("def f(cx):\n    cx.http.get('x')\n")
    assert [finding.file for finding in check_project(tmp_path)] == ["handler.py", "lib/part.py"]


@pytest.mark.parametrize(
    ("manifest", "code", "message"),
    [
        (None, 2, "there is no table [tool.alert-manager]"),
        ("[tool.alert-manager]\nneeds = ['files']\n", 2, "there is no interface `files`; those that there are: http"),
        ("[tool.alert-manager]\nneeds = 'slack'\n", 2, 'write a list such as needs = ["slack"]'),
        ("[tool.alert-manager\n", 2, "pyproject.toml: "),
        ("[tool.alert-manager]\n", 1, 'handler.py:1: `requests` cannot reach the network from a handler'),
        ("[tool.alert-manager]\nneeds = []\n", 1, "handler.py:1"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, manifest: str | None, code: int, message: str) -> None:
    (tmp_path / "handler.py").write_text("import requests\n")
    if manifest is not None:
        (tmp_path / "pyproject.toml").write_text(manifest)
    source = Path(__file__).parents[1] / "src"
    command = [sys.executable, "-m", "handler_sdk.check_needs", "."]
    ended = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(source)}, capture_output=True, text=True)
    assert (ended.returncode, message in ended.stderr) == (code, True), ended.stderr


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cx: cx.kv.set("a", 5), "the value of `cx.kv.set` is int, neither str nor bytes: write str(value)"),
        (lambda cx: cx.kv.set("a", "b", ttl=float("nan")), "`ttl` of `cx.kv` is nan"),
        (lambda cx: cx.kv.set("a", "b", ttl=True), "`ttl` of `cx.kv` is bool, neither timedelta nor a number of seconds"),
        (lambda cx: cx.kv.increment("a", 2**31), "`by` of `cx.kv.increment` is 2147483648: at least -2147483648"),
        (lambda cx: cx.kv.set_json("a", {1, 2}), "can't be written as JSON: Object of type set"),
        (lambda cx: cx.http.request("FETCH", "x"), "the method is 'FETCH': write one of GET"),
        (lambda cx: cx.http.get("x", json=1, body="2"), "a request has `json` or `body`, not both"),
        (lambda cx: cx.http.get("x", headers={"a": 1}), "`headers`['a'] is int, not str: write str(value)"),
        (lambda cx: cx.http.get("x", timeout=-1), "`timeout` is -1 s: a duration cannot be negative"),
        (lambda cx: cx.http.get("x", params={"a": None}), "`params`['a'] is None, neither str nor a number"),
        (lambda cx: cx.slack.post("a", "\ud800"), "`text` of `cx.slack` has the lone surrogate '\\ud800' at position 0"),
        (lambda cx: cx.slack.post("a", None), "`text` of `cx.slack` is None, not str"),
        (lambda cx: cx.history.earlier("namespace", 1), '`cx.history.earlier` is str, not a list of str: write ["namespace"]'),
        (lambda cx: cx.timer.after("k", 1, {"a": 1}), "the fact `a` of `cx.timer.after` is int, not str"),
        (lambda cx: Blocks().fields(["ab"]), "`fields` takes pairs of a name and a value, not str"),
        (lambda cx: Blocks().section(3), "`section` is int, not str: write str(value)"),
        (lambda cx: cx.log.info(b"x"), "the message of `cx.log.info` is bytes, not str: write value.decode()"),
        (lambda cx: Permanent("x", after=1), "`Permanent` takes no `after`: it is never retried"),
        (lambda cx: Setting.one_of("a", "on", "b"), "the values of the setting `a` is str"),
    ],
)
def test_a_value_of_the_wrong_kind_is_a_mistake_at_the_authors_line(call: object, message: str) -> None:
    with pytest.raises(Mistake) as failed:
        call(Host().cx())  # type: ignore[operator]
    assert message in str(failed.value)
    assert str(failed.value).startswith(("tests/test_parts.py:", str(Path(__file__))))


def test_an_error_kind_of_slack_has_its_words() -> None:
    with pytest.raises(Exception, match="Slack: the step's limit is used up: slack_calls"):
        Host().slack_error(ErrorKind.BUDGET_EXHAUSTED, "slack_calls").cx().slack.post("a", "b")
