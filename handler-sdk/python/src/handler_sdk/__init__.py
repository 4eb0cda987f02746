"""An SDK to write handlers for Alert Manager in Python.

A handler is a small WebAssembly component. `Handler.enrich` finds out what a person needs to know about an alert, and
`Handler.act` responds to it. Both reach the outside only through the context: HTTP, Slack, a key-value store, history,
timers, settings and a log, each as far as the operator has granted it.

    from handler_sdk import Alert, Context, Description, Enrichment, Facts, Handler, Setting

    CHANNEL = Setting.channel("channel", "the Slack channel").default("alerts")


    class DiskFull(Handler):
        def describe(self) -> Description:
            return Description(
                "disk-full", "0.1.0", "Says which disk fills up.",
                alerts=["NodeFilesystemSpaceFillingUp"], settings=[CHANNEL],
            )

        def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
            disk = alert.label("mountpoint") or "a disk"
            cx.slack.post(cx.setting(CHANNEL), f"{disk} fills up")
            return {"disk": disk}

`alert-manager build` compiles a project to a component; `handler_sdk.mock` has a host in memory for its tests. The guide
is `docs/handlers-python.md`.
"""

from handler_sdk.alert import Alert, Origin, Status
from handler_sdk.blocks import Blocks
from handler_sdk.context import Call, Context
from handler_sdk.enrichment import (
    Block,
    Custom,
    Enrichment,
    Excerpt,
    Facts,
    Fields,
    Image,
    Link,
    Markdown,
    Table,
    table,
)
from handler_sdk.errors import CallError, ErrorKind, HistoryError, HttpError, KvError, SlackError, TimerError
from handler_sdk.failure import Failure, Mistake, Permanent, Retryable, Unavailable
from handler_sdk.handler import Description, Handler
from handler_sdk.history import Occurrence, Past
from handler_sdk.mrkdwn import Mrkdwn
from handler_sdk.settings import Setting
from handler_sdk.severity import Severity
from handler_sdk.slack import FileRef, MessageRef
from handler_sdk.storm import Storm

__all__ = [
    "Alert", "Block", "Blocks", "Call", "CallError", "Context", "Custom", "Description", "Enrichment", "ErrorKind",
    "Excerpt", "Facts", "Failure", "Fields", "FileRef", "Handler", "HistoryError", "HttpError", "Image", "KvError", "Link",
    "Markdown", "MessageRef", "Mistake", "Mrkdwn", "Occurrence", "Origin", "Past", "Permanent", "Retryable", "Setting",
    "Severity", "SlackError", "Status", "Storm", "Table", "TimerError", "Unavailable", "table",
]  # fmt: skip
