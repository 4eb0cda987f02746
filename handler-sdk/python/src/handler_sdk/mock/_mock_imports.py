"""The host's functions as the mock implements them, for one step."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from handler_sdk import _check, limits
from handler_sdk._imports import HttpRequest, HttpResponse, SlackFile, SlackMessage
from handler_sdk._project import line_to_add
from handler_sdk.errors import (
    CallError,
    ErrorKind,
    HistoryError,
    HttpError,
    history_error,
    kv_error,
    slack_error,
    timer_error,
)
from handler_sdk.history import Past
from handler_sdk.log import Level
from handler_sdk.mock import _checks
from handler_sdk.mock._sent import LogLine, Post, Reaction, Request, SetTimer, Update, Upload, checked_blocks
from handler_sdk.mock._state import State
from handler_sdk.slack import FileRef, MessageRef

T = TypeVar("T")
#: A change that succeeded is recorded; a read, or a change that changed nothing, is recorded together with the next effect.
_EFFECT, _READ, _NOT_KEPT = True, False, None


class MockImports:
    """The mock host's functions for one step, `enrich` or `act`."""

    def __init__(self, state: State, step: str) -> None:
        self._state = state
        self._step = step

    def need(self, interface: str) -> None:
        needs = self._state.needs
        if needs is not None and interface not in needs:
            line = line_to_add(needs, interface)
            raise _check.mistake(f"`cx.{interface}` is used, but not declared: {line}")

    def _call(self, name: object, live: Callable[[], tuple[T, bool | None]]) -> T:
        """Answers a call from the record, or makes it and records the answer."""
        replay = self._state.replay(self._step)
        answered = replay.answer(name)
        if answered is not None:
            recorded: T = answered[0]
            return recorded
        clock = self._state.clock(self._step)
        answer, is_effect = live()
        if is_effect is not None:
            replay.keep(name, is_effect, answer, clock)
        return answer

    def http_send(self, request: HttpRequest) -> HttpResponse:
        if not self._state.take("http", _checks.HTTP_CALLS_MAX):
            raise HttpError(ErrorKind.BUDGET_EXHAUSTED, "", reason=_used_up("http_calls", _checks.HTTP_CALLS_MAX))
        parts = (request.method, request.url, request.headers, request.body, request.credential)
        reads = request.method in ("GET", "HEAD")

        def live() -> tuple[HttpResponse | HttpError, bool | None]:
            body = (request.body or b"").decode(errors="replace")
            self._state.requests.append(
                Request(
                    request.method,
                    request.url,
                    request.headers,
                    body,
                    request.credential,
                    request.key,
                    request.timeout_ms,
                )
            )
            try:
                response = self._state.reply_to(request)
            except HttpError as error:
                # Only what the server has done can be answered with too much.
                made = _EFFECT if error.kind is ErrorKind.TOO_LARGE else _NOT_KEPT
                return error, _READ if reads else made
            changed = _EFFECT if 200 <= response.status < 400 else _NOT_KEPT
            return response, _READ if reads else changed

        answer = self._call(_name("http", request.key, parts), live)
        if isinstance(answer, HttpError):
            raise answer
        return answer

    def _slack(self, name: object, live: Callable[[], T]) -> T:
        if not self._state.take("slack", _checks.SLACK_CALLS_MAX):
            raise slack_error(ErrorKind.BUDGET_EXHAUSTED, _used_up("slack_calls", _checks.SLACK_CALLS_MAX))
        if self._step == "enrich":
            raise slack_error(ErrorKind.DENIED, "Slack is denied during `enrich`")
        return self._call(name, lambda: (live(), _EFFECT))

    def slack_post(self, message: SlackMessage) -> str:
        def live() -> str:
            state = self._state
            _refuse(_checks.key(message.key))
            state.check_channel(message.channel)
            if message.thread is not None and state.channel_of(message.thread) not in (None, message.channel):
                _refuse(f"thread: that message is not in {message.channel}")
            state.next_slack_error(message.channel)
            blocks = checked_blocks(message.text, message.blocks, limits.TEXT_CHARS_MAX)
            state.messages += 1
            at = MessageRef(f"mock:{message.channel}:{state.messages}")
            thread = None if message.thread is None else MessageRef(message.thread)
            state.posts.append(Post(at, message.channel, message.text, blocks, thread, message.key))
            return at

        parts = ("post", message.channel, message.text, message.blocks, message.thread)
        return self._slack(_name("slack", message.key, parts), live)

    def slack_update(self, at: str, message: SlackMessage) -> str:
        def live() -> str:
            state = self._state
            _refuse(_checks.key(message.key))
            channel = state.channel_of(at)
            if channel is not None:
                state.check_channel(channel)
            state.next_slack_error(channel)
            blocks = checked_blocks(message.text, message.blocks, limits.UPDATE_TEXT_CHARS_MAX)
            state.updates.append(Update(MessageRef(at), message.text, blocks))
            return at

        parts = ("update", at, message.text, message.blocks)
        return self._slack(_name("slack", message.key, parts), live)

    def slack_react(self, at: str, emoji: str) -> None:
        def live() -> None:
            channel = self._state.channel_of(at)
            _refuse(_checks.emoji(emoji))
            if channel is not None:
                self._state.check_channel(channel)
            self._state.next_slack_error(None)
            self._state.reactions.append(Reaction(MessageRef(at), emoji))

        self._slack(_name("slack", None, ("react", at, emoji)), live)

    def slack_upload(self, file: SlackFile) -> str:
        def live() -> str:
            _refuse(_checks.key(file.key))
            self._state.next_slack_error(None)
            if not self._state.are_uploads_allowed:
                raise slack_error(ErrorKind.UNAVAILABLE, "this server cannot upload files to Slack yet")
            at = FileRef(f"mock:file:{len(self._state.uploads) + 1}")
            self._state.uploads.append(Upload(at, file.name, file.title, file.media_type, file.data))
            return at

        parts = ("upload", file.name, file.title, file.media_type, file.data)
        return self._slack(_name("slack", file.key, parts), live)

    def _kv(self, key: str, value: bytes, name: object, live: Callable[[], tuple[T, bool | None]]) -> T:
        if not self._state.take("kv", _checks.KV_CALLS_MAX):
            raise kv_error(ErrorKind.BUDGET_EXHAUSTED, _used_up("kv_calls", _checks.KV_CALLS_MAX))
        for size, most in ((len(key.encode()), _checks.KV_KEY_BYTES_MAX), (len(value), _checks.KV_VALUE_BYTES_MAX)):
            if size > most:
                raise kv_error(ErrorKind.TOO_LARGE, str(most))

        def scripted() -> tuple[T, bool | None]:
            if self._state.kv_errors:
                raise self._state.kv_errors.popleft()
            return live()

        return self._call(_name("kv", None, name), scripted)

    def kv_get(self, key: str) -> bytes | None:
        return self._kv(key, b"", ("get", key), lambda: (self._state.kv_live(key), _READ))

    def kv_set(self, key: str, value: bytes, ttl_seconds: int | None) -> None:
        def live() -> tuple[None, bool | None]:
            self._state.kv_put(key, value, ttl_seconds)
            return None, _EFFECT

        self._kv(key, value, ("set", key, value, ttl_seconds), live)

    def kv_set_if_absent(self, key: str, value: bytes, ttl_seconds: int | None) -> bool:
        def live() -> tuple[bool, bool | None]:
            if self._state.kv_live(key) is not None:
                return False, _READ
            self._state.kv_put(key, value, ttl_seconds)
            return True, _EFFECT

        return self._kv(key, value, ("set-if-absent", key, value, ttl_seconds), live)

    def kv_increment(self, key: str, by: int, ttl_seconds: int | None) -> int:
        def live() -> tuple[int, bool | None]:
            value = self._state.kv_live(key)
            kept = "0" if value is None else value.decode(errors="replace").strip()
            if not re.fullmatch(r"[+-]?[0-9]+", kept):
                why = f"the value of {key} is not a number: remove it, or use another key"
                raise kv_error(ErrorKind.UNAVAILABLE, why)
            total = max(-(2**63), min(int(kept) + by, 2**63 - 1))
            self._state.kv_put(key, str(total).encode(), ttl_seconds)
            return total, _EFFECT

        return self._kv(key, b"", ("increment", key, by, ttl_seconds), live)

    def kv_remove(self, key: str) -> None:
        def live() -> tuple[None, bool | None]:
            kept = self._state.kv_live(key)
            self._state.kv.pop(key, None)
            return None, _READ if kept is None else _EFFECT

        self._kv(key, b"", ("remove", key), live)

    def history_earlier(self, same: list[str], within_seconds: int) -> Past:
        if not self._state.take("history", _checks.HISTORY_CALLS_MAX):
            raise history_error(ErrorKind.BUDGET_EXHAUSTED, _used_up("history_calls", _checks.HISTORY_CALLS_MAX))

        def live() -> tuple[Past | HistoryError, bool | None]:
            wrong = _checks.earlier(same, within_seconds)
            return (history_error(ErrorKind.INVALID, wrong) if wrong else self._state.past), _READ

        answer = self._call(_name("history", None, (tuple(same), within_seconds)), live)
        if isinstance(answer, HistoryError):
            raise answer
        return answer

    def _timer(self, key: str, name: object, change: Callable[[], bool | None]) -> None:
        if not self._state.take("timer", _checks.TIMER_CALLS_MAX):
            raise timer_error(ErrorKind.BUDGET_EXHAUSTED, _used_up("timer_calls", _checks.TIMER_CALLS_MAX))
        if self._step == "enrich":
            raise timer_error(ErrorKind.DENIED, "timers are denied during `enrich`")

        def live() -> tuple[None, bool | None]:
            _refuse(_checks.timer_key(key), timer_error)
            return None, change()

        self._call(_name("timer", None, name), live)

    def timer_after(self, key: str, delay_seconds: int, facts: list[tuple[str, str]]) -> None:
        def change() -> bool | None:
            _refuse(_checks.timer(delay_seconds, facts), timer_error)
            self._state.set_timer(SetTimer(key, delay_seconds, dict(facts)))
            return _EFFECT

        self._timer(key, ("after", key, delay_seconds, tuple(facts)), change)

    def timer_cancel(self, key: str) -> None:
        self._timer(key, ("cancel", key), lambda: _EFFECT if self._state.cancel_timer(key) else _READ)

    def config_get(self, key: str) -> str | None:
        if not self._state.is_declared(key):
            name = re.sub(r"\W", "_", key).upper()
            raise _check.mistake(
                f"the setting `{key}` is read, but `describe` does not declare it, so `check` would report it as unknown: "
                f'write `{name} = Setting.string("{key}", "what it sets")`, and add it to `settings=[{name}]` of the Description'
            )
        return self._call(_name("config", None, key), lambda: (self._state.config.get(key), _READ))

    def log_write(self, level: Level, message: str, fields: list[tuple[str, str]]) -> None:
        # A line beyond the limit is dropped, as on the real host.
        if self._state.take("log", _checks.LOG_LINES_MAX):
            self._state.logs.append(LogLine(level, message, dict(fields)))

    def now(self) -> datetime:
        return self._state.clock(self._step)


def _name(kind: str, key: str | None, request: Any) -> object:
    """Returns the name of a call: the author's key, or the whole request except its timeout."""
    return (kind, "key", key) if key is not None else (kind, "request", request)


def _refuse(wrong: str | None, error: Callable[[ErrorKind, str], CallError] = slack_error) -> None:
    if wrong is not None:
        raise error(ErrorKind.INVALID, wrong)


def _used_up(limit: str, most: int) -> str:
    return f"{limit}: all {most} calls of this step are used up"
