"""What is known of an alert besides the alert itself: facts for programs, blocks for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from handler_sdk.alert import Alert
from handler_sdk.storm import DIFFERS, Storm

#: What a handler found out or did: names with values, both text. `act` returns it: `{"slack.channel": "alerts"}`.
Facts: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class Markdown:
    """Markdown: paragraphs, emphasis, code, links and lists."""

    text: str


@dataclass(frozen=True)
class Fields:
    """Names with values, shown in this order."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under a header, each with as many cells as the header."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Excerpt:
    """Preformatted text in a monospaced font: the end of a log, a manifest."""

    title: str
    text: str


@dataclass(frozen=True)
class Link:
    """A link; the URL is `https` or `http`."""

    title: str
    url: str


@dataclass(frozen=True)
class Image:
    """A picture; `media_type` is `image/png`, `image/jpeg` or `image/gif`."""

    title: str
    media_type: str
    data: bytes


@dataclass(frozen=True)
class Custom:
    """A kind of block that this version does not define. `fallback` is Markdown, `data` is JSON."""

    kind: str
    fallback: str
    data: str


#: Something for people to read.
Block: TypeAlias = Markdown | Fields | Table | Excerpt | Link | Image | Custom


@dataclass(frozen=True)
class Enrichment:
    """Facts for programs, and blocks for people in reading order.

    `enrich` returns what it adds; `enrich` and `act` are given what was found so far.
    """

    facts: Facts = field(default_factory=dict)
    blocks: Sequence[Block] = ()

    def fact(self, name: str) -> str | None:
        """Returns the fact of this name; `None` if there is none."""
        return self.facts.get(name)

    @property
    def failures(self) -> dict[str, str]:
        """The handlers that could not enrich, with the reasons."""
        prefix = "enrich_failed."
        return {name[len(prefix) :]: why for name, why in self.facts.items() if name.startswith(prefix)}

    @property
    def storm(self) -> Storm | None:
        """The storm that the alert represents; `None` if the alert represents only itself."""
        return Storm.of_facts(self.facts, (block for block in self.blocks if isinstance(block, Table)))

    def incident_key(self, alert: Alert) -> str:
        """Returns the key of the incident that a message is about, for use with `cx.kv`: that of the storm if the alert
        represents one, else `Alert.incident_key`. What fires and what resolves have it in common."""
        storm = self.storm
        return f"storm/{storm.id}" if storm else alert.incident_key

    def blocks_of_handlers(self) -> Iterator[Block]:
        """Iterates over the blocks without the storm's own table, which a message about the storm shows in another
        form."""
        is_storm = "storm.id" in self.facts
        for block in self.blocks:
            if not (is_storm and isinstance(block, Table) and block.title == DIFFERS):
                yield block

    def plus(self, added: Enrichment) -> Enrichment:
        """Returns both together; of a fact that both have, the added one counts."""
        return Enrichment({**self.facts, **added.facts}, [*self.blocks, *added.blocks])


def table(title: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """Returns a table. Rows shorter than the header are padded, longer ones are cut."""
    columns = list(header)
    cells = [(list(row) + [""] * len(columns))[: len(columns)] for row in rows]
    return Table(title, columns, cells)
