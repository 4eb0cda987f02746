"""Alerts in the senders' JSON, for tests that use real alerts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from handler_sdk.alert import Alert
from handler_sdk.durations import moment, parse_rfc3339

_RECEIVED_AFTER = timedelta(seconds=30)


def alert_from_json(text: str | bytes) -> Alert:
    """Returns one alert in the senders' JSON: `{"labels": {…}, "annotations": {…}, "startsAt": …, "status": …}`, or the
    first one of a body `{"alerts": […]}`. It was received 30 s after it began, or after it ended.

    Raises `ValueError` if it cannot be parsed.
    """
    wire = json.loads(text)
    if isinstance(wire, dict) and isinstance(wire.get("alerts"), list) and wire["alerts"]:
        wire = wire["alerts"][0]
    if not isinstance(wire, dict):
        raise ValueError("the alert is no JSON object")
    starts_at = _time(wire, "startsAt") or moment(0)
    alert = Alert.new(
        "",
        _texts(wire, "labels"),
        _texts(wire, "annotations"),
        starts_at=starts_at,
        received_at=starts_at + _RECEIVED_AFTER,
        generator_url=wire.get("generatorURL"),
    )
    if wire.get("status") != "resolved":
        return alert
    ends_at = _time(wire, "endsAt") or starts_at
    return alert.resolve(ends_at, received_at=ends_at + _RECEIVED_AFTER)


def _time(wire: dict[str, Any], name: str) -> datetime | None:
    text = wire.get(name)
    if not isinstance(text, str):
        return None
    time = parse_rfc3339(text)[0]
    # In Alertmanager's JSON the `endsAt` of a firing alert is in year 1.
    return time if time.year > 1 else None


def _texts(wire: dict[str, Any], name: str) -> dict[str, str]:
    values = wire.get(name) or {}
    return {key: value if isinstance(value, str) else "" for key, value in values.items()}
