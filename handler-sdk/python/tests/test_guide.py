"""The guide's code runs against the mock host as it stands: each piece imports what it uses. (Its project is the one that `new`
makes; the tests of the server run its commands.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from handler_sdk import Alert, Enrichment
from handler_sdk.mock import Host, Reply

GUIDE = Path(__file__).parents[3] / "docs" / "handlers-python.md"
PIECES = re.findall(r"(?<!-->\n)```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_guide_has_pieces_of_code() -> None:
    assert len(PIECES) == 7


@pytest.mark.parametrize("piece", PIECES, ids=range(len(PIECES)))
def test_a_piece_of_the_guide_runs(piece: str) -> None:
    host = Host().config("region.eu-1", "Europe").http("POST", "*", Reply.json(201, {}))
    host.http("GET", "*/pods/web-0", Reply.json(200, {"status": {"phase": "Running"}}))
    host.http_get("*/owners/web-0", 200, "team-web")
    alert = Alert.new("DiskFull", {"pod": "web-0"}, {"runbook_url": "https://runbooks.example.com/disk"})
    exec(piece, {"cx": host.cx(), "alert": alert, "found": Enrichment()})
