"""The class that an author derives from, and the description of a handler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from handler_sdk.alert import Alert
from handler_sdk.context import Context
from handler_sdk.enrichment import Enrichment, Facts
from handler_sdk.settings import Setting


@dataclass(frozen=True)
class Description:
    """Who a handler is."""

    name: str
    """The name, in kebab-case; a module is known by it."""
    version: str
    """The version, by Semantic Versioning."""
    summary: str
    """One sentence."""
    alerts: Sequence[str] = ()
    """The alertnames that are routed to the handler if the configuration has no routes; `*` for any."""
    settings: Sequence[Setting[Any]] = ()
    """The settings that the operator can set. If a handler declares any, `check` reports every other key in `config` as
    unknown."""
    storm_one: bool = False
    """Whether one run of `act` may represent many alerts of a storm. The host then runs it for one of them and describes
    the others in what was found (`Enrichment.storm`). A handler that restarts a pod or opens a ticket for each alert does
    not declare it, and runs for each alert."""


class Handler:
    """An alert handler. A project has one class that derives from it.

    `describe` is required, and one of `act` and `enrich`. A step may run more than once for one alert: after a failure that
    asks for a retry, or after a crash. Host calls that changed something and succeeded are not repeated then; they return
    their recorded results. Each step runs in a fresh instance: nothing is kept in the object or in the module between two
    steps; use `cx.kv`.

    The host does not call what a class does not define: a handler without `enrich` gets one instance for an alert, not two.

        class DiskFull(Handler):
            def describe(self) -> Description:
                return Description("disk-full", "0.1.0", "Says which disk fills up.", alerts=["DiskFull"])

            def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
                disk = alert.label("mountpoint") or "a disk"
                cx.slack.post("alerts", f"{disk} fills up")
                return {"disk": disk}
    """

    def describe(self) -> Description:
        """Returns the handler's description. It must be the same on every call."""
        raise NotImplementedError

    def enrich(self, cx: Context, alert: Alert, so_far: Enrichment) -> Enrichment:
        """Finds out what a person or a later handler needs to know, and returns what it adds to `so_far`.

        It does not hold back a notification: if it fails, or takes longer than the operator allows, the pipeline continues
        with the fact `enrich_failed.NAME`, which gives the reason. Slack and timers are denied here.
        """
        return Enrichment()

    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        """Responds to a firing alert; returns facts about what it did, which the delivery's story records."""
        return {}

    def resolved(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        """Responds to an alert that has resolved; returns facts as `act` does."""
        return {}
