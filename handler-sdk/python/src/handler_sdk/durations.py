"""Moments and durations: parsing, and text for people."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

_UNITS = {"ms": timedelta(milliseconds=1), "s": timedelta(seconds=1), "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_UNITS["y"] = 365 * DAY
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def human(length: timedelta) -> str:
    """Returns a duration for people, in its two largest units: `41s`, `12m 3s`, `2h 5m`, `3d 4h`."""
    seconds = max(0, length // timedelta(seconds=1))
    if seconds < 60:
        large, small = f"{seconds}s", ""
    elif seconds < 3_600:
        large, small = f"{seconds // 60}m", f"{seconds % 60}s"
    elif seconds < 86_400:
        large, small = f"{seconds // 3_600}h", f"{seconds % 3_600 // 60}m"
    else:
        large, small = f"{seconds // 86_400}d", f"{seconds % 86_400 // 3_600}h"
    return large if small in ("", "0s", "0m", "0h") else f"{large} {small}"


def parse_duration(text: str) -> timedelta:
    """Returns a duration in Prometheus' syntax: `30s`, `1h30m`.

    Raises `ValueError` if it is none.
    """
    text = text.strip()
    if text == "0":
        return timedelta(0)
    if not re.fullmatch(r"(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m(?!s))?(\d+s)?(\d+ms)?", text) or not text:
        raise ValueError("write it as 30s or 1h30m")
    parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
    return sum((int(count) * _UNITS[unit] for count, unit in parts), timedelta(0))


def duration_text(length: timedelta) -> str:
    """Returns a duration in Prometheus' syntax."""
    left = length // timedelta(milliseconds=1)
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, _UNITS[unit] // timedelta(milliseconds=1))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def moment(seconds: int, nanoseconds: int = 0) -> datetime:
    """Returns the moment in UTC, cut to microseconds; the first or the last that `datetime` has if it is beyond."""
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1_000)
    except OverflowError:
        edge = datetime.min if seconds < 0 else datetime.max
        return edge.replace(tzinfo=timezone.utc)


def seconds_of(moment: datetime) -> int:
    """Returns whole seconds since 1970-01-01T00:00:00Z."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def rfc3339(moment: datetime) -> str:
    """Returns a moment as RFC 3339 in UTC, without the fraction of a second."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> tuple[datetime, int]:
    """Returns the moment in UTC and the nanoseconds of its second.

    Raises `ValueError` that names the text if it is no RFC 3339 time.
    """
    shape = r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))"
    found = re.fullmatch(shape, text)
    if found is None:
        raise ValueError(f"`{text[:40]}` is not a time like 2026-03-02T07:31:57Z")
    day, clock, fraction, sign, hours, minutes = found.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}+00:00")
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            whole = whole - offset if sign == "+" else whole + offset
    except (ValueError, OverflowError):
        raise ValueError(f"`{text[:40]}` is not a time like 2026-03-02T07:31:57Z") from None
    nanoseconds = int((fraction or "0")[:9].ljust(9, "0"))
    return whole + timedelta(microseconds=nanoseconds // 1_000), nanoseconds


def slack_date(moment: datetime) -> str:
    """Returns a moment in Slack's date format, which each reader sees in their own time zone. The text is mrkdwn: use it
    with `Mrkdwn.raw`."""
    return f"<!date^{seconds_of(moment)}^{{date_short_pretty}} {{time}}|{rfc3339(moment)}>"


def parse_http_date(text: str) -> datetime | None:
    """Returns the date of an HTTP header, `Wed, 21 Oct 2026 07:28:00 GMT`; `None` if it is in another form."""
    found = re.fullmatch(r"\w+, (\d+) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", text)
    if found is None or found[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(found[group]) for group in (1, 3, 4, 5, 6))
    try:
        return datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
