"""Log lines for the operator."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from handler_sdk import _check

if TYPE_CHECKING:
    from handler_sdk._imports import Imports


class Level(Enum):
    """How important a line is."""

    TRACE = "trace"
    """Detail for the handler's author."""
    DEBUG = "debug"
    """Helps to find a mistake."""
    INFO = "info"
    """Normal operation."""
    WARN = "warn"
    """A problem that someone should look at eventually."""
    ERROR = "error"
    """A problem that someone should look at now."""


class Log:
    """The log that the operator reads. The host adds the handler, the delivery and the alertname to each line.

    Writing never fails and never blocks; lines over the host's limit are dropped and counted. Fields of any type are
    written as text.

        cx.log.info("asked the API server", pods=3, namespace="customer")
    """

    def __init__(self, imports: Imports) -> None:
        self._imports = imports

    def trace(self, message: str, /, **fields: object) -> None:
        """Writes a line of detail for the handler's author."""
        self._write(Level.TRACE, message, fields)

    def debug(self, message: str, /, **fields: object) -> None:
        """Writes a line that helps to find a mistake."""
        self._write(Level.DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Writes a line about normal operation."""
        self._write(Level.INFO, message, fields)

    def warn(self, message: str, /, **fields: object) -> None:
        """Writes a line about a problem that someone should look at eventually."""
        self._write(Level.WARN, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """Writes a line about a problem that someone should look at now."""
        self._write(Level.ERROR, message, fields)

    def _write(self, level: Level, message: str, fields: dict[str, object]) -> None:
        message = _check.text(message, f"the message of `cx.log.{level.value}`")
        shown = [(name, _check.text(str(value), f"the field `{name}`")) for name, value in fields.items()]
        self._imports.log_write(level, message, shown)
