"""The mock host's response to a request."""

from __future__ import annotations

import json
from typing import Any

from handler_sdk._imports import HttpResponse
from handler_sdk.errors import ErrorKind, HttpError


class Reply:
    """The mock host's response to a request, or the error instead of one."""

    def __init__(self, outcome: HttpResponse | HttpError) -> None:
        self.outcome = outcome

    @classmethod
    def status(cls, status: int, body: str | bytes = b"") -> Reply:
        """Returns a response."""
        return cls(HttpResponse(status, [], body.encode() if isinstance(body, str) else body))

    @classmethod
    def json(cls, status: int, body: Any) -> Reply:
        """Returns a response with a JSON body."""
        return cls.status(status, json.dumps(body)).header("content-type", "application/json")

    def header(self, name: str, value: str) -> Reply:
        """Adds a header to a response."""
        if isinstance(self.outcome, HttpResponse):
            self.outcome.headers.append((name.lower(), value))
        return self

    @classmethod
    def error(cls, kind: ErrorKind, reason: str = "") -> Reply:
        """Returns an error."""
        return cls(HttpError(kind, reason, reason=reason))

    @classmethod
    def denied(cls) -> Reply:
        """Returns the error that the origin is not granted."""
        return cls.error(ErrorKind.DENIED, "not granted by the test")

    @classmethod
    def unreachable(cls) -> Reply:
        """Returns the error that nothing listens there."""
        return cls.error(ErrorKind.UNREACHABLE, "connection refused")

    @classmethod
    def timeout(cls) -> Reply:
        """Returns the error that the time ran out."""
        return cls.error(ErrorKind.TIMEOUT)
