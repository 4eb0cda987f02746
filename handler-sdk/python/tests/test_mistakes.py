"""The mistakes that authors make, each with the message that it gets: at the build, or else when an alert is handled."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from handler_sdk import Alert, Failure, Mistake, _run
from handler_sdk.check_needs import check_project
from handler_sdk.mock import Host, assert_snapshot

MISTAKES = Path(__file__).parent / "mistakes"
PROJECT = '[project]\nname = "disk-full"\nversion = "0.1.0"\n\n[tool.alert-manager]\nneeds = ["slack", "kv"]\n'


@pytest.mark.parametrize("source", sorted(MISTAKES.glob("*.py")), ids=lambda source: str(source.stem))
def test_a_mistake_names_the_line_and_the_remedy(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    shutil.copy(source, tmp_path / "handler.py")
    message = message_of(tmp_path)
    assert message.startswith("handler.py"), message
    assert_snapshot(source.with_suffix(".txt"), f"{message}\n")


def message_of(project: Path) -> str:
    """Goes the way of a build and of an alert, and returns the message at which it ends."""
    try:
        findings = check_project(project)
    except SyntaxError as error:
        return f"{error.filename}:{error.lineno}: {error.msg}"
    if findings:
        return "\n".join(str(finding) for finding in findings)
    try:
        handler = _run.find(loaded(project / "handler.py"))
        _run.describe(handler)
        run = Host().run(handler, Alert.new("DiskFull"))
    except Mistake as mistake:
        return str(mistake)
    assert not isinstance(run.result, Failure), run.result
    pytest.fail(f"the mistake was not found: {run}")


def loaded(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("handler", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["handler"] = module
    spec.loader.exec_module(module)
    return module
