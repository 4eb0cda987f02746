"""Reads `pyproject.toml` of a handler's project."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The interfaces that a project declares in `needs`, in the order in which the line is written.
NEEDS = ("http", "slack", "kv", "history", "timer")


class ProjectError(Exception):
    """A `pyproject.toml` that cannot be read."""


@dataclass(frozen=True)
class Project:
    """What a project says of its handler."""

    folder: Path
    needs: tuple[str, ...]
    """The interfaces that its component imports, besides settings and the log."""
    module: str
    """The module that has the handler."""


def read(folder: Path) -> Project | None:
    """Returns the handler's project in a folder; `None` if it has no table `[tool.alert-manager]`.

    Raises `ProjectError` with the file's name if the file cannot be read.
    """
    file = folder / "pyproject.toml"
    try:
        text = file.read_text(encoding="utf-8")
        table = _toml().loads(text).get("tool", {}).get("alert-manager")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ProjectError(f"{file}: {error}") from None
    if not isinstance(table, dict):
        return None
    needs = table.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(name, str) for name in needs):
        raise ProjectError(f'{file}: needs: write a list such as needs = ["slack"]')
    unknown = [name for name in needs if name not in NEEDS]
    if unknown:
        known = ", ".join(NEEDS)
        raise ProjectError(f"{file}: needs: there is no interface `{unknown[0]}`; those that there are: {known}")
    return Project(folder, tuple(needs), str(table.get("module", "handler")))


def above(file: Path) -> Project | None:
    """Returns the project that a source file belongs to: that of the nearest folder above it."""
    for folder in file.resolve().parents:
        if (folder / "pyproject.toml").is_file():
            return read(folder)
    return None


def line_to_add(needs: Iterable[str], *interfaces: str) -> str:
    """Returns the line of `pyproject.toml` that declares further interfaces."""
    declared = {*needs, *interfaces}
    listed = ", ".join(f'"{name}"' for name in NEEDS if name in declared)
    return f"write `needs = [{listed}]` below [tool.alert-manager] in pyproject.toml"


def _toml() -> Any:
    try:
        return importlib.import_module("tomllib")
    except ModuleNotFoundError:
        # Python 3.10 has no reader of its own; pip has one.
        return importlib.import_module("pip._vendor.tomli")
