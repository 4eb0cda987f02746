"""The checks that the real host makes before a call, with its default limits. Each returns what is wrong, or `None`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from handler_sdk._imports import HttpRequest

HTTP_CALLS_MAX = 50
SLACK_CALLS_MAX = 50
KV_CALLS_MAX = 1_000
HISTORY_CALLS_MAX = 20
TIMER_CALLS_MAX = 100
RESPONSE_BYTES_MAX = 8 << 20
LOG_LINES_MAX = 200
KV_KEY_BYTES_MAX = 512
KV_VALUE_BYTES_MAX = 64 << 10
KV_KEYS_MAX = 50_000
KV_BYTES_MAX = 16 << 20
TIMERS_OPEN_MAX = 100

_REQUEST_BYTES_MAX = 4 << 20
_EFFECT_KEY_BYTES_MAX = 256
_URL_BYTES_MAX = 8 << 10
_HEADERS_MAX = 100
_HEADER_BYTES_MAX = 64 << 10
_EMOJI_BYTES_MAX = 100
_HISTORY_LABELS_MAX = 16
_HISTORY_LABEL_BYTES_MAX = 256
_HISTORY_SECONDS_MAX = 90 * 86_400
_TIMER_KEY_BYTES_MAX = 256
_TIMER_SECONDS_MAX = 30 * 86_400
_FACTS_MAX = 256
_FACT_NAME_BYTES_MAX = 256
_FACT_BYTES_MAX = 8 << 10
#: What the names of the host's own facts begin with.
_HOSTS_PREFIXES = ("enrich_failed.", "storm.", "timer.")
#: Headers that describe the connection or the framing: only the host sets them.
_RESERVED_HEADERS = {
    "alt-used", "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip


def key(key: str | None) -> str | None:
    """Checks an author's key."""
    if key == "":
        return "key: it is empty; leave it out if there is none"
    if key is not None and len(key.encode()) > _EFFECT_KEY_BYTES_MAX:
        return f"key: {len(key.encode())} bytes, at most {_EFFECT_KEY_BYTES_MAX}"
    return None


def request(request: HttpRequest) -> str | None:
    """Checks a request regardless of grants."""
    wrong = key(request.key)
    if wrong:
        return wrong
    size = len(request.url.encode())
    if size > _URL_BYTES_MAX:
        return f"url: {size} bytes, at most {_URL_BYTES_MAX}"
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", request.url, re.DOTALL)
    if found is None:
        return "url: relative URL without a base"
    if found[1].lower() in ("http", "https") and not found[2].lstrip("/\\"):
        return "url: empty host"
    body = len(request.body or b"")
    if body > _REQUEST_BYTES_MAX:
        return f"request_bytes: a body of {body} bytes, at most {_REQUEST_BYTES_MAX}"
    return None


def headers(given: tuple[tuple[str, str], ...]) -> str | None:
    """Checks the headers of a granted request."""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in given)
    if len(given) > _HEADERS_MAX or size > _HEADER_BYTES_MAX:
        return f"headers: {len(given)} of {size} bytes, at most {_HEADERS_MAX} of {_HEADER_BYTES_MAX}"
    for name, value in given:
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+", name):
            return f"headers: {name!r} is no header's name"
        # Some servers treat `content_length` like the header's own name.
        folded = name.lower().replace("_", "-")
        if folded in _RESERVED_HEADERS or folded.startswith("proxy-"):
            return f"headers: {name} is the host's to set: leave it out"
        if any(byte != 9 and (byte < 0x20 or byte == 0x7F) for byte in value.encode()):
            return f"headers: the value of {name} holds a line break or another character that no header carries"
    return None


def emoji(name: str) -> str | None:
    """Checks the name of an emoji."""
    is_bad = not name or len(name.encode()) > _EMOJI_BYTES_MAX or ":" in name
    if is_bad or any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in name):
        return "emoji: its name without colons, at most 100 bytes"
    return None


def earlier(same: list[str], within_seconds: int) -> str | None:
    """Checks what `history.earlier` is asked for."""
    if len(same) > _HISTORY_LABELS_MAX:
        return f"same: {len(same)} labels, at most {_HISTORY_LABELS_MAX}"
    if any(len(name.encode()) > _HISTORY_LABEL_BYTES_MAX for name in same):
        return f"same: a name of over {_HISTORY_LABEL_BYTES_MAX} bytes"
    if within_seconds > _HISTORY_SECONDS_MAX:
        return f"within-seconds: {within_seconds} s, at most {_HISTORY_SECONDS_MAX}"
    return None


def timer_key(key: str) -> str | None:
    """Checks a timer's key."""
    size = len(key.encode())
    if size == 0:
        return "key: it is empty"
    return f"key: {size} bytes, at most {_TIMER_KEY_BYTES_MAX}" if size > _TIMER_KEY_BYTES_MAX else None


def timer(delay_seconds: int, facts: list[tuple[str, str]]) -> str | None:
    """Checks what a timer is set to."""
    if delay_seconds > _TIMER_SECONDS_MAX:
        return f"delay-seconds: {delay_seconds} s, at most {_TIMER_SECONDS_MAX}"
    return facts_of(facts)


def without_hosts(facts: Mapping[str, str]) -> dict[str, str]:
    """Returns facts without those that have the host's names."""
    return {name: value for name, value in facts.items() if not name.startswith(_HOSTS_PREFIXES)}


def facts_of(facts: Collection[tuple[str, str]]) -> str | None:
    """Checks the facts of a handler."""
    if len(facts) > _FACTS_MAX:
        return f"facts: {len(facts)} facts, at most {_FACTS_MAX}"
    return next((wrong for name, value in facts if (wrong := _fact(name, value))), None)


def _fact(name: str, value: str) -> str | None:
    """Checks a fact of a handler."""
    if not name or re.search(r"[\x00-\x1f\x7f-\x9f]", name):
        return f"a fact without a valid name: {name!r}"
    if name.startswith(_HOSTS_PREFIXES):
        return f"a fact {name!r}: such names are the host's"
    if len(name.encode()) > _FACT_NAME_BYTES_MAX:
        return f"fact_name_bytes: at most {_FACT_NAME_BYTES_MAX}"
    if len(value.encode()) > _FACT_BYTES_MAX:
        return f"fact_bytes: the fact {name!r}, at most {_FACT_BYTES_MAX}"
    return None
