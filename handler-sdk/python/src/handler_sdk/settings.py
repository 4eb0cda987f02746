"""A handler's settings. Each is declared once; the handler reads it by its declaration, and `alert-manager check` verifies
the operator's `config` against it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Generic, TypeVar

from handler_sdk import _check
from handler_sdk.alert import web_url
from handler_sdk.durations import duration_text, parse_duration

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Setting(Generic[T_co]):
    """One setting of a handler: `handlers.NAME.config.SETTING`, or a route's `config`.

    Declared in `Description.settings` and read with `cx.setting`, which returns the operator's value, or the default, or
    `None`. In each constructor, `*` in `name` matches any text, and `about` is a phrase for the operator.

        CHANNEL = Setting.channel("channel", "the Slack channel").default("alerts")
        LINES = Setting.integer("lines", "how many lines of the log are shown").default(12)
        REGION = Setting.string("region.*", "what the region is called in messages")
    """

    name: str
    kind: str
    about: str
    read: Callable[[str], T_co]
    """Reads the operator's text; raises `ValueError` if it is not of the setting's kind."""
    default_text: str | None = None
    is_required: bool = False
    values: Sequence[str] = ()
    refers_to: str | None = None

    @staticmethod
    def string(name: str, about: str) -> Setting[str]:
        """Returns a text setting."""
        return _setting("string", name, about, str)

    @staticmethod
    def one_of(name: str, values: Sequence[str], about: str) -> Setting[str]:
        """Returns a setting with one of `values`."""
        allowed = tuple(_check.texts(values, f"the values of the setting `{name}`"))

        def read(text: str) -> str:
            if text not in allowed:
                raise ValueError(f"write one of {', '.join(allowed)}")
            return text

        return _setting("string", name, about, read, values=allowed)

    @staticmethod
    def integer(name: str, about: str) -> Setting[int]:
        """Returns a setting with a whole number."""
        return _setting("integer", name, about, _integer)

    @staticmethod
    def number(name: str, about: str) -> Setting[float]:
        """Returns a setting with a number."""
        return _setting("number", name, about, _number)

    @staticmethod
    def boolean(name: str, about: str) -> Setting[bool]:
        """Returns a setting with `true` or `false`."""
        return _setting("boolean", name, about, _boolean)

    @staticmethod
    def duration(name: str, about: str) -> Setting[timedelta]:
        """Returns a setting with a duration in Prometheus' syntax: `30s`, `1h30m`."""
        return _setting("duration", name, about, parse_duration)

    @staticmethod
    def url(name: str, about: str) -> Setting[str]:
        """Returns a setting with an http or https URL that is shown, not requested."""
        return _setting("url", name, about, _url)

    @staticmethod
    def origin(name: str, about: str) -> Setting[str]:
        """Returns a setting with an http or https URL that the handler sends requests to: `check` verifies that it is
        granted."""
        return _setting("url", name, about, _url, refers_to="origin")

    @staticmethod
    def list(name: str, about: str) -> Setting[list[Any]]:
        """Returns a setting with a list."""
        return _setting("list", name, about, _list)

    @staticmethod
    def map(name: str, about: str) -> Setting[dict[str, Any]]:
        """Returns a setting with a mapping."""
        return _setting("map", name, about, _map)

    @staticmethod
    def channel(name: str, about: str) -> Setting[str]:
        """Returns a setting with the configured name of a Slack channel to post to: `check` verifies that it is
        granted."""
        return _setting("string", name, about, str, refers_to="channel")

    @staticmethod
    def credential(name: str, about: str) -> Setting[str]:
        """Returns a setting with the name of a credential, or empty for none: `check` verifies that it is granted."""
        return _setting("string", name, about, str, refers_to="credential")

    # A setting is covariant, so that `cx.setting` infers its type; no value is ever put into it after it was made.
    def default(self, value: T_co) -> SureSetting[T_co]:  # type: ignore[misc]
        """Sets the default."""
        text = _written(value, f"the default of the setting `{self.name}`")
        try:
            self.read(text)
        except ValueError as error:
            raise _check.mistake(f"the default of the setting `{self.name}` is `{text}`: {error}") from None
        return self._sure(default_text=text)

    def required(self) -> SureSetting[T_co]:
        """Makes it required: `check` rejects a configuration that does not set it."""
        return self._sure(is_required=True)

    def _sure(self, **changes: Any) -> SureSetting[T_co]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return SureSetting(**{**values, **changes})

    def declaration(self) -> dict[str, Any]:
        """Returns the setting as `describe().more` declares it, in the contract's JSON."""
        entry: dict[str, Any] = {"name": self.name, "type": self.kind}
        if self.default_text is not None:
            entry["default"] = self.default_text
        entry |= {"about": self.about, "required": self.is_required}
        if self.values:
            entry["values"] = list(self.values)
        if self.refers_to:
            entry["refers_to"] = self.refers_to
        return entry


class SureSetting(Setting[T_co]):
    """A setting that always has a value: it has a default, or the operator has to set it."""


def declarations(settings: Iterable[Setting[Any]]) -> str:
    """Returns the JSON by which `describe().more` declares settings."""
    stated = [setting.declaration() for setting in settings]
    return json.dumps(stated, ensure_ascii=False, separators=(",", ":"))


def _setting(
    kind: str,
    name: str,
    about: str,
    read: Callable[[str], T],
    *,
    values: Sequence[str] = (),
    refers_to: str | None = None,
) -> Setting[T]:
    name = _check.text(name, "the name of a setting")
    about = _check.text(about, f"`about` of the setting `{name}`")
    return Setting(name, kind, about, read, values=values, refers_to=refers_to)


def _written(value: object, what: str) -> str:
    """Returns a value as the operator would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return duration_text(_check.duration(value, what))
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False)
    return _check.text(value, what)


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text.strip(), re.ASCII):
        raise ValueError("write a whole number")
    return int(text)


def _number(text: str) -> float:
    # Python takes `1_000`, `nan` and `inf` too; the host does not.
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text.strip(), re.ASCII) or not math.isfinite(float(text)):
        raise ValueError("write a number")
    return float(text)


def _url(text: str) -> str:
    # An empty value is one that is not set.
    if text and web_url(text) is None:
        raise ValueError("write an http or https URL")
    return text


def _boolean(text: str) -> bool:
    if text.strip() not in ("true", "false"):
        raise ValueError("write true or false")
    return text.strip() == "true"


def _list(text: str) -> list[Any]:
    value = json.loads(text)
    if not isinstance(value, list):
        raise ValueError("write a list")
    return value


def _map(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("write a mapping")
    return value
