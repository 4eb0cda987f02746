"""Snapshots of messages as people see them, kept in files."""

from __future__ import annotations

import os
from pathlib import Path


def assert_snapshot(path: str | Path, shown: str) -> None:
    """Compares text with a file. If the variable `UPDATE_SNAPSHOTS` is set, writes the file instead.

        assert_snapshot(Path(__file__).parent / "snapshots" / "firing.txt", host.transcript())

    Raises `AssertionError` if they differ.
    """
    file = Path(path)
    if "UPDATE_SNAPSHOTS" in os.environ:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(shown, encoding="utf-8")
        return
    kept = file.read_text(encoding="utf-8") if file.exists() else ""
    advice = "if the new text is right, run with UPDATE_SNAPSHOTS=1"
    assert kept == shown, f"{file} differs; {advice}\n--- kept\n{kept}\n--- shown\n{shown}"
