"""The tables that the SDKs have in common: this SDK agrees with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from handler_sdk import Blocks, Severity, mask
from handler_sdk.severity import WORDS

SHARED = Path(__file__).parents[2] / "shared"


def table(name: str) -> Any:
    return json.loads((SHARED / name).read_text(encoding="utf-8"))


def test_the_names_of_severities_are_those_of_all_sdks() -> None:
    own = {severity.value: list(words) for severity, words in WORDS.items()}
    assert own == table("severity.json")
    assert Severity.of_word(" PAGE ") is Severity.CRITICAL
    assert Severity.of_word("<!channel>") is Severity.UNKNOWN


@pytest.mark.parametrize("group", table("mask.json"))
def test_the_examples_of_all_sdks_are_masked(group: str) -> None:
    for plain, expected in table("mask.json")[group]:
        assert mask.text(plain) == expected
        assert mask.text(expected) == expected, "masking twice"


def text(value: Any) -> str:
    """Returns a text; a long one is written as what it repeats, and how often."""
    return value if isinstance(value, str) else str(value["text"]) * int(value["times"])


def pairs(value: Any) -> list[tuple[str, str]]:
    return [(text(name), text(shown)) for name, shown in value]


def built(calls: list[list[Any]]) -> Blocks:
    blocks = Blocks()
    for method, *arguments in calls:
        if method in ("fields", "links", "buttons"):
            getattr(blocks, method)(pairs(arguments[0]))
        elif method == "context":
            blocks.context(*(text(value) for value in arguments[0]))
        else:
            getattr(blocks, method)(*(text(value) for value in arguments))
    return blocks


@pytest.mark.parametrize("message", table("blocks.json"), ids=lambda message: str(message["name"]))
def test_messages_are_the_same_in_all_sdks(message: dict[str, Any]) -> None:
    assert built(message["calls"]).to_json() == message["json"]
