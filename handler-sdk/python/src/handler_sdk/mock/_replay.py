"""The calls of one step, recorded as by the real host: a retry is answered from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass
class _Entry:
    name: object
    is_effect: bool
    answer: Any
    clock: datetime


@dataclass
class Replay:
    """The record of one step, and how much of it the current attempt has used."""

    #: The calls up to the last effect.
    record: list[_Entry] = field(default_factory=list)
    #: Which entries the current attempt has asked for.
    asked: list[bool] = field(default_factory=list)
    #: Reads since the last effect; they are recorded together with the next one.
    held: list[_Entry] = field(default_factory=list)

    def begin(self) -> None:
        """Begins another attempt with the same record."""
        self.asked = [False] * len(self.record)
        self.held = []

    def clock(self) -> datetime | None:
        """Returns the clock of the first effect that was not asked for yet."""
        left = (entry.clock for entry, asked in zip(self.record, self.asked) if entry.is_effect and not asked)
        return next(left, None)

    def latest(self) -> datetime | None:
        """Returns the latest recorded time."""
        return self.record[-1].clock if self.record else None

    def answer(self, name: object) -> tuple[Any] | None:
        """Returns the recorded answer; `None` if the call has to be made."""
        if self.clock() is None:
            return None
        for at, entry in enumerate(self.record):
            if not self.asked[at] and entry.name == name:
                self.asked[at] = True
                return (entry.answer,)
        return None

    def keep(self, name: object, is_effect: bool, answer: Any, clock: datetime) -> None:
        """Records the answer to a call that was made. Reads are recorded with the next effect."""
        self.held.append(_Entry(name, is_effect, answer, clock))
        if is_effect:
            self.asked += [True] * len(self.held)
            self.record += self.held
            self.held = []
