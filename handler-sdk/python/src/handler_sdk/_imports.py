"""The host's functions as the SDK calls them: the real imports in a component, the mock's in a test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from handler_sdk.history import Past
from handler_sdk.log import Level


@dataclass(frozen=True)
class HttpRequest:
    """A request, checked."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    credential: str | None
    key: str | None
    timeout_ms: int | None


@dataclass(frozen=True)
class HttpResponse:
    """A response, with the names of headers in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class SlackMessage:
    """A message, checked. `text` and `blocks` are markup and JSON."""

    channel: str
    text: str
    blocks: str | None
    thread: str | None
    key: str | None


@dataclass(frozen=True)
class SlackFile:
    """A file to show in a message, checked."""

    name: str
    title: str
    media_type: str
    data: bytes
    key: str | None


class Imports(Protocol):
    """The host's functions. Each raises the `CallError` of its interface; `http_send` raises it without the request's
    name, which `Http` adds."""

    def need(self, interface: str) -> None:
        """Raises a `Mistake` if the component was built without this interface."""

    def http_send(self, request: HttpRequest) -> HttpResponse: ...
    def slack_post(self, message: SlackMessage) -> str: ...
    def slack_update(self, at: str, message: SlackMessage) -> str: ...
    def slack_react(self, at: str, emoji: str) -> None: ...
    def slack_upload(self, file: SlackFile) -> str: ...
    def kv_get(self, key: str) -> bytes | None: ...
    def kv_set(self, key: str, value: bytes, ttl_seconds: int | None) -> None: ...
    def kv_set_if_absent(self, key: str, value: bytes, ttl_seconds: int | None) -> bool: ...
    def kv_increment(self, key: str, by: int, ttl_seconds: int | None) -> int: ...
    def kv_remove(self, key: str) -> None: ...
    def history_earlier(self, same: list[str], within_seconds: int) -> Past: ...
    def timer_after(self, key: str, delay_seconds: int, facts: list[tuple[str, str]]) -> None: ...
    def timer_cancel(self, key: str) -> None: ...
    def config_get(self, key: str) -> str | None: ...
    def log_write(self, level: Level, message: str, fields: list[tuple[str, str]]) -> None: ...
    def now(self) -> datetime: ...
