"""Timers: `act` again later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from handler_sdk import _check

if TYPE_CHECKING:
    from handler_sdk._imports import Imports


class Timer:
    """Runs this handler's `act` again later. It needs no grant, and is denied during `enrich`.

        cx.timer.after("still-firing", 15 * MINUTE)
    """

    def __init__(self, imports: Imports) -> None:
        self._imports = imports

    def after(self, key: str, delay: timedelta | float, facts: Mapping[str, str] | None = None) -> None:
        """Runs `act` on this alert after the delay (a `timedelta`, or seconds; rounded up), with what was found, these
        facts and the fact `timer.key`. The same key replaces an open timer.

        Raises `TimerError`: `DENIED` in `enrich`, `INVALID` for a key, delay or facts over their limit, `UNAVAILABLE`,
        `BUDGET_EXHAUSTED`.
        """
        name = _check.text(key, "the key of `cx.timer.after`")
        length = _check.duration(delay, "`delay` of `cx.timer.after`")
        given = _check.facts(facts or {}, "`cx.timer.after`")
        self._imports.timer_after(name, _check.whole_seconds(length), sorted(given.items()))

    def cancel(self, key: str) -> None:
        """Removes a timer. No error if there is none.

        Raises `TimerError` as `after` does.
        """
        self._imports.timer_cancel(_check.text(key, "the key of `cx.timer.cancel`"))
