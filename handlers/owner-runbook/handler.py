"""Adds the owner, the channel and the runbook of an alert, by a table in its settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handler_sdk import Alert, Context, Description, Enrichment, Handler, Link, Permanent, Setting
from handler_sdk.http import encode

_ABOUT_OWNERS = "rows of `match`, `owner`, `channel` and `runbook`; of each, the first row that matches counts"
OWNERS = Setting.list("owners", _ABOUT_OWNERS).default([])
OWNER_LABELS = Setting.list("owner_labels", "labels that name the owner if no row does").default(["owner", "team"])

_COLUMNS = ("owner", "channel", "runbook")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    match: Mapping[str, str]
    """The values of labels that it is for; `*` stands for any text."""
    values: Mapping[str, str]
    """What it says: some of the columns."""

    def matches(self, alert: Alert) -> bool:
        """Returns whether all its labels match; a label that the alert lacks counts as empty."""
        return all(_fits(pattern, alert.labels.get(name, "")) for name, pattern in self.match.items())


class OwnerRunbook(Handler):
    """The enricher."""

    def describe(self) -> Description:
        return Description(
            "owner-runbook",
            "0.1.0",
            "Adds the owner, the channel and the runbook of an alert by a table in its settings.",
            alerts=["*"],
            settings=[OWNERS, OWNER_LABELS],
        )

    def enrich(self, cx: Context, alert: Alert, so_far: Enrichment) -> Enrichment:
        rows = [_row(row, index) for index, row in enumerate(cx.setting(OWNERS))]
        found = {column: _first(rows, column, alert) for column in _COLUMNS}
        owner = found["owner"] or _by_label(cx, alert)
        facts = {"owner": owner, "channel": found["channel"], "runbook_url": found["runbook"]}
        blocks = []
        # The alert's own runbook is in the message already.
        if found["runbook"] and found["runbook"] != alert.runbook_url:
            title = f"Runbook of {owner}" if owner else "Runbook of the owner"
            blocks.append(Link(title, found["runbook"]))
        return Enrichment({name: value for name, value in facts.items() if value}, blocks)


def _first(rows: list[Row], column: str, alert: Alert) -> str | None:
    """Returns what the first row that matches says in a column, with the labels that it names filled in."""
    for row in rows:
        if column in row.values and row.matches(alert):
            return _filled(row.values[column], alert, is_url=column == "runbook")
    return None


def _filled(text: str, alert: Alert, *, is_url: bool) -> str | None:
    """Replaces `{label}` by the label's value; returns `None` if the alert lacks one of the labels."""
    names = _PLACEHOLDER.findall(text)
    if not all(alert.label(name) for name in names):
        return None

    def value(found: re.Match[str]) -> str:
        label = alert.label(found[1]) or ""
        return encode(label) if is_url else label

    return _PLACEHOLDER.sub(value, text)


def _by_label(cx: Context, alert: Alert) -> str | None:
    labels = (alert.label(str(name)) for name in cx.setting(OWNER_LABELS))
    return next((label for label in labels if label), None)


def _row(given: Any, index: int) -> Row:
    """Reads a row of the setting."""
    where = f"the setting `owners`, row {index + 1}"
    if not isinstance(given, dict):
        raise Permanent(f"{where}: write a mapping with `match`, and `owner`, `channel` or `runbook`")
    unknown = [name for name in given if name not in ("match", *_COLUMNS)]
    if unknown:
        raise Permanent(f"{where}: `{unknown[0]}` is unknown; known are match, {', '.join(_COLUMNS)}")
    match = given.get("match", {})
    if not isinstance(match, dict):
        raise Permanent(f"{where}: `match` is no mapping of labels to values: write `match: {{ namespace: payments-* }}`")
    values = {name: str(given[name]) for name in _COLUMNS if given.get(name) is not None}
    if not values:
        raise Permanent(f"{where}: it says nothing: add `owner`, `channel` or `runbook`")
    runbook = values.get("runbook", "https://")
    if not runbook.startswith(("https://", "http://")):
        raise Permanent(f"{where}: `runbook` is `{runbook}`: write a URL that begins with https:// or http://")
    return Row({name: str(value) for name, value in match.items()}, values)


def _fits(pattern: str, text: str) -> bool:
    """Returns whether a text is as the pattern has it, in which `*` stands for any text."""
    first, *between = pattern.split("*")
    if not between:
        return text == pattern
    last = between.pop()
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in between:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
