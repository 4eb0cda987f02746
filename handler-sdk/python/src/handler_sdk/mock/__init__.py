"""A mock host in memory, for a handler's tests. It needs nothing but plain `pytest`.

    from handler_sdk import Alert
    from handler_sdk.mock import Host

    from handler import DiskFull


    def test_the_disk_is_named() -> None:
        host = Host().config("channel", "storage")
        run = host.run(DiskFull, Alert.new("NodeFilesystemSpaceFillingUp", {"mountpoint": "/var"}))
        assert run.facts == {"disk": "/var"}
        assert host.posts[0].channel == "storage"

The mock rejects what the real host rejects with its default limits: bad URLs and headers, bodies, keys and values that are
too large, more calls than a step may make, references to messages that were never posted, and interfaces that the
project's `pyproject.toml` does not declare. With `Host.attempt` a run is a retry that is answered from the record. Unlike
the real host, the mock fails the test at a message that Slack would reject for its blocks or its length. It does not apply
limits on the bytes of a whole step, of the record, or of what a handler returns.
"""

from handler_sdk.mock._alerts import alert_from_json
from handler_sdk.mock._host import Host, Run
from handler_sdk.mock._sent import LogLine, Post, Reaction, Request, SetTimer, Update, Upload
from handler_sdk.mock._reply import Reply
from handler_sdk.mock._snapshot import assert_snapshot
from handler_sdk.mock._storm import Storm

__all__ = [
    "Host", "LogLine", "Post", "Reaction", "Reply", "Request", "Run", "SetTimer", "Storm", "Update", "Upload",
    "alert_from_json", "assert_snapshot",
]  # fmt: skip
