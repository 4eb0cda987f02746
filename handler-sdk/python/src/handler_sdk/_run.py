"""Finds an author's handler, calls its hooks, and checks what they return."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from types import ModuleType
from typing import Any

from handler_sdk import _author, _check
from handler_sdk.alert import Alert
from handler_sdk.context import Context
from handler_sdk.enrichment import Custom, Enrichment, Excerpt, Fields, Image, Link, Markdown, Table
from handler_sdk.errors import CallError
from handler_sdk.handler import Description, Handler
from handler_sdk.settings import Setting, declarations

_BLOCKS = (Markdown, Fields, Table, Excerpt, Link, Image, Custom)
#: The semantic version of a release, with an optional pre-release and build.
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_KEBAB_CASE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PARAMETERS = {
    "enrich": "(self, cx, alert, so_far)",
    "act": "(self, cx, alert, found)",
    "resolved": "(self, cx, alert, found)",
}


@dataclass(frozen=True)
class Described:
    """A description, checked, in the contract's terms."""

    name: str
    version: str
    summary: str
    alerts: list[str]
    more: list[tuple[str, str]]


def find(module: ModuleType) -> type[Handler]:
    """Returns the one handler of a module: the class that derives from `Handler`, checked by `check`."""
    candidates = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Handler)]
    classes = list(dict.fromkeys(value for value in candidates if value is not Handler))
    # A class of the author's own may be the base of another.
    leaves = [one for one in classes if not any(other is not one and issubclass(other, one) for other in classes)]
    own = [one for one in leaves if one.__module__ == module.__name__] or leaves
    file = _author.shown(module.__file__ or module.__name__)
    if not own:
        remedy = "write `class MyHandler(Handler):` with `describe` and `act`"
        raise _check.mistake(f"no class derives from Handler: {remedy}", file)
    if len(own) > 1:
        names = " and ".join(f"`{one.__name__}` ({_author.line_of(one)})" for one in own)
        remedy = "a project is one handler, keep one class"
        raise _check.mistake(f"{len(own)} classes derive from Handler, {names}: {remedy}", file)
    check(own[0])
    return own[0]


def check(handler: type[Handler]) -> None:
    """Checks the shape of a handler's class: which hooks it has, and that they are plain functions."""
    place = _author.line_of(handler)
    if not (isinstance(handler, type) and issubclass(handler, Handler)):
        raise _check.mistake(f"{handler!r} is no class that derives from Handler")
    if handler.describe is Handler.describe:
        raise _check.mistake(f"`{handler.__name__}` has no `describe`: return a Description from it", place)
    for name in ("describe", "enrich", "act", "resolved"):
        _check_hook(handler, name)
    if not any(_has(handler, name) for name in ("enrich", "act", "resolved")):
        raise _check.mistake(f"`{handler.__name__}` does nothing: write `act` or `enrich`", place)
    try:
        inspect.signature(handler).bind()
    except TypeError as error:
        raise _check.mistake(f"`{handler.__name__}()` has to work without arguments: {error}", place) from None


def _check_hook(handler: type[Handler], name: str) -> None:
    function = getattr(handler, name)
    place = _author.line_of(function)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        why = "a handler has no event loop, and its body would never run"
        raise _check.mistake(f"`{name}` is a coroutine: write `def {name}` instead of `async def {name}`: {why}", place)
    if inspect.isgeneratorfunction(function):
        raise _check.mistake(f"`{name}` is a generator: write `return` instead of `yield`", place)
    if not callable(function):
        raise _check.mistake(f"`{name}` is {_check.kind(function)}, not a method", _author.line_of(handler))
    try:
        inspect.signature(function).bind(*([None] * (1 if name == "describe" else 4)))
    except TypeError:
        parameters = _PARAMETERS.get(name, "(self)")
        raise _check.mistake(f"`{name}` has other parameters: write `def {name}{parameters}`", place) from None


def _has(handler: type[Handler], name: str) -> bool:
    return getattr(handler, name) is not getattr(Handler, name)


def describe(handler: type[Handler]) -> Described:
    """Returns a handler's description."""
    place = _author.line_of(handler.describe)
    given = handler().describe()
    if not isinstance(given, Description):
        raise _check.mistake(f"`describe` returned {_check.kind(given)}, not a Description{_awaited(given)}", place)
    name = _check.text(given.name, "`Description.name`", place)
    if not _KEBAB_CASE.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()).strip("-")
        remedy = f"write `{better or 'my-handler'}`"
        raise _check.mistake(f"`Description.name` is `{name}`, which is not in kebab-case: {remedy}", place)
    version = _check.text(given.version, "`Description.version`", place)
    if not _VERSION.fullmatch(version):
        raise _check.mistake(f"`Description.version` is `{version}`, not a semantic version: write `0.1.0`", place)
    summary = _check.text(given.summary, "`Description.summary`", place)
    alerts = _check.texts(given.alerts, "`Description.alerts`", place)
    return Described(name, version, summary, alerts, _more(handler, given, place))


def _more(handler: type[Handler], given: Description, place: str) -> list[tuple[str, str]]:
    # The names are defined in `handler.wit`, in the comment of `more`.
    more = []
    if not _has(handler, "enrich"):
        more.append(("steps", "act"))
    elif not (_has(handler, "act") or _has(handler, "resolved")):
        more.append(("steps", "enrich"))
    if not isinstance(given.storm_one, bool):
        raise _check.mistake(f"`Description.storm_one` is {_check.kind(given.storm_one)}, not bool", place)
    if given.storm_one:
        more.append(("storm", "one"))
    if not isinstance(given.settings, Sequence) or isinstance(given.settings, str | bytes):
        raise _check.mistake(f"`Description.settings` is {_check.kind(given.settings)}, not a list of Setting", place)
    names: set[str] = set()
    for index, setting in enumerate(given.settings):
        if not isinstance(setting, Setting):
            raise _check.mistake(f"`Description.settings`[{index}] is {_check.kind(setting)}, not a Setting", place)
        if setting.name in names:
            raise _check.mistake(f"`Description.settings` has `{setting.name}` twice", place)
        names.add(setting.name)
    if given.settings:
        more.append(("settings", declarations(given.settings)))
    return more


def enrich(handler: type[Handler], cx: Context, alert: Alert, so_far: Enrichment) -> Enrichment:
    """Calls `enrich`. An error of a call to the host becomes a `Failure`; what is returned is checked."""
    try:
        added = handler().enrich(cx, alert, so_far)
    except CallError as error:
        raise error.as_failure() from error
    place = partial(_author.line_of, handler.enrich)
    if not isinstance(added, Enrichment):
        remedy = ": write Enrichment(facts=…)" if isinstance(added, dict) else ""
        if added is None:
            remedy = ": end it with `return Enrichment()` if there is nothing to add"
        raise _check.mistake(f"`enrich` returned {_check.kind(added)}, not an Enrichment{remedy or _awaited(added)}", place)
    facts = _check.facts(added.facts, "`enrich`", place)
    if not isinstance(added.blocks, Sequence) or isinstance(added.blocks, str | bytes):
        raise _check.mistake(f"Enrichment.blocks is {_check.kind(added.blocks)}, not a list of blocks", place)
    blocks = [_block(block, f"Enrichment.blocks[{index}]", place) for index, block in enumerate(added.blocks)]
    return Enrichment(facts, blocks)


def act(handler: type[Handler], cx: Context, alert: Alert, found: Enrichment) -> dict[str, str]:
    """Calls `act`, or `resolved` if the alert has resolved. An error of a call to the host becomes a `Failure`; what is
    returned is checked."""
    name = "act" if alert.is_firing else "resolved"
    instance = handler()
    try:
        facts = instance.act(cx, alert, found) if alert.is_firing else instance.resolved(cx, alert, found)
    except CallError as error:
        raise error.as_failure() from error
    place = partial(_author.line_of, getattr(handler, name))
    if facts is None:
        remedy = "end it with `return {}` if there is nothing to record"
        raise _check.mistake(f"`{name}` returned None, not facts (a dict of str to str): {remedy}", place)
    if inspect.isawaitable(facts):
        problem = f"`{name}` returned {_check.kind(facts)}, not facts (a dict of str to str)"
        raise _check.mistake(f"{problem}{_awaited(facts)}", place)
    return _check.facts(facts, f"`{name}`", place)


def _block(block: Any, what: str, place: _check.Place) -> Any:
    """Returns a block whose fields are all of the type that the contract wants."""
    if not isinstance(block, _BLOCKS):
        remedy = ": write Markdown(text)" if isinstance(block, str) else ""
        raise _check.mistake(f"{what} is {_check.kind(block)}, not a block{remedy}", place)
    assert is_dataclass(block)
    checked: dict[str, Any] = {}
    for field in fields(block):
        value = getattr(block, field.name)
        field_what = f"{what}.{field.name}"
        if field.name == "pairs":
            checked[field.name] = [_pair(pair, field_what, place) for pair in _list(value, field_what, place)]
        elif field.name == "rows":
            checked[field.name] = [_check.texts(row, field_what, place) for row in _list(value, field_what, place)]
        elif field.name == "header":
            checked[field.name] = _check.texts(value, field_what, place)
        elif field.name == "data" and isinstance(block, Image):
            checked[field.name] = _check.data(value, field_what, place)
        else:
            checked[field.name] = _check.text(value, field_what, place)
    if isinstance(block, Table) and any(len(row) != len(checked["header"]) for row in checked["rows"]):
        problem = f"{what}.rows has a row that is not as long as the header"
        raise _check.mistake(f"{problem}: use `table(…)`, which pads it", place)
    return type(block)(**checked)


def _list(value: Any, what: str, place: _check.Place) -> Any:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        remedy = ": write list(value.items())" if isinstance(value, dict) else ""
        raise _check.mistake(f"{what} is {_check.kind(value)}, not a list{remedy}", place)
    return value


def _pair(pair: Any, what: str, place: _check.Place) -> tuple[str, str]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise _check.mistake(f"{what} has {_check.kind(pair)}, not a pair of a name and a value", place)
    return _check.text(pair[0], f"a name in {what}", place), _check.text(pair[1], f"{what}[{pair[0]!r}]", place)


def _awaited(value: Any) -> str:
    if not inspect.isawaitable(value):
        return ""
    if inspect.iscoroutine(value):
        value.close()
    return ": a handler has no event loop, write `def` instead of `async def`"
