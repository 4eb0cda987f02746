"""Storms: many alerts of one kind that one message represents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from handler_sdk.durations import parse_rfc3339

#: The title of the table in which the host lists the labels that differ.
DIFFERS = "What differs"
#: What precedes the number of a label's values if there may be more.
AT_LEAST = "at least "


class _Table(Protocol):
    @property
    def title(self) -> str: ...
    @property
    def header(self) -> Sequence[str]: ...
    @property
    def rows(self) -> Sequence[Sequence[str]]: ...


@dataclass(frozen=True)
class Storm:
    """A storm: many alerts of one kind, of which the handler runs for one, the representative.

    The host describes a storm by facts. They do not change while the delivery is retried. Alerts that arrive later are
    given to the handler as another delivery of the same storm, with a larger `count`; so are alerts that resolve, with a
    larger `resolved`.
    """

    id: str
    """Identifies the storm: all its deliveries have it in common."""
    count: int
    """How many alerts the storm has had so far."""
    resolved: int
    """How many of them have resolved so far."""
    first: str
    """The id of the first delivery that represented the storm."""
    since: datetime | None
    """When the first of its alerts began."""
    shared: Mapping[str, str]
    """The labels that all alerts have in common."""
    names: Sequence[str]
    """The names of some of the alerts, the most urgent first, and among equals those that fire longest."""
    differs: Sequence[Sequence[str]]
    """The labels that differ: the name of each, the number of its values, and the most frequent ones."""

    @classmethod
    def of_facts(cls, facts: Mapping[str, str], tables: Iterable[_Table]) -> Storm | None:
        """Returns the storm that the host's facts describe; `None` if they describe none."""
        if "storm.id" not in facts:
            return None
        shared = (line.partition("=") for line in facts.get("storm.shared", "").splitlines() if "=" in line)
        names = facts.get("storm.names", "").splitlines()
        own = (table for table in tables if table.title == DIFFERS and table.header)
        try:
            since = parse_rfc3339(facts.get("storm.since", ""))[0]
        except ValueError:
            since = None
        return cls(
            id=facts["storm.id"],
            count=max(1, _number(facts, "storm.count", 1)),
            resolved=_number(facts, "storm.resolved", 0),
            first=facts.get("storm.first", ""),
            since=since,
            shared={name: value for name, _, value in shared},
            names=[name for name in names if name.strip()],
            differs=next((table.rows for table in own), ()),
        )

    @property
    def firing(self) -> int:
        """How many alerts of the storm still fire."""
        return max(0, self.count - self.resolved)

    @property
    def is_over(self) -> bool:
        """Whether all its alerts have resolved."""
        return self.firing == 0

    def values_of(self, label: str) -> int | None:
        """Returns how many values a label has among the alerts, if it differs; at least so many, if the storm had several
        deliveries."""
        row = next((row for row in self.differs if len(row) > 1 and row[0] == label), None)
        number = row[1].strip().removeprefix(AT_LEAST) if row else ""
        return int(number) if number.isascii() and number.isdigit() else None


def _number(facts: Mapping[str, str], name: str, default: int) -> int:
    text = facts.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else default


def all_resolved(count: int) -> str:
    """Returns that all of so many alerts have resolved, in words."""
    return "it has resolved" if count == 1 else f"all {count} have resolved"
