"""The mock host answers calls as the real host does. The shared table has scripts and the real host's answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from handler_sdk import (
    Alert,
    Blocks,
    CallError,
    Context,
    Description,
    Enrichment,
    Facts,
    Failure,
    Handler,
    Image,
    MessageRef,
    Retryable,
    Setting,
)
from handler_sdk.errors import ErrorKind
from handler_sdk.mock import Host, Reply

TABLE = Path(__file__).parents[2] / "shared" / "calls.json"
BASE = "http://host.test"
START = datetime(2024, 5, 6, 7, tzinfo=timezone.utc)
#: What the test server of the table answers on its paths: a status, headers, and how many bytes.
ANSWERS: dict[str, tuple[int, dict[str, str], int]] = {
    "ok": (200, {"x-mark": "a"}, 2),
    "201": (201, {}, 0),
    "404": (404, {"x-mark": "b"}, 9),
    "500": (500, {}, 3),
    "503": (503, {}, 0),
    "moved": (302, {"location": "/ok"}, 0),
    "large": (200, {}, 8 << 20),
    "too-large": (200, {}, (8 << 20) + 1),
}


class Conformance(Handler):
    """Makes the calls in its alert's annotation `script`, one per line, and returns the answers."""

    def describe(self) -> Description:
        settings = [Setting.string("*", "whatever the script asks for")]
        return Description("conformance", "0.1.0", "Asks what its alert says.", alerts=["*"], settings=settings)

    def enrich(self, cx: Context, alert: Alert, so_far: Enrichment) -> Enrichment:
        return Enrichment({"answers": Script(cx, alert).run()} if alert.label("step") == "enrich" else {})

    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        return {"answers": Script(cx, alert).run()}


class Script:
    def __init__(self, cx: Context, alert: Alert) -> None:
        self.cx = cx
        self.lines = (alert.annotation("script") or "").splitlines()
        self.last = MessageRef("none")

    def run(self) -> str:
        answers: list[tuple[str, int]] = []
        for line in self.lines:
            words = line.split()
            times = 1
            if words[0] == "repeat":
                times, words = int(words[1]), words[2:]
            for n in range(times):
                if words == ["fail-once"] and self.cx.call.attempt == 1:
                    raise Retryable(shown(answers))
                answer = f"{' '.join(words)}: {self.perform([word.replace('#', str(n)) for word in words])}"
                if answers and answers[-1][0] == answer:
                    answers[-1] = (answer, answers[-1][1] + 1)
                else:
                    answers.append((answer, 1))
        return shown(answers)

    def perform(self, words: list[str]) -> str:
        verb, rest = words[0], words[1:]
        try:
            return self.calls()[verb](rest)
        except CallError as error:
            told = error_text(verb, error)
            # The response to an effect is limited by what can still be recorded, a number that only the real host has.
            is_effect = verb == "http" and rest[0] not in ("GET", "HEAD")
            return "too large" if is_effect and error.kind is ErrorKind.TOO_LARGE else told

    def calls(self) -> dict[str, Callable[[list[str]], str]]:
        cx = self.cx
        return {
            "http": lambda rest: self.http(rest[0], rest[1], rest[2:]),
            "post": lambda rest: self.post(rest[0], rest[1], rest[2:]),
            "update": self.update,
            "react": lambda rest: said("reacted", cx.slack.react(self.reference(rest[0]), text(rest[1]))),
            "upload": self.upload,
            "get": lambda rest: kept(cx.kv.get_text(text(rest[0]))),
            "set": lambda rest: said("set", cx.kv.set(text(rest[0]), text(rest[1]), ttl=ttl(rest))),
            "set-if-absent": lambda rest: str(cx.kv.set_if_absent(text(rest[0]), text(rest[1]), ttl=ttl(rest))).lower(),
            "increment": lambda rest: str(cx.kv.increment(text(rest[0]), int(rest[1]), ttl=ttl(rest))),
            "remove": lambda rest: said("removed", cx.kv.remove(text(rest[0]))),
            "earlier": lambda rest: f"{cx.history.earlier(list(map(text, rest[1:])), int(rest[0])).count} earlier",
            "after": lambda rest: said("set", cx.timer.after(text(rest[0]), int(rest[1]), facts(rest[2:]))),
            "cancel-timer": lambda rest: said("cancelled", cx.timer.cancel(text(rest[0]))),
            "config": lambda rest: some(cx.config(text(rest[0]))),
            "log": lambda rest: said("logged", cx.log.info(text(rest[0]))),
            "clock": lambda _: cx.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "attempt": lambda _: str(cx.call.attempt),
            "fail-once": lambda _: "passed",
        }

    def upload(self, rest: list[str]) -> str:
        image = Image("a file", "image/png", b"\x89PNG")
        self.cx.slack.upload(image, text(rest[0]), key=next(options(rest, "key"), None))
        return "uploaded"

    def http(self, method: str, url: str, rest: list[str]) -> str:
        url = BASE + url if url.startswith("/") else text(url)
        for query in options(rest, "query"):
            url += f"?{query}"
        headers = []
        for header in options(rest, "header"):
            name, _, value = header.partition(":")
            headers.append((text(name), text(value).replace("\\n", "\n")))
        for count in options(rest, "headers"):
            headers += [(f"x-{n}", "y") for n in range(int(count))]
        body = next(options(rest, "body"), None)
        if "attempt" in rest:
            body = str(self.cx.call.attempt)
        timeout = next(options(rest, "timeout"), None)
        response = self.cx.http.request(
            method,
            url,
            headers=headers,
            body=body,
            key=next(options(rest, "key"), None),
            credential=next(options(rest, "credential"), None),
            timeout=None if timeout is None else timedelta(milliseconds=int(timeout)),
        )
        mark, location = some(response.header("X-Mark")), some(response.header("location"))
        size, beginning = len(response.body), response.text[:20]
        return f"{response.status} x-mark={mark} location={location} {size} bytes, {beginning}"

    def post(self, channel: str, message: str, rest: list[str]) -> str:
        thread = next(options(rest, "thread"), None)
        self.last = self.cx.slack.post(
            text(channel),
            text(message),
            blocks=Blocks().section(message) if "blocks" in rest else None,
            thread=None if thread is None else self.reference(thread),
            key=next(options(rest, "key"), None),
        )
        return "posted"

    def update(self, rest: list[str]) -> str:
        self.cx.slack.update(self.reference(rest[0]), text(rest[1]), key=next(options(rest[2:], "key"), None))
        return "updated"

    def reference(self, word: str) -> MessageRef:
        return self.last if word == "last" else MessageRef(word)


def error_text(verb: str, error: CallError) -> str:
    """Returns an error's kind and numbers: the texts are for people, and differ between the hosts."""
    limit = error.reason.partition(":")[0] if ":" in error.reason else ""
    match error.kind:
        case ErrorKind.INVALID:
            return "invalid" if verb in ("after", "cancel-timer") else f"invalid: {limit}"
        case ErrorKind.TOO_LARGE:
            return f"too large: {error.reason}"
        case ErrorKind.BUDGET_EXHAUSTED:
            return f"budget: {limit}"
        case ErrorKind.QUOTA_EXCEEDED:
            return "over the quota"
        case kind:
            return kind.value.replace("-", " ").replace("_", " ")


def shown(answers: list[tuple[str, int]]) -> str:
    return "\n".join(answer if times == 1 else f"{answer} ×{times}" for answer, times in answers)


def said(done: str, _: object) -> str:
    return done


def some(value: str | None) -> str:
    return "None" if value is None else f"Some({json.dumps(value)})"


def kept(value: str | None) -> str:
    return "absent" if value is None else f"{len(value)} bytes, {value[:20]}"


def text(word: str) -> str:
    """Returns N bytes of text for `@N`, and no text for `_`."""
    if word.startswith("@"):
        return "x" * int(word[1:])
    return "" if word == "_" else word


def options(words: list[str], name: str) -> Iterator[str]:
    return (text(word.removeprefix(f"{name}=")) for word in words if word.startswith(f"{name}="))


def ttl(words: list[str]) -> int | None:
    return next((int(value) for value in options(words, "ttl")), None)


def facts(words: list[str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in words)
    return {text(name): text(value) for name, _, value in pairs}


def host_for(scenario: dict[str, Any]) -> Host:
    host = Host().channels(["alerts", "oncall"]).credentials(["granted"])
    host.config("word", "hello").config("list", "[1,2]")
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        for path, (status, headers, size) in ANSWERS.items():
            reply = Reply.status(status, "o" * size)
            for name, value in headers.items():
                reply = reply.header(name, value)
            # With any query or none.
            host.http(method, f"{BASE}/{path}", reply).http(method, f"{BASE}/{path}?*", reply)
        host.http(method, f"{BASE}/hang", Reply.timeout())
    for fault in scenario.get("slack", []):
        if fault in ("channel_not_found", "not_in_channel"):
            host.hold_channel("alerts", fault)
        elif fault == "fatal_error":
            host.slack_error(ErrorKind.TIMEOUT)
        elif isinstance(fault, str):
            host.slack_error(ErrorKind.INVALID, f"{fault}: whatever Slack says")
        else:
            host.slack_error(ErrorKind.UNAVAILABLE, "a server's error")
    return host


def answers_of(scenario: dict[str, Any]) -> list[list[str]]:
    step = scenario.get("step", "act")
    annotations = {"script": "\n".join(scenario["script"])}
    alert = Alert.new("Test", labels={"step": step}, annotations=annotations)
    host = host_for(scenario)
    told = []
    for attempt in range(1, scenario.get("attempts", 1) + 1):
        host.attempt(attempt).now(START + timedelta(hours=attempt - 1))
        try:
            ran = host.enrich(Conformance, alert).facts if step == "enrich" else host.act(Conformance, alert)
            told.append(ran["answers"])
        except Failure as failure:
            told.append(failure.message)
    return [answers.split("\n") for answers in told]


@pytest.mark.parametrize("scenario", json.loads(TABLE.read_text(encoding="utf-8")), ids=lambda each: each["about"])
def test_the_mock_answers_as_the_real_host(scenario: dict[str, Any]) -> None:
    assert answers_of(scenario) == scenario["answers"]
