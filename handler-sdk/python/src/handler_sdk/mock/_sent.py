"""What a handler has sent to the mock host, for assertions in tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from handler_sdk import limits
from handler_sdk.log import Level
from handler_sdk.slack import FileRef, MessageRef


@dataclass(frozen=True)
class Request:
    """A request that a handler sent."""

    method: str
    url: str
    """The URL, with its query."""
    headers: tuple[tuple[str, str], ...]
    body: str
    """The body as text; empty if there was none."""
    credential: str | None
    key: str | None
    timeout_ms: int | None

    @property
    def line(self) -> str:
        """`GET https://…`."""
        return f"{self.method} {self.url}"

    def json(self) -> Any:
        """Returns the body, parsed as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Post:
    """A message that a handler posted."""

    at: MessageRef
    """What `post` returned."""
    channel: str
    text: str
    """The text, in mrkdwn."""
    blocks: list[Any] = field(default_factory=list)
    thread: MessageRef | None = None
    key: str | None = None

    @property
    def visible(self) -> str:
        """All that a person sees of the blocks, one piece of text per line, in mrkdwn."""
        return visible(self.blocks)


@dataclass(frozen=True)
class Update:
    """A change to a message."""

    at: MessageRef
    text: str
    """The new text, in mrkdwn."""
    blocks: list[Any] = field(default_factory=list)

    @property
    def visible(self) -> str:
        """All that a person sees of the blocks, one piece of text per line, in mrkdwn."""
        return visible(self.blocks)


@dataclass(frozen=True)
class Reaction:
    """An emoji that a handler added."""

    at: MessageRef
    emoji: str


@dataclass(frozen=True)
class Upload:
    """A file that a handler uploaded."""

    at: FileRef
    """What `upload` returned."""
    name: str
    title: str
    media_type: str
    data: bytes


@dataclass(frozen=True)
class SetTimer:
    """A timer that a handler set."""

    key: str
    delay_seconds: int
    facts: dict[str, str]


@dataclass(frozen=True)
class LogLine:
    """A line that a handler wrote to its log."""

    level: Level
    message: str
    fields: dict[str, str]


def visible(blocks: list[Any]) -> str:
    """Returns all that a person sees of blocks."""
    lines: list[str] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("type") in ("mrkdwn", "plain_text") and isinstance(value.get("text"), str):
                lines.append(value["text"])
            else:
                for inner in value.values():
                    collect(inner)
        elif isinstance(value, list):
            for inner in value:
                collect(inner)

    collect(blocks)
    return "\n".join(lines)


def checked_blocks(text: str, blocks: str | None, text_chars_max: int) -> list[Any]:
    """Returns the blocks of a message. Raises `AssertionError` if Slack would reject them: a test that continues with such
    a message proves nothing."""
    _at_most("the text", len(text), text_chars_max)
    assert text.strip(), "Slack takes no message without text"
    if blocks is None:
        return []
    listed = json.loads(blocks)
    assert isinstance(listed, list), "the blocks are no JSON array"
    _at_most("the list of blocks", len(listed), limits.BLOCKS_MAX)
    if len(listed) > 1:
        _at_most("the blocks' JSON", len(blocks.encode()), limits.BLOCKS_BYTES_MAX)
    for block in listed:
        _check_block(block)
    return listed


def _check_block(block: Any) -> None:
    kind = block.get("type")
    assert kind, f"a block needs a type: {block}"
    if kind == "header":
        _check_text("a header", block.get("text"), limits.HEADER_CHARS_MAX)
    elif kind == "section":
        fields = block.get("fields", [])
        assert block.get("text") or fields, f"a section needs text or fields: {block}"
        if block.get("text"):
            _check_text("a section", block["text"], limits.SECTION_CHARS_MAX)
        _at_most("a section's list of fields", len(fields), limits.FIELDS_MAX)
        for field_ in fields:
            _check_text("a field", field_, limits.FIELD_CHARS_MAX)
    elif kind in ("context", "actions"):
        _check_elements(kind, block.get("elements", []))


def _check_elements(kind: str, elements: list[Any]) -> None:
    assert elements, f"the block `{kind}` needs elements"
    most = limits.CONTEXT_ELEMENTS_MAX if kind == "context" else limits.ACTIONS_MAX
    _at_most(f"the list of elements of `{kind}`", len(elements), most)
    for element in elements:
        if kind == "context" and element.get("type") != "image":
            _check_text("a context's element", element, limits.CONTEXT_CHARS_MAX)
        elif element.get("type") == "button":
            _check_text("a button", element.get("text"), limits.BUTTON_CHARS_MAX)
            _at_most("a button's url", len(element.get("url", "")), limits.BUTTON_URL_CHARS_MAX)


def _check_text(what: str, text: Any, chars_max: int) -> None:
    shown = text.get("text") if isinstance(text, dict) else None
    assert isinstance(shown, str), f"{what} needs text: {text}"
    assert shown, f"{what} is empty"
    _at_most(what, len(shown), chars_max)


def _at_most(what: str, count: int, most: int) -> None:
    assert count <= most, f"Slack would refuse this message: {what} has {count}, at most {most} are allowed"
