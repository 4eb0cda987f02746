"""How a step fails, and what the host does about it."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from handler_sdk import _check


class Failure(Exception):
    """A failure of a step. Its class decides whether the step is retried: raise one of the subclasses.

    `message` is for people. Every other exception that leaves `enrich` or `act` is treated as a crash: the step is tried
    twice in all, then the delivery is dead-lettered with the traceback.
    """

    _has_wait: ClassVar[bool] = True

    def __init__(self, message: str, *, after: timedelta | float | None = None) -> None:
        """Sets the message, and the shortest time until the next attempt (a `timedelta`, or seconds)."""
        if type(self) is Failure:
            raise _check.mistake("`Failure` is abstract: raise `Retryable`, `Unavailable` or `Permanent`")
        name = type(self).__name__
        self.message: str = _check.text(message, f"the message of `{name}`")
        self.after: timedelta | None = None
        if after is not None:
            if not self._has_wait:
                raise _check.mistake(f"`{name}` takes no `after`: it is never retried")
            self.after = _check.duration(after, f"`after` of `{name}`")
        super().__init__(self.message)


class Retryable(Failure):
    """A transient failure. The step is retried with backoff until its attempts are used up."""


class Unavailable(Failure):
    """The failure of a service that the handler depends on. The step is retried until the alert is too old; the failure
    does not count as an attempt."""


class Permanent(Failure):
    """A failure that a retry cannot fix. The delivery is dead-lettered and reported to a person."""

    _has_wait = False


class Mistake(TypeError):
    """A mistake in the handler's code that the SDK has found: a value of the wrong kind, a coroutine, an interface that
    the project does not declare. The message begins with the author's file and line. A component reports it as a
    permanent failure, because a retry cannot fix it."""


# Tracebacks name these classes as authors import them.
for _failure in (Failure, Retryable, Unavailable, Permanent, Mistake):
    _failure.__module__ = "handler_sdk"
