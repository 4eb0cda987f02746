"""The alert: its labels and annotations by name, and the URLs that people open from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from enum import Enum

from handler_sdk.durations import seconds_of
from handler_sdk.severity import Severity

#: The field in which the host passes the number of the occurrence, from the second on.
_OCCURRENCE = "alert_manager.occurrence"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Status(Enum):
    """Whether an alert fires or has resolved."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Origin:
    """Where an alert came from."""

    sender: str = "alertmanager"
    """`alertmanager`, `grafana`, `prometheus` or `json`."""
    receiver: str | None = None
    """Alertmanager's receiver."""
    group_key: str | None = None
    """The key of Alertmanager's group."""
    group_labels: Mapping[str, str] = field(default_factory=dict)
    """The labels that the alerts of the group have in common."""
    external_url: str | None = None
    """The base of the sender's own pages."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """The sender's other fields by their JSON names, for example Grafana's `valueString`."""


@dataclass(frozen=True)
class Alert:
    """One alert. Times are in UTC."""

    name: str
    """The label `alertname`; empty if there is none."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    status: Status = Status.FIRING
    starts_at: datetime = _EPOCH
    """When it began to fire, cut to microseconds."""
    ends_at: datetime | None = None
    """When it ended; `None` while it fires."""
    received_at: datetime = _EPOCH
    """When the server received it."""
    fingerprint: str = ""
    """Alertmanager's fingerprint of the labels, 16 hexadecimal digits."""
    generator_url: str | None = None
    """The page of the alert's expression in Prometheus."""
    origin: Origin = field(default_factory=Origin)
    starts_at_nanoseconds: int = 0
    """The nanoseconds of the second in which it began; `starts_at` has only microseconds."""

    @classmethod
    def new(
        cls,
        name: str,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        *,
        starts_at: datetime = _EPOCH,
        received_at: datetime | None = None,
        generator_url: str | None = None,
        origin: Origin | None = None,
    ) -> Alert:
        """Returns a firing alert with the label `alertname`; meant for tests. It began at 1970-01-01T00:00:00Z, and was
        received when it began, unless other times are given."""
        named = dict(labels or {})
        if name:
            named.setdefault("alertname", name)
        named = dict(sorted(named.items()))
        return cls(
            name=named.get("alertname", ""),
            labels=named,
            annotations=dict(sorted((annotations or {}).items())),
            starts_at=starts_at,
            received_at=received_at or starts_at,
            fingerprint=_fingerprint(named),
            generator_url=generator_url,
            origin=origin or Origin(),
            starts_at_nanoseconds=starts_at.microsecond * 1_000,
        )

    def resolve(self, ends_at: datetime, *, received_at: datetime | None = None) -> Alert:
        """Returns the alert as resolved at this moment; meant for tests."""
        return replace(self, status=Status.RESOLVED, ends_at=ends_at, received_at=received_at or ends_at)

    def label(self, name: str) -> str | None:
        """Returns the label of this name; `None` if it is missing or empty, which Prometheus treats as the same."""
        return self.labels.get(name) or None

    def annotation(self, name: str) -> str | None:
        """Returns the annotation of this name; `None` if it is missing or blank."""
        return (self.annotations.get(name) or "").strip() or None

    def extra(self, name: str) -> str | None:
        """Returns one of the sender's other fields by its JSON name, for example Grafana's `valueString`."""
        return (self.origin.extra.get(name) or "").strip() or None

    @property
    def is_firing(self) -> bool:
        """Whether the alert fires."""
        return self.status is Status.FIRING

    @property
    def is_resolved(self) -> bool:
        """Whether the alert has resolved."""
        return self.status is Status.RESOLVED

    @property
    def severity(self) -> str | None:
        """The label `severity` in lower case, since some rules write `CRITICAL`."""
        severity = self.label("severity")
        return severity.lower() if severity else None

    @property
    def priority(self) -> str | None:
        """The label `priority` as written, for example `P0`."""
        return self.label("priority")

    @property
    def level(self) -> Severity:
        """The severity: that of the label `severity`, or that of `priority` if the former is not known."""
        for name in ("severity", "priority"):
            level = Severity.of_word(self.label(name) or "")
            if level is not Severity.UNKNOWN:
                return level
        return Severity.UNKNOWN

    @property
    def summary(self) -> str | None:
        """A summary of one line: the annotation `summary`, or else `message`, or else `title`."""
        return self.annotation("summary") or self.annotation("message") or self.annotation("title")

    @property
    def description(self) -> str | None:
        """The longer description: the annotation `description`, or else `message` if that is not the summary."""
        message = self.annotation("message")
        return self.annotation("description") or (message if message != self.summary else None)

    def duration(self, now: datetime) -> timedelta:
        """Returns how long the alert has fired at `now`, or, if it has ended, how long it fired in all."""
        return max(timedelta(0), (self.ends_at or now) - self.starts_at)

    @property
    def delay(self) -> timedelta:
        """The time from the alert's start, or its end, to its receipt: the sender's grouping and retries."""
        began = self.ends_at if self.is_resolved and self.ends_at else self.starts_at
        return max(timedelta(0), self.received_at - began)

    @property
    def occurrence(self) -> int:
        """How often the alert has begun to fire with this start, from 1. It is more than 1 if the alert fires again after
        its resolved alert was sent, for example because Prometheus could not reach Alertmanager for a while."""
        text = self.extra(_OCCURRENCE) or ""
        return int(text) if text.isascii() and text.isdigit() else 1

    @property
    def incident_key(self) -> str:
        """A key that the firing alert and its resolved alert have in common and no other alert has, for use with
        `cx.kv`."""
        key = f"{self.fingerprint}@{seconds_of(self.starts_at)}.{self.starts_at_nanoseconds:09}"
        return f"{key}#{self.occurrence}" if self.occurrence > 1 else key

    @property
    def runbook_url(self) -> str | None:
        """The URL of the runbook: the annotation `runbook_url`, or else `runbook`."""
        return web_url(self.annotation("runbook_url") or self.annotation("runbook"))

    @property
    def dashboard_url(self) -> str | None:
        """The URL of the dashboard: Grafana's `dashboardURL`, or the annotation `dashboard_url` or `dashboard`."""
        annotated = self.annotation("dashboard_url") or self.annotation("dashboard")
        return web_url(self.extra("dashboardURL") or annotated)

    @property
    def panel_url(self) -> str | None:
        """The URL of the panel: Grafana's `panelURL`."""
        return web_url(self.extra("panelURL"))

    @property
    def query_url(self) -> str | None:
        """The URL of the alert's expression in Prometheus."""
        return web_url(self.generator_url)


def web_url(url: str | None) -> str | None:
    """Returns the URL if it is `http` or `https`: links of other schemes (`javascript:`, `file:`) are not shown."""
    if not url or not url.lower().startswith(("http://", "https://")):
        return None
    return None if any(char.isspace() or not char.isprintable() for char in url) else url


def digest(data: bytes) -> str:
    """Returns the FNV-1a digest of bytes, in hexadecimal."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def _fingerprint(labels: Mapping[str, str]) -> str:
    """Returns Alertmanager's fingerprint: FNV-1a over the sorted label pairs (prometheus/common, model/signature.go)."""
    ordered = sorted(labels.items())
    return digest(b"".join(name.encode() + b"\xff" + value.encode() + b"\xff" for name, value in ordered))
