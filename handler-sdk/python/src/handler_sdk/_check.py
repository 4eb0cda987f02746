"""Checks values before they cross the boundary to the host. What is wrong is a `Mistake` that names the author's line."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from handler_sdk import _author

if TYPE_CHECKING:
    from handler_sdk.failure import Mistake

U32_MAX = 2**32 - 1
#: Where a mistake is: a text, a function that finds it once there is one, or `None` for the author's running line.
Place: TypeAlias = str | Callable[[], str] | None


def mistake(message: str, place: Place = None) -> Mistake:
    """Returns the exception for a mistake at the author's running line, or at another place."""
    from handler_sdk.failure import Mistake

    if place is None:
        place = _author.line()
    return Mistake(_author.at(place() if callable(place) else place, message))


def kind(value: object) -> str:
    """Returns what a value is, for messages: `None`, `int`, `a coroutine`."""
    if value is None:
        return "None"
    if inspect.iscoroutine(value):
        return "a coroutine"
    return type(value).__name__


def _remedy(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return ": write value.decode()"
    if isinstance(value, bool | int | float):
        return ": write str(value)"
    if inspect.iscoroutine(value):
        return ": a handler has no event loop, write `def` instead of `async def`"
    return ""


def text(value: object, what: str, place: Place = None) -> str:
    """Returns a text that can be written as UTF-8."""
    if type(value) is str or isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                at = error.start
                problem = f"has the lone surrogate {value[at]!r} at position {at}, which UTF-8 cannot hold"
                raise mistake(f"{what} {problem}", place) from None
        return str(value)
    raise mistake(f"{what} is {kind(value)}, not str{_remedy(value)}", place)


def optional_text(value: object, what: str) -> str | None:
    """Returns a text, or `None`."""
    return None if value is None else text(value, what)


def facts(value: object, whose: str, place: Place = None) -> dict[str, str]:
    """Returns facts: names with texts."""
    if not isinstance(value, Mapping):
        raise mistake(f"the facts of {whose} are {kind(value)}, not a dict of str to str", place)
    checked = {}
    for name, entry in value.items():
        name = text(name, f"the name of a fact of {whose}", place)
        checked[name] = text(entry, f"the fact `{name}` of {whose}", place)
    return checked


def texts(value: object, what: str, place: Place = None) -> list[str]:
    """Returns a list of texts. A single text is not taken for the list of its letters."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        remedy = f': write ["{value[:40]}"]' if isinstance(value, str) else ""
        raise mistake(f"{what} is {kind(value)}, not a list of str{remedy}", place)
    return [text(entry, f"{what}[{index}]", place) for index, entry in enumerate(value)]


def data(value: object, what: str, place: Place = None) -> bytes:
    """Returns bytes."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    remedy = ": write value.encode()" if isinstance(value, str) else ""
    raise mistake(f"{what} is {kind(value)}, not bytes{remedy}", place)


def text_or_data(value: object, what: str) -> bytes:
    """Returns the bytes of a text (as UTF-8), or bytes as they are."""
    if isinstance(value, str):
        return text(value, what).encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise mistake(f"{what} is {kind(value)}, neither str nor bytes{_remedy(value)}")


def integer(value: object, what: str, least: int, most: int) -> int:
    """Returns a whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise mistake(f"{what} is {kind(value)}, not int")
    if not least <= value <= most:
        raise mistake(f"{what} is {value}: at least {least}, at most {most}")
    return value


def duration(value: object, what: str) -> timedelta:
    """Returns a duration that is not negative, from a `timedelta` or a number of seconds."""
    if isinstance(value, timedelta):
        length = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise mistake(f"{what} is {value}: a duration is a timedelta or a finite number of seconds")
        try:
            length = timedelta(seconds=value)
        except OverflowError:
            raise mistake(f"{what} is {value} s, which is longer than any timedelta") from None
    else:
        raise mistake(f"{what} is {kind(value)}, neither timedelta nor a number of seconds")
    if length < timedelta(0):
        raise mistake(f"{what} is {length.total_seconds():g} s: a duration cannot be negative")
    return length


def milliseconds(length: timedelta) -> int:
    """Returns whole milliseconds, rounded up, at most what the contract holds."""
    return min(-(-length // timedelta(milliseconds=1)), U32_MAX)


def whole_seconds(length: timedelta) -> int:
    """Returns whole seconds, rounded up, at most what the contract holds."""
    return min(-(-length // timedelta(seconds=1)), U32_MAX)


def time_to_live(value: object, what: str) -> int | None:
    """Returns whole seconds, rounded up and at least 1; `None` means for ever."""
    if value is None:
        return None
    if isinstance(value, timedelta | int | float) and not isinstance(value, bool):
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        if seconds < 0:
            raise mistake(f"{what} is {seconds:g} s: a time to live cannot be negative; None means for ever")
    return max(1, whole_seconds(duration(value, what)))
