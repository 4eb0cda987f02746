"""A storm, as the host describes it to the handler that runs for one of its alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from handler_sdk.alert import Alert
from handler_sdk.durations import moment, rfc3339
from handler_sdk.enrichment import Enrichment, table
from handler_sdk.storm import DIFFERS

_NAMES_MAX = 10
_ROWS_MAX = 8
_FREQUENT_MAX = 3


class Storm:
    """A storm of alerts, none of which has resolved; it began with the first of them.

        found = Storm(alerts).resolved(212).found()
    """

    def __init__(self, alerts: Sequence[Alert]) -> None:
        self._id = "d-1"
        self._count = len(alerts)
        self._resolved = 0
        self._since = min((alert.starts_at for alert in alerts), default=moment(0))
        self._labels = [dict(alert.labels) for alert in alerts]

    def id(self, id: str) -> Storm:
        """Sets the storm's id, which is that of the first delivery that represented it; by default `d-1`."""
        self._id = id
        return self

    def count(self, count: int) -> Storm:
        """Sets how many alerts the whole storm has had so far, if this delivery represents only some of them."""
        self._count = count
        return self

    def resolved(self, resolved: int) -> Storm:
        """Sets how many of them have resolved so far."""
        self._resolved = resolved
        return self

    def since(self, since: datetime) -> Storm:
        """Sets when the storm began."""
        self._since = since
        return self

    def found(self) -> Enrichment:
        """Returns the facts and the table that the host gives."""
        values: dict[str, Counter[str]] = {}
        for labels in self._labels:
            for name, value in labels.items():
                values.setdefault(name, Counter())[value] += 1
        shared = {name for name, counts in values.items() if list(counts.values()) == [len(self._labels)]}
        first = self._labels[0] if self._labels else {}
        differing = sorted((len(counts), name) for name, counts in values.items() if name not in shared)
        rows = [[name, str(count), _most_frequent(values[name])] for count, name in differing[:_ROWS_MAX]]
        facts = {
            "storm.id": self._id,
            "storm.first": self._id,
            "storm.count": str(self._count),
            "storm.resolved": str(self._resolved),
            "storm.since": rfc3339(self._since),
            "storm.shared": "\n".join(f"{name}={value}" for name, value in first.items() if name in shared),
            "storm.names": "\n".join(_name_of(labels, shared) for labels in self._labels[:_NAMES_MAX]),
        }
        blocks = [table(DIFFERS, ["label", "values", "most frequent"], rows)] if rows else []
        return Enrichment(facts, blocks)


def _most_frequent(counts: Counter[str]) -> str:
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{value} ({count})" for value, count in by_count[:_FREQUENT_MAX])


def _name_of(labels: dict[str, str], shared: set[str]) -> str:
    """Returns the name of an alert among others: its pod or node, or else the labels that differ; after its alertname, if
    that differs."""
    known = next((labels[name] for name in ("pod", "deployment", "node", "instance") if name in labels), None)
    if known is None:
        own = [f"{name}={value}" for name, value in labels.items() if name != "alertname" and name not in shared]
        known = ", ".join(own[:_FREQUENT_MAX])
    elif "namespace" in labels:
        known = f"{labels['namespace']}/{known}"
    if "alertname" in labels and "alertname" not in shared:
        return f"{labels['alertname']} {known}".strip()
    return known
