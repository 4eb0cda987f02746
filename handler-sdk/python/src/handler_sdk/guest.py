"""Exports a handler as the component's hooks. The entry that `alert-manager build` generates calls `export`; authors do
not use this module."""

from __future__ import annotations

import gc
import importlib
import linecache
import os
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from handler_sdk import _author, _check, _run, errors
from handler_sdk._imports import HttpRequest, HttpResponse, SlackFile, SlackMessage
from handler_sdk._project import line_to_add
from handler_sdk.alert import Alert, Origin, Status
from handler_sdk.context import Call, Context
from handler_sdk.durations import moment
from handler_sdk.enrichment import Custom, Enrichment, Excerpt, Fields, Image, Link, Markdown, Table
from handler_sdk.errors import CallError, ErrorKind, HttpError
from handler_sdk.failure import Failure, Mistake, Permanent, Retryable
from handler_sdk.history import Occurrence, Past
from handler_sdk.log import Level

T = TypeVar("T")

_NO_FILES = "A component has no files: read them at the top of the module, which is built in, or use a setting."
_KINDS = {
    "Denied": ErrorKind.DENIED,
    "Invalid": ErrorKind.INVALID,
    "InvalidRequest": ErrorKind.INVALID,
    "Unreachable": ErrorKind.UNREACHABLE,
    "Timeout": ErrorKind.TIMEOUT,
    "TooLarge": ErrorKind.TOO_LARGE,
    "BudgetExhausted": ErrorKind.BUDGET_EXHAUSTED,
    "NotFound": ErrorKind.NOT_FOUND,
    "RateLimited": ErrorKind.RATE_LIMITED,
    "QuotaExceeded": ErrorKind.QUOTA_EXCEEDED,
}


def export(module: ModuleType, **interfaces: ModuleType) -> type:
    """Returns the class `Hooks` of a component, for the one handler of the author's module and the generated bindings of
    the interfaces that the component imports.

    Raises `Mistake` with the author's file and line if the module has no handler, or one that cannot work. It runs when
    the component is built, so every mistake that it finds is an error of the build.
    """
    root = str(Path(module.__file__ or ".").parents[module.__name__.count(".")])
    _author.set_root(root)
    handler = _run.find(module)
    described = _run.describe(handler)
    _keep_source(root)
    wit = Wit()
    imports = GuestImports(wit, interfaces)

    class Hooks:
        def describe(self) -> Any:
            return wit.hooks.Description(
                described.name, described.version, described.summary, described.alerts, described.more
            )

        def enrich(self, call: Any, alert: Any, so_far: Any) -> Any:
            cx = Context(_call(call), imports)
            added = _hook(wit, lambda: _run.enrich(handler, cx, _alert(alert), wit.enrichment(so_far)))
            return wit.from_enrichment(added)

        def act(self, call: Any, alert: Any, found: Any) -> list[tuple[str, str]]:
            cx = Context(_call(call), imports)
            facts = _hook(wit, lambda: _run.act(handler, cx, _alert(alert), wit.enrichment(found)))
            return sorted(facts.items())

    # Nothing that is made by now is garbage later. A collection would read, and so copy, all memory of the component.
    gc.collect()
    gc.freeze()
    return Hooks


def _hook(wit: Wit, run: Callable[[], T]) -> T:
    """Runs a hook. A failure becomes the contract's; any other exception ends the instance, with the traceback on stderr."""
    random = sys.modules.get("random")
    if random is not None:
        # The module's generator was seeded when the component was built, so every run would draw the same numbers.
        random.seed(os.urandom(32))
    try:
        return run()
    except Failure as failure:
        raise wit.failure(failure) from None
    except Mistake as mistake:
        raise wit.failure(Permanent(str(mistake))) from None
    except BaseException as error:
        _end(error)


def _end(error: BaseException) -> NoReturn:
    """Writes the traceback of the author's part and ends the instance, which the host counts as a crash."""
    report = traceback.TracebackException.from_exception(error)
    chained: traceback.TracebackException | None = report
    while chained is not None:
        own = [frame for frame in chained.stack if _author.is_own(frame.filename)]
        chained.stack = traceback.StackSummary.from_list(own or chained.stack)
        for frame in chained.stack:
            frame.filename = _author.shown(frame.filename)
        chained = chained.__cause__ or chained.__context__
    sys.stdout.flush()
    sys.stderr.write("".join(report.format()))
    if isinstance(error, FileNotFoundError):
        sys.stderr.write(f"{_NO_FILES}\n")
    sys.stderr.flush()
    os.abort()


def _keep_source(root: str) -> None:
    """Keeps the lines of the author's modules for tracebacks: a component has no files."""
    for module in list(sys.modules.values()):
        filename = getattr(module, "__file__", None)
        if filename and filename.startswith(root):
            lines = linecache.getlines(filename)
            linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)


class Wit:
    """The generated types of the contract."""

    def __init__(self) -> None:
        self.types: Any = importlib.import_module("wit_world.imports.types")
        self.hooks: Any = importlib.import_module("wit_world.exports.hooks")
        self.err: Any = importlib.import_module("componentize_py_types").Err

    def failure(self, failure: Failure) -> BaseException:
        """Returns the exception by which a hook returns a failure."""
        if isinstance(failure, Permanent):
            return self._err(self.types.Failure_Permanent(failure.message))
        after_ms = None if failure.after is None else _check.milliseconds(failure.after)
        retry = self.types.Retry(failure.message, after_ms)
        is_retryable = isinstance(failure, Retryable)
        return self._err((self.types.Failure_Retryable if is_retryable else self.types.Failure_Unavailable)(retry))

    def _err(self, value: Any) -> BaseException:
        error: BaseException = self.err(value)
        return error

    def enrichment(self, given: Any) -> Enrichment:
        """Returns what was found so far."""
        return Enrichment(dict(given.facts), [block for one in given.blocks if (block := _block(one)) is not None])

    def from_enrichment(self, added: Enrichment) -> Any:
        """Returns an enrichment that was checked as the contract has it."""
        return self.types.Enrichment(sorted(added.facts.items()), [self._from_block(block) for block in added.blocks])

    def _from_block(self, block: Any) -> Any:
        types = self.types
        if isinstance(block, Markdown):
            return types.Block_Markdown(block.text)
        if isinstance(block, Fields):
            return types.Block_Fields(list(block.pairs))
        if isinstance(block, Table):
            return types.Block_Table(types.Table(block.title, list(block.header), [list(row) for row in block.rows]))
        if isinstance(block, Excerpt):
            return types.Block_Excerpt(types.Excerpt(block.title, block.text))
        if isinstance(block, Link):
            return types.Block_Link(types.Link(block.title, block.url))
        if isinstance(block, Image):
            return types.Block_Image(types.Image(block.title, block.media_type, block.data))
        return types.Block_Custom(types.Custom(block.kind, block.fallback, block.data))


def _block(given: Any) -> Any:
    value = given.value
    kind = type(given).__name__.removeprefix("Block_")
    if kind == "Markdown":
        return Markdown(value)
    if kind == "Fields":
        return Fields(list(value))
    if kind == "Table":
        return Table(value.title, value.header, value.rows)
    if kind == "Excerpt":
        return Excerpt(value.title, value.text)
    if kind == "Link":
        return Link(value.title, value.url)
    if kind == "Image":
        return Image(value.title, value.media_type, value.data)
    return Custom(value.kind, value.fallback, value.data)


def _call(given: Any) -> Call:
    return Call(given.delivery_id, given.attempt, timedelta(milliseconds=given.time_left_ms), given.dry_run)


def _time(given: Any) -> datetime:
    return moment(given.seconds, given.nanoseconds)


def _alert(given: Any) -> Alert:
    origin = given.origin
    return Alert(
        name=given.name,
        labels=dict(given.labels),
        annotations=dict(given.annotations),
        status=Status.FIRING if given.status.name == "FIRING" else Status.RESOLVED,
        starts_at=_time(given.starts_at),
        ends_at=None if given.ends_at is None else _time(given.ends_at),
        received_at=_time(given.received_at),
        fingerprint=given.fingerprint,
        generator_url=given.generator_url,
        origin=Origin(
            origin.sender,
            origin.receiver,
            origin.group_key,
            dict(origin.group_labels),
            origin.external_url,
            dict(origin.extra),
        ),
        starts_at_nanoseconds=given.starts_at.nanoseconds,
    )


class GuestImports:
    """The host's functions, through the generated bindings of the interfaces that the component imports."""

    def __init__(self, wit: Wit, interfaces: dict[str, ModuleType]) -> None:
        self._wit = wit
        self._interfaces: dict[str, Any] = dict(interfaces)

    def need(self, interface: str) -> None:
        if interface not in self._interfaces:
            line = line_to_add(self._interfaces, interface)
            raise _check.mistake(f"`cx.{interface}` is used, but the component was built without it: {line}")

    def _of(self, interface: str) -> Any:
        self.need(interface)
        return self._interfaces[interface]

    def _call(self, call: Callable[[], T], error: Callable[[ErrorKind, str, timedelta | None], CallError]) -> T:
        try:
            return call()
        except self._wit.err as raised:
            value = raised.value
            kind = _KINDS.get(type(value).__name__.removeprefix("Error_"), ErrorKind.UNAVAILABLE)
            detail: Any = getattr(value, "value", "")
            wait = timedelta(milliseconds=detail) if kind is ErrorKind.RATE_LIMITED else None
        raise error(kind, str(detail), wait)

    def http_send(self, request: HttpRequest) -> HttpResponse:
        http = self._of("http")
        method = http.Method[request.method]
        wire = http.Request(
            method, request.url, list(request.headers), request.body, request.credential, request.key, request.timeout_ms
        )
        response = self._call(lambda: http.send(wire), lambda kind, why, _: HttpError(kind, why, reason=why))
        return HttpResponse(response.status, list(response.headers), bytes(response.body))

    def _slack(self, call: Callable[[], T]) -> T:
        return self._call(call, errors.slack_error)

    def _message(self, message: SlackMessage) -> Any:
        slack = self._of("slack")
        return slack.Message(message.channel, message.text, message.blocks, message.thread, message.key)

    def slack_post(self, message: SlackMessage) -> str:
        return self._slack(lambda: str(self._of("slack").post(self._message(message))))

    def slack_update(self, at: str, message: SlackMessage) -> str:
        return self._slack(lambda: str(self._of("slack").update(at, self._message(message))))

    def slack_react(self, at: str, emoji: str) -> None:
        self._slack(lambda: self._of("slack").react(at, emoji))

    def slack_upload(self, file: SlackFile) -> str:
        slack = self._of("slack")
        wire = slack.File(file.name, file.title, file.media_type, file.data, file.key)
        return self._slack(lambda: str(slack.upload(wire)))

    def _kv(self, call: Callable[[Any], T]) -> T:
        kv = self._of("kv")
        return self._call(lambda: call(kv), lambda kind, why, _: errors.kv_error(kind, why))

    def kv_get(self, key: str) -> bytes | None:
        value = self._kv(lambda kv: kv.get(key))
        return None if value is None else bytes(value)

    def kv_set(self, key: str, value: bytes, ttl_seconds: int | None) -> None:
        self._kv(lambda kv: kv.set(key, value, ttl_seconds))

    def kv_set_if_absent(self, key: str, value: bytes, ttl_seconds: int | None) -> bool:
        return self._kv(lambda kv: bool(kv.set_if_absent(key, value, ttl_seconds)))

    def kv_increment(self, key: str, by: int, ttl_seconds: int | None) -> int:
        return self._kv(lambda kv: int(kv.increment(key, by, ttl_seconds)))

    def kv_remove(self, key: str) -> None:
        self._kv(lambda kv: kv.remove(key))

    def history_earlier(self, same: list[str], within_seconds: int) -> Past:
        history = self._of("history")
        call = self._call(
            lambda: history.earlier(same, within_seconds), lambda kind, why, _: errors.history_error(kind, why)
        )
        occurrences = [
            Occurrence(
                one.delivery_id, _time(one.starts_at), None if one.ends_at is None else _time(one.ends_at), one.state
            )
            for one in call.occurrences
        ]
        return Past(call.count, occurrences)

    def _timer(self, call: Callable[[Any], None]) -> None:
        timer = self._of("timer")
        self._call(lambda: call(timer), lambda kind, why, _: errors.timer_error(kind, why))

    def timer_after(self, key: str, delay_seconds: int, facts: list[tuple[str, str]]) -> None:
        self._timer(lambda timer: timer.after(key, delay_seconds, facts))

    def timer_cancel(self, key: str) -> None:
        self._timer(lambda timer: timer.cancel(key))

    def config_get(self, key: str) -> str | None:
        value: str | None = self._interfaces["config"].get(key)
        return value

    def log_write(self, level: Level, message: str, fields: list[tuple[str, str]]) -> None:
        log = self._interfaces["log"]
        log.write(log.Level[level.name], message, fields)

    def now(self) -> datetime:
        return datetime.now(timezone.utc)
