"""The modules that componentize-py generates for a component, as far as the guest's half of the SDK uses them."""

from __future__ import annotations

import enum
import sys
from dataclasses import make_dataclass
from types import ModuleType
from typing import Any

TYPES = {
    "Timestamp": ["seconds", "nanoseconds"],
    "Origin": ["sender", "receiver", "group_key", "group_labels", "external_url", "extra"],
    "Alert": [
        "fingerprint", "name", "status", "labels", "annotations", "starts_at", "ends_at", "generator_url", "received_at",
        "origin",
    ],
    "Call": ["delivery_id", "attempt", "time_left_ms", "dry_run"],
    "Enrichment": ["facts", "blocks"],
    "Retry": ["message", "after_ms"],
    "Table": ["title", "header", "rows"],
    "Excerpt": ["title", "text"],
    "Link": ["title", "url"],
    "Image": ["title", "media_type", "data"],
    "Custom": ["kind", "fallback", "data"],
    **{f"Block_{kind}": ["value"] for kind in ("Markdown", "Fields", "Table", "Excerpt", "Link", "Image", "Custom")},
    **{f"Failure_{kind}": ["value"] for kind in ("Retryable", "Unavailable", "Permanent")},
}  # fmt: skip


class Err(Exception):
    """The failure case of a result."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


def module(name: str, classes: dict[str, list[str]], **members: Any) -> Any:
    """Returns a module with these classes, and registers it."""
    made: Any = ModuleType(name)
    for class_name, fields in classes.items():
        setattr(made, class_name, make_dataclass(class_name, fields))
    for member, value in members.items():
        setattr(made, member, value)
    sys.modules[name] = made
    return made


def install() -> Any:
    """Registers the modules, and returns the one with the types."""
    module("wit_world", {})
    module("wit_world.imports", {})
    module("wit_world.exports", {})
    module("wit_world.exports.hooks", {"Description": ["name", "version", "summary", "alerts", "more"]})
    module("componentize_py_types", {}, Err=Err)
    status = enum.Enum("Status", ["FIRING", "RESOLVED"])  # type: ignore[misc]
    return module("wit_world.imports.types", TYPES, Status=status)


def error(kind: str, *value: Any) -> Err:
    """Returns the error of a call, as a generated function raises it."""
    return Err(make_dataclass(f"Error_{kind}", ["value"] if value else [])(*value))
