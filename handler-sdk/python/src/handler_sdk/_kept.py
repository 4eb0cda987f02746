"""What an incident keeps between deliveries. No message is held back for the store: a call of it that fails is only logged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from handler_sdk.durations import DAY
from handler_sdk.errors import KvError

if TYPE_CHECKING:
    from handler_sdk.context import Context

T = TypeVar("T")

#: How long it is kept after the last delivery: the longest time that an update of a message is useful.
TTL = 7 * DAY


@dataclass(frozen=True)
class Place:
    """The message that the alerts of a group share."""

    at: str = ""
    key: str = ""
    """The beginning of the keys of its counters."""
    began_at: int = 0
    """When the first of its alerts began, in seconds since 1970."""
    is_critical: bool = False
    """Whether it is about critical alerts."""


@dataclass(frozen=True)
class Kept:
    """What is kept of an incident's message."""

    at: str = ""
    delivery: str = ""
    """The delivery that posted or updated it last."""
    told_at: int = 0
    """When that was, in seconds since 1970."""
    count: int = 0
    """How many alerts of a storm the message counts."""
    resolved: int = 0
    """How many of them it counts as resolved."""
    notes: dict[str, str] = field(default_factory=dict)
    """The handler's notes."""
    group: Place | None = None
    """The group's message in whose thread it is."""


def guarded(cx: Context, problem: str, call: Callable[[], T], otherwise: T) -> T:
    """Makes a call of the store. If it fails, logs `problem` and returns `otherwise`."""
    try:
        return call()
    except KvError as error:
        cx.log.warn(problem, why=error)
        return otherwise


def read_kept(cx: Context, key: str, problem: str) -> Kept | None:
    """Returns what an earlier delivery kept of a message."""

    def kept(fields: dict[str, Any]) -> Kept:
        group = fields.pop("group", None)
        return Kept(**fields, group=group and Place(**group))

    return _read(cx, key, problem, kept)


def read_place(cx: Context, key: str, problem: str) -> Place | None:
    """Returns a message that the alerts of a group share."""
    return _read(cx, key, problem, lambda fields: Place(**fields))


def write(cx: Context, key: str, value: Kept | Place, problem: str) -> None:
    """Keeps a value."""
    guarded(cx, problem, lambda: cx.kv.set_json(key, asdict(value), ttl=TTL), None)


def _read(cx: Context, key: str, problem: str, kept_of: Callable[[dict[str, Any]], T]) -> T | None:
    kept = guarded(cx, problem, lambda: cx.kv.get(key), None)
    if kept is None:
        return None
    try:
        return kept_of(json.loads(kept))
    except (AttributeError, TypeError, ValueError) as error:
        # Another version has kept it.
        cx.log.warn(problem, why=error)
        return None
