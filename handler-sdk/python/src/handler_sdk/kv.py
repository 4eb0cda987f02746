"""The handler's key-value store, kept between alerts."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from handler_sdk import _check
from handler_sdk.failure import Permanent

if TYPE_CHECKING:
    from handler_sdk._imports import Imports

#: A time to live: a `timedelta`, or seconds.
Ttl: TypeAlias = timedelta | float


class Kv:
    """This handler's keys and values. Other handlers have no access to them.

    Each method raises `KvError` if the store fails, a limit of the step is used up, or the key or value is too large. A
    `ttl` is rounded up to whole seconds; without one the value never expires.

        seen = cx.kv.increment(alert.fingerprint, ttl=DAY)
    """

    def __init__(self, imports: Imports) -> None:
        self._imports = imports

    def get(self, key: str) -> bytes | None:
        """Returns the value; `None` if it was never set, was removed or has expired."""
        return self._imports.kv_get(_key(key))

    def get_text(self, key: str) -> str | None:
        """Returns the value as text; bytes that are not UTF-8 are replaced by U+FFFD."""
        value = self.get(key)
        return None if value is None else value.decode(errors="replace")

    def get_json(self, key: str) -> Any:
        """Returns the value that `set_json` wrote; `None` if there is none.

        Raises `Permanent` if the value is no JSON.
        """
        value = self.get(key)
        if value is None:
            return None
        try:
            return json.loads(value)
        except ValueError as error:
            raise Permanent(f"the kept value `{key}` can't be read: {error}") from error

    def set(self, key: str, value: str | bytes, ttl: Ttl | None = None) -> None:
        """Sets the value: text (kept as UTF-8) or bytes."""
        data = _check.text_or_data(value, "the value of `cx.kv.set`")
        self._imports.kv_set(_key(key), data, _ttl(ttl))

    def set_json(self, key: str, value: Any, ttl: Ttl | None = None) -> None:
        """Sets the value as JSON."""
        self._imports.kv_set(_key(key), _json(value), _ttl(ttl))

    def set_if_absent(self, key: str, value: str | bytes, ttl: Ttl | None = None) -> bool:
        """Sets the value if the key is absent; returns whether it did."""
        data = _check.text_or_data(value, "the value of `cx.kv.set_if_absent`")
        return self._imports.kv_set_if_absent(_key(key), data, _ttl(ttl))

    def increment(self, key: str, by: int = 1, ttl: Ttl | None = None) -> int:
        """Adds to a number and returns the sum; an absent key counts as 0. `by` has 32 bits; the sum stays within 64."""
        number = _check.integer(by, "`by` of `cx.kv.increment`", -(2**31), 2**31 - 1)
        return self._imports.kv_increment(_key(key), number, _ttl(ttl))

    def remove(self, key: str) -> None:
        """Removes the value. Removing an absent key is not an error."""
        self._imports.kv_remove(_key(key))


def _key(key: object) -> str:
    return _check.text(key, "the key of `cx.kv`")


def _ttl(ttl: object) -> int | None:
    return _check.time_to_live(ttl, "`ttl` of `cx.kv`")


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise _check.mistake(f"the value of `cx.kv.set_json` can't be written as JSON: {error}") from None
