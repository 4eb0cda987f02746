"""The guide's project passes its own test, its other code runs against the mock host, and its messages are those that authors
get."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import handler_sdk
from handler_sdk import Alert, Enrichment
from handler_sdk.check_needs import check_project
from handler_sdk.mock import Host, Reply

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "handlers-python.md").read_text(encoding="utf-8")
SDK = Path(__file__).parents[1]


def test_the_guides_project_passes_its_own_test(tmp_path: Path) -> None:
    files = re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
    assert [name for name, _ in files] == ["pyproject.toml", "handler.py", "test_handler.py"]
    for name, text in files:
        (tmp_path / name).write_text(text.replace(".sdk/python/src", str(SDK / "src")), encoding="utf-8")
    assert check_project(tmp_path) == []
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tested = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    typed = subprocess.run([sys.executable, "-m", "mypy"], cwd=tmp_path, capture_output=True, text=True)
    assert typed.returncode == 0, typed.stdout + typed.stderr


def test_the_guides_other_code_runs() -> None:
    pieces = re.findall(r"(?<!-->\n)```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(pieces) == 6
    names: dict[str, object] = {}
    for module in ("handler_sdk", "handler_sdk.durations", "handler_sdk.http", "handler_sdk.incident", "datetime"):
        names.update(vars(importlib.import_module(module)))
    assert "Alert" in handler_sdk.__all__
    for piece in pieces:
        host = Host().config("region.eu-1", "Europe").http("POST", "*", Reply.json(201, {}))
        host.http("GET", "*/pods/web-0", Reply.json(200, {"status": {"phase": "Running"}}))
        alert = Alert.new("DiskFull", {"pod": "web-0"}, {"runbook_url": "https://runbooks.example.com/disk"})
        exec(piece, {**names, "cx": host.cx(), "alert": alert, "found": Enrichment()})


def test_the_guides_messages_are_those_that_authors_get() -> None:
    known = {file.read_text(encoding="utf-8").strip() for file in (SDK / "tests" / "mistakes").glob("*.txt")}
    shown = re.findall(r"\| ``(handler\.py.*?)`` \|", GUIDE)
    assert len(shown) == 11
    assert [message for message in shown if message not in known] == []
