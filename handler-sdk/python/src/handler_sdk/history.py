"""What the server has of earlier alerts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from handler_sdk import _check

if TYPE_CHECKING:
    from handler_sdk._imports import Imports


@dataclass(frozen=True)
class Occurrence:
    """One time that the alert fired."""

    delivery_id: str
    """Its delivery; it may be past its retention."""
    starts_at: datetime
    """When it began to fire."""
    ends_at: datetime | None
    """When it ended; `None` while it fires."""
    state: str
    """`queued`, `running`, `retrying`, `done` or `dead`."""


@dataclass(frozen=True)
class Past:
    """What is known of earlier occurrences."""

    count: int
    """How many there are in that time, this one not counted."""
    occurrences: list[Occurrence]
    """Newest first, at most 50."""


class History:
    """What the server has of earlier alerts. It needs no grant.

        past = cx.history.earlier(["namespace"], within=7 * DAY)
    """

    def __init__(self, imports: Imports) -> None:
        self._imports = imports

    def earlier(self, same: Iterable[str], within: timedelta | float) -> Past:
        """Returns earlier occurrences of alerts with this alert's name and the same values of the labels named in `same`,
        on routes that this handler serves. `within` is a `timedelta`, or seconds; rounded up.

        Raises `HistoryError`: `INVALID` for too many labels or too long a time, `UNAVAILABLE`, `BUDGET_EXHAUSTED`.
        """
        labels = _check.texts(same, "`same` of `cx.history.earlier`")
        length = _check.duration(within, "`within` of `cx.history.earlier`")
        return self._imports.history_earlier(labels, _check.whole_seconds(length))
