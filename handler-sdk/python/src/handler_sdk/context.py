"""The context: what a handler can ask of its host."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar, overload

from handler_sdk import _check
from handler_sdk._imports import Imports
from handler_sdk.failure import Permanent
from handler_sdk.history import History
from handler_sdk.http import Http
from handler_sdk.kv import Kv
from handler_sdk.log import Log
from handler_sdk.settings import Setting, SureSetting
from handler_sdk.slack import Slack
from handler_sdk.timer import Timer

T = TypeVar("T")
_SHOWN_CHARS_MAX = 80


@dataclass(frozen=True)
class Call:
    """The invocation of a step."""

    delivery_id: str
    """The delivery's id; the same on every attempt."""
    attempt: int
    """The number of the attempt, from 1."""
    time_left: timedelta
    """The wall-clock time that the step had left when it began."""
    dry_run: bool
    """Whether effects are held back."""


class Context:
    """The context of an invocation: HTTP, Slack, the key-value store, history, timers, settings and the log.

    A component has only the interfaces that its project declares: `needs = ["slack"]` in `pyproject.toml`. A call that
    the operator has not granted raises a `CallError` of the kind `DENIED`.
    """

    def __init__(self, call: Call, imports: Imports) -> None:
        self.call: Call = call
        """The delivery's id, the attempt and the time limit of this invocation."""
        self._imports = imports

    @cached_property
    def http(self) -> Http:
        """A client for the origins that the operator granted."""
        self._imports.need("http")
        return Http(self._imports)

    @cached_property
    def slack(self) -> Slack:
        """A client for the Slack channels that the operator granted. Denied during `enrich`."""
        self._imports.need("slack")
        return Slack(self._imports)

    @cached_property
    def kv(self) -> Kv:
        """This handler's key-value store, which is kept between alerts."""
        self._imports.need("kv")
        return Kv(self._imports)

    @cached_property
    def history(self) -> History:
        """What the server has of earlier alerts."""
        self._imports.need("history")
        return History(self._imports)

    @cached_property
    def timer(self) -> Timer:
        """Timers, which run `act` again later. Denied during `enrich`."""
        self._imports.need("timer")
        return Timer(self._imports)

    @cached_property
    def log(self) -> Log:
        """The log."""
        return Log(self._imports)

    def config(self, key: str) -> str | None:
        """Returns a setting of the operator: a scalar as written, a list or mapping as JSON; `None` if it is not set."""
        return self._imports.config_get(_check.text(key, "the key of `cx.config`"))

    def config_json(self, key: str) -> Any:
        """Returns the operator's list or mapping, read from JSON; `None` if it is not set.

        Raises `Permanent` that names the key, the value and what is wrong with it.
        """
        value = self.config(key)
        if value is None:
            return None
        try:
            return json.loads(value)
        except ValueError as error:
            raise _bad_setting(key, value, error) from None

    @overload
    def setting(self, setting: SureSetting[T], name: str | None = None) -> T: ...
    @overload
    def setting(self, setting: Setting[T], name: str | None = None) -> T | None: ...
    def setting(self, setting: Setting[T], name: str | None = None) -> T | None:
        """Returns the operator's value of a setting, or its default; `None` if there is neither. `name` replaces the `*`
        in the setting's name.

        Raises `Permanent` if the value is not of the setting's kind, or a required one is missing.
        """
        if not isinstance(setting, Setting):
            raise _check.mistake(f"`cx.setting` takes a Setting, not {_check.kind(setting)}: use cx.config for a name")
        key = setting.name
        if name is not None:
            key = key.replace("*", _check.text(name, "`name` of `cx.setting`"), 1)
        given = self.config(key)
        if given is None:
            given = setting.default_text
        if given is None:
            if setting.is_required:
                raise Permanent(f"the setting `{key}` is missing; set it in the handler's `config`")
            return None
        try:
            return setting.read(given)
        except ValueError as error:
            raise _bad_setting(key, given, error) from None

    def story_url(self) -> str | None:
        """Returns the URL of the page with this delivery's story, the recorded trace of a delivery; `None` if the server
        has no `external_url`. Who may use the API may see it."""
        base = self.config("story_base")
        return f"{base.rstrip('/')}/{self.call.delivery_id}" if base else None

    def now(self) -> datetime:
        """Returns when this attempt began, in UTC. On a retry, as long as effects of an earlier attempt are replayed, it
        returns that attempt's time, so that the handler makes the same requests again; after that, the current
        attempt's."""
        return self._imports.now()


def _bad_setting(key: str, value: str, error: ValueError) -> Permanent:
    shown = value[:_SHOWN_CHARS_MAX]
    return Permanent(f"the setting `{key}` is `{shown}`: {error}; correct it in the handler's `config`")
