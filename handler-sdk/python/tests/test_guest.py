"""The guest's half: what crosses the boundary, in both directions."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import fake_wit
import pytest

from handler_sdk import (
    Alert,
    Context,
    Custom,
    Description,
    Enrichment,
    ErrorKind,
    Excerpt,
    Facts,
    Fields,
    Handler,
    HttpError,
    Image,
    KvError,
    Link,
    Markdown,
    Mistake,
    Permanent,
    Retryable,
    Setting,
    SlackError,
    Table,
    Unavailable,
    _author,
)
from handler_sdk.guest import export

CHANNEL = Setting.channel("channel", "where it posts").default("alerts")
ALL_BLOCKS = [
    Markdown("m"),
    Fields([("a", "b")]),
    Table("t", ["x"], [["1"]]),
    Excerpt("e", "text"),
    Link("l", "https://a.example"),
    Image("i", "image/png", b"\x89"),
    Custom("k", "f", "{}"),
]


class Method(Enum):
    GET = 0
    POST = 1


class Level(Enum):
    INFO = 2


@pytest.fixture
def wit(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Registers generated modules, and forgets them and the author's folder after the test."""
    monkeypatch.setattr(_author, "_root", None)
    for name in ("wit_world", "wit_world.imports", "wit_world.exports", "wit_world.imports.types"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return fake_wit.install()


class Guest:
    """A component with one handler, and what it has sent."""

    def __init__(self, wit: Any, hooks: type[Handler], **interfaces: Any) -> None:
        self.wit = wit
        self.logged: list[Any] = []
        module = ModuleType("test_guest")
        module.__file__ = __file__
        module.H = hooks  # type: ignore[attr-defined]
        log = SimpleNamespace(Level=Level, write=lambda *line: self.logged.append(line))
        config = SimpleNamespace(get=lambda key: None)
        self.hooks: Any = export(module, log=log, config=config, **interfaces)()

    def alert(self, status: str = "FIRING") -> Any:
        types = self.wit
        origin = types.Origin("alertmanager", None, "{}:{}", [("team", "a")], None, [("valueString", "1")])
        ends_at = None if status == "FIRING" else types.Timestamp(1_646_206_400, 0)
        return types.Alert(
            "0f", "Down", types.Status[status], [("alertname", "Down"), ("pod", "x")], [("summary", "It is down.")],
            types.Timestamp(1_646_206_317, 339_123_456), ends_at, None, types.Timestamp(1_646_206_320, 0), origin,
        )  # fmt: skip

    def act(self, found: Any = None, status: str = "FIRING") -> Any:
        call = self.wit.Call("d-1", 2, 30_000, False)
        return self.hooks.act(call, self.alert(status), found or self.wit.Enrichment([], []))


def handler(act: Any) -> type[Handler]:
    """Returns a handler with this `act`."""

    class Probe(Handler):
        def describe(self) -> Description:
            return Description("probe", "0.1.0", "A probe.", alerts=["*"], settings=[CHANNEL], storm_one=True)

        def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
            result: Facts = act(cx, alert, found)
            return result

    Probe.__module__ = "test_guest"
    return Probe


def test_the_description_is_the_contracts(wit: Any) -> None:
    described = Guest(wit, handler(lambda *_: {})).hooks.describe()
    assert (described.name, described.alerts) == ("probe", ["*"])
    settings = '[{"name":"channel","type":"string","default":"alerts","about":"where it posts","required":false,'
    assert described.more == [
        ("steps", "act"),
        ("storm", "one"),
        ("settings", settings + '"refers_to":"channel"}]'),
    ]


def test_an_alert_and_what_was_found_arrive_whole(wit: Any) -> None:
    seen: list[Any] = []

    def act(cx: Context, alert: Alert, found: Enrichment) -> Facts:
        seen.extend((cx, alert, found))
        return {"b": "2", "a": "1"}

    guest = Guest(wit, handler(act))
    blocks = [guest.wit.Block_Markdown("m"), guest.wit.Block_Table(guest.wit.Table("t", ["x"], [["1"]]))]
    assert guest.act(guest.wit.Enrichment([("owner", "a")], blocks)) == [("a", "1"), ("b", "2")]
    cx, alert, found = seen
    assert (cx.call.attempt, cx.call.time_left) == (2, timedelta(seconds=30))
    assert alert.starts_at == datetime(2022, 3, 2, 7, 31, 57, 339_123, tzinfo=timezone.utc)
    assert alert.incident_key == "0f@1646206317.339123456"
    assert (alert.label("pod"), alert.summary, alert.extra("valueString")) == ("x", "It is down.", "1")
    assert alert.origin.group_labels == {"team": "a"}
    assert found == Enrichment({"owner": "a"}, [Markdown("m"), Table("t", ["x"], [["1"]])])


def test_blocks_of_all_kinds_go_out_and_come_back(wit: Any) -> None:
    class Enricher(Handler):
        def describe(self) -> Description:
            return Description("enricher", "0.1.0", "Enriches.", alerts=["*"])

        def enrich(self, cx: Context, alert: Alert, so_far: Enrichment) -> Enrichment:
            return Enrichment({"n": str(len(so_far.blocks))}, ALL_BLOCKS)

    Enricher.__module__ = "test_guest"
    guest = Guest(wit, Enricher)
    assert ("steps", "enrich") in guest.hooks.describe().more
    call = guest.wit.Call("d-1", 1, 1_000, False)
    once = guest.hooks.enrich(call, guest.alert(), guest.wit.Enrichment([], []))
    again = guest.hooks.enrich(call, guest.alert(), once)
    assert again.facts == [("n", "7")]
    assert again.blocks == once.blocks


def test_a_resolved_alert_has_a_method_of_its_own(wit: Any) -> None:
    class Both(Handler):
        def describe(self) -> Description:
            return Description("both", "0.1.0", "Both.", alerts=["*"])

        def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
            return {"which": "act"}

        def resolved(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
            return {"which": "resolved", "lasted": str(alert.duration(cx.now()))}

    Both.__module__ = "test_guest"
    guest = Guest(wit, Both)
    assert guest.act() == [("which", "act")]
    assert guest.act(status="RESOLVED") == [("lasted", "0:01:22.660877"), ("which", "resolved")]


@pytest.mark.parametrize(
    ("raised", "variant", "message"),
    [
        (Retryable("later", after=1.5), "Failure_Retryable", "later"),
        (Unavailable("down"), "Failure_Unavailable", "down"),
        (Permanent("never"), "Failure_Permanent", "never"),
        (Mistake("handler.py:1: no"), "Failure_Permanent", "handler.py:1: no"),
    ],
)
def test_a_failure_is_returned_as_the_contracts(wit: Any, raised: Exception, variant: str, message: str) -> None:
    def act(cx: Context, alert: Alert, found: Enrichment) -> Facts:
        raise raised

    with pytest.raises(fake_wit.Err) as caught:
        Guest(wit, handler(act)).act()
    value = caught.value.value
    assert type(value).__name__ == variant
    if variant == "Failure_Permanent":
        assert value.value == message
    else:
        assert value.value.message == message
        assert value.value.after_ms == (1_500 if variant == "Failure_Retryable" else None)


def slack_that_fails(kind: str, *value: Any) -> Any:
    def post(message: Any) -> str:
        raise fake_wit.error(kind, *value)

    message = SimpleNamespace
    return SimpleNamespace(Message=lambda *fields: message(fields=fields), post=post)


@pytest.mark.parametrize(
    ("error", "kind", "variant", "message"),
    [
        (("Denied", "grant it"), ErrorKind.DENIED, "Failure_Permanent", "Slack: not granted: grant it"),
        (("RateLimited", 2_000), ErrorKind.RATE_LIMITED, "Failure_Unavailable", "Slack asks to wait 2000 ms"),
        (("Timeout",), ErrorKind.TIMEOUT, "Failure_Unavailable", "Slack timed out; whether it was posted is unknown"),
        (("NotFound",), ErrorKind.NOT_FOUND, "Failure_Permanent", "Slack: the message is gone, or too old to be changed"),
        (("SomethingNew", "x"), ErrorKind.UNAVAILABLE, "Failure_Unavailable", "Slack is unavailable: x"),
    ],
)
def test_an_error_of_slack_is_an_exception_that_maps_by_itself(
    wit: Any, error: tuple[Any, ...], kind: ErrorKind, variant: str, message: str
) -> None:
    met: list[SlackError] = []

    def act(cx: Context, alert: Alert, found: Enrichment) -> Facts:
        try:
            cx.slack.post("alerts", "text")
        except SlackError as met_now:
            met.append(met_now)
            raise
        return {}

    with pytest.raises(fake_wit.Err) as caught:
        Guest(wit, handler(act), slack=slack_that_fails(*error)).act()
    assert met[0].kind is kind
    value = caught.value.value
    assert type(value).__name__ == variant
    inner = value.value
    assert (inner if variant == "Failure_Permanent" else inner.message) == message
    if kind is ErrorKind.RATE_LIMITED:
        assert inner.after_ms == 2_000


def test_a_request_and_its_response_cross_the_boundary(wit: Any) -> None:
    sent: list[Any] = []

    def send(request: Any) -> Any:
        sent.append(request)
        if request.url.endswith("gone"):
            raise fake_wit.error("Unreachable", "no route")
        return SimpleNamespace(status=200, headers=[("x-a", "1")], body=b'{"a": 1}')

    def act(cx: Context, alert: Alert, found: Enrichment) -> Facts:
        response = cx.http.get("https://a.example/x", params={"q": "a b"}, credential="c", timeout=2)
        with pytest.raises(HttpError, match="GET https://a.example/gone: unreachable: no route"):
            cx.http.get("https://a.example/gone")
        return {"a": str(response.json()["a"]), "x": response.header("X-A") or ""}

    fields = "method url headers body credential key timeout_ms".split()
    http = SimpleNamespace(Method=Method, Request=lambda *v: SimpleNamespace(**dict(zip(fields, v))), send=send)
    assert Guest(wit, handler(act), http=http).act() == [("a", "1"), ("x", "1")]
    assert (sent[0].url, sent[0].method, sent[0].timeout_ms) == ("https://a.example/x?q=a%20b", Method.GET, 2_000)
    assert sent[0].credential == "c"


def test_values_of_kv_cross_the_boundary(wit: Any) -> None:
    kept: dict[str, Any] = {}

    def get(key: str) -> Any:
        if key == "broken":
            raise fake_wit.error("Unavailable", "disk full")
        return kept.get(key)

    def act(cx: Context, alert: Alert, found: Enrichment) -> Facts:
        cx.kv.set_json("a", {"b": "ü"}, ttl=0.5)
        with pytest.raises(KvError, match="kv: disk full"):
            cx.kv.get("broken")
        return {"a": cx.kv.get_json("a")["b"], "none": str(cx.kv.get_text("none"))}

    def set_(key: str, value: bytes, ttl: int | None) -> None:
        assert ttl == 1
        kept[key] = value

    kv = SimpleNamespace(get=get, set=set_)
    assert Guest(wit, handler(act), kv=kv).act() == [("a", "ü"), ("none", "None")]


def test_an_interface_that_the_component_lacks_names_the_line_to_add(wit: Any) -> None:
    def act(cx: Context, alert: Alert, found: Enrichment) -> Facts:
        cx.kv.get("a")
        return {}

    with pytest.raises(fake_wit.Err) as caught:
        Guest(wit, handler(act), slack=slack_that_fails("Timeout")).act()
    assert caught.value.value.value.endswith(
        "`cx.kv` is used, but the component was built without it: "
        'write `needs = ["slack", "kv"]` below [tool.alert-manager] in pyproject.toml'
    )
    assert caught.value.value.value.startswith("test_guest.py:")


def test_log_lines_have_the_contracts_level(wit: Any) -> None:
    def act(cx: Context, alert: Alert, found: Enrichment) -> Facts:
        cx.log.info("asked", pods=3, node=None)
        return {}

    guest = Guest(wit, handler(act))
    guest.act()
    assert guest.logged == [(Level.INFO, "asked", [("pods", "3"), ("node", "None")])]


def test_an_unexpected_exception_ends_the_instance_with_the_authors_traceback(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(
        textwrap.dedent(
            """
            from handler_sdk import Alert, Context, Description, Enrichment, Facts, Handler

            class Probe(Handler):
                def describe(self) -> Description:
                    return Description("probe", "0.1.0", "A probe.", alerts=["*"])

                def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
                    return {"first": read(alert)}

            def read(alert: Alert) -> str:
                return open("/no/such/file").read()
            """
        )
    )
    program = (
        "import fake_wit, types as t\n"
        "wit = fake_wit.install()\n"
        "import handler\n"
        "from handler_sdk.guest import export\n"
        "Hooks = export(handler, config=t.SimpleNamespace(), log=t.SimpleNamespace())\n"
        "zero = wit.Timestamp(0, 0)\n"
        "origin = wit.Origin('json', None, None, [], None, [])\n"
        "alert = wit.Alert('', 'A', wit.Status.FIRING, [], [], zero, None, None, zero, origin)\n"
        "Hooks().act(wit.Call('d', 1, 1, False), alert, wit.Enrichment([], []))\n"
    )
    source = Path(__file__).parents[1] / "src"
    path = ":".join(str(folder) for folder in (tmp_path, source, Path(__file__).parent))
    ended = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert ended.returncode != 0
    shown = [line for line in ended.stderr.splitlines() if "^^^" not in line]
    assert shown == [
        "Traceback (most recent call last):",
        '  File "handler.py", line 9, in act',
        '    return {"first": read(alert)}',
        '  File "handler.py", line 12, in read',
        '    return open("/no/such/file").read()',
        "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/file'",
        "A component has no files: read them at the top of the module, which is built in, or use a setting.",
    ]
