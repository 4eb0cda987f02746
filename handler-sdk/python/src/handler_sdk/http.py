"""An HTTP client for the origins that the operator granted."""

from __future__ import annotations

import json as _json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict
from urllib.parse import quote

from handler_sdk import _check, mask
from handler_sdk.durations import parse_http_date
from handler_sdk.errors import ErrorKind, HttpError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from handler_sdk._imports import HttpResponse, Imports

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
#: Names with texts: a dict, or pairs if a name comes more than once.
Pairs: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


class Options(TypedDict, total=False):
    """The options of a request; `Http.request` describes them."""

    params: Mapping[str, str | int | float] | None
    headers: Pairs | None
    json: Any
    body: str | bytes | None
    credential: str | None
    timeout: timedelta | float | None
    key: str | None


class Http:
    """An HTTP client for the origins that the operator granted.

    Redirects are not followed and bodies are not decompressed. The host adds a credential by its name; the handler never
    sees its value.

        pod = cx.http.get(url, credential="kubernetes").raise_for_status().json()
    """

    def __init__(self, imports: Imports) -> None:
        self._imports = imports

    def get(self, url: str, **options: Unpack[Options]) -> Response:
        """Sends a GET request; see `request`."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Unpack[Options]) -> Response:
        """Sends a POST request; see `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Unpack[Options]) -> Response:
        """Sends a PUT request; see `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Unpack[Options]) -> Response:
        """Sends a PATCH request; see `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Unpack[Options]) -> Response:
        """Sends a DELETE request; see `request`."""
        return self.request("DELETE", url, **options)

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str | int | float] | None = None,
        headers: Pairs | None = None,
        json: Any = None,
        body: str | bytes | None = None,
        credential: str | None = None,
        timeout: timedelta | float | None = None,
        key: str | None = None,
    ) -> Response:
        """Sends a request and returns the response, whatever its status; see `Response.raise_for_status`.

        `url` is absolute; `params` are added to its query, percent-encoded. `json` sets the body and the header
        `content-type`. `credential` names one of the operator's credentials. `timeout` (a `timedelta`, or seconds) limits
        the time from connecting to the end of the body. `key` names the effect, unique within this step: needed only if
        the request can differ between attempts, for example because its body has a list in no fixed order.

        Raises `HttpError` if there is no response: denied, invalid, unreachable, timed out, too large.
        """
        from handler_sdk._imports import HttpRequest

        if method not in METHODS:
            raise _check.mistake(f"the method is {method!r}: write one of {', '.join(METHODS)}")
        address = _with_query(_check.text(url, "the URL"), params)
        given = _headers(headers)
        content = None if body is None else _check.text_or_data(body, "`body`")
        if json is not None:
            if body is not None:
                raise _check.mistake("a request has `json` or `body`, not both")
            content = _written(json)
            given.append(("content-type", "application/json"))
        timeout_ms = None
        if timeout is not None:
            timeout_ms = _check.milliseconds(_check.duration(timeout, "`timeout`"))
        request = HttpRequest(
            method=method,
            url=address,
            headers=tuple(given),
            body=content,
            credential=_check.optional_text(credential, "`credential`"),
            key=_check.optional_text(key, "`key`"),
            timeout_ms=timeout_ms,
        )
        name = f"{method} {_name(address)}"
        try:
            response = self._imports.http_send(request)
        except HttpError as error:
            raise HttpError(error.kind, f"{name}: {_words(error)}", reason=error.reason) from None
        return Response(name, response, self._imports.now)


class Response:
    """The response of a server."""

    def __init__(self, request: str, response: HttpResponse, now: Any) -> None:
        self._request = request
        self.status: int = response.status
        """The status code."""
        self.headers: list[tuple[str, str]] = response.headers
        """The headers in the order received, names in lower case."""
        self.body: bytes = response.body
        """The body as received."""
        self.retry_after: timedelta | None = self._retry_after(now)
        """The header `Retry-After`, given in seconds or as a date, as the time from now."""

    def header(self, name: str) -> str | None:
        """Returns the first header of this name, ignoring case."""
        wanted = name.lower()
        return next((value for known, value in self.headers if known.lower() == wanted), None)

    @property
    def is_success(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced by U+FFFD."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Returns the body, parsed as JSON.

        Raises `HttpError` of the kind `UNREADABLE` if it is no JSON: the position, and how the body begins.
        """
        try:
            return _json.loads(self.body)
        except ValueError as error:
            hint = "" if self.is_success else f"it was answered {self.status}, so call raise_for_status() before json(); "
            why = f"{hint}{error}; it begins `{self._excerpt(80)}`"
            message = f"{self._request}: the answer can't be read: {why}"
            raise HttpError(ErrorKind.UNREADABLE, message, reason=why) from None

    def raise_for_status(self) -> Response:
        """Returns the response if the status is 200 to 299.

        Raises `HttpError` of the kind `STATUS` for every other status, including redirects, which are not followed.
        """
        if self.is_success:
            return self
        location = self.header("location")
        if location and 300 <= self.status < 400:
            said = f"redirects to {location}; redirects are not followed"
        else:
            said = self._excerpt(200)
        message = f"{self._request}: answered {self.status}" + (f": {said}" if said else "")
        raise HttpError(ErrorKind.STATUS, message, reason=said, wait=self.retry_after, status=self.status)

    def _excerpt(self, chars_max: int) -> str:
        """Returns the beginning of the body on one line, with secrets masked, for use in messages."""
        line = " ".join(self.body[: chars_max * 8].decode(errors="replace").split())
        return mask.text(line)[:chars_max]

    def _retry_after(self, now: Any) -> timedelta | None:
        value = self.header("retry-after")
        if value is None:
            return None
        if value.isascii() and value.isdigit():
            return timedelta(seconds=min(int(value), _check.U32_MAX))
        date = parse_http_date(value)
        if date is None:
            return None
        # The wait is the date less the server's own clock, so that a difference of the clocks does not matter.
        clock: datetime = parse_http_date(self.header("date") or "") or now()
        return max(timedelta(0), date - clock)


def encode(text: str) -> str:
    """Percent-encodes text for use as one segment of a path, or one name or value of a query: `a/b c` becomes
    `a%2Fb%20c`."""
    return quote(_check.text(text, "the text of `encode`"), safe="")


def _with_query(url: str, params: Mapping[str, str | int | float] | None) -> str:
    if params is None:
        return url
    if not isinstance(params, Mapping):
        raise _check.mistake(f"`params` is {_check.kind(params)}, not a dict")
    for name, value in params.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise _check.mistake(f"`params`[{name!r}] is {_check.kind(value)}, neither str nor a number")
        separator = "&" if "?" in url else "?"
        url += f"{separator}{encode(name)}={encode(str(value))}"
    return url


def _headers(headers: object) -> list[tuple[str, str]]:
    if headers is None:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise _check.mistake(f"`headers` is {_check.kind(headers)}, neither a dict nor a list of pairs")
    given = []
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise _check.mistake(f"`headers` has {_check.kind(pair)}, not a pair of a name and a value")
        name = _check.text(pair[0], "a name in `headers`")
        given.append((name, _check.text(pair[1], f"`headers`[{name!r}]")))
    return given


def _written(value: object) -> bytes:
    try:
        return _json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise _check.mistake(f"`json` can't be written as JSON: {error}") from None


def _name(url: str) -> str:
    """Returns the URL without userinfo and query, which may hold secrets."""
    plain = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = plain.partition("://")
    if not separator:
        return plain
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _words(error: HttpError) -> str:
    return {
        ErrorKind.DENIED: f"not granted: {error.reason}",
        ErrorKind.INVALID: f"the request can't be sent: {error.reason}",
        ErrorKind.UNREACHABLE: f"unreachable: {error.reason}",
        ErrorKind.TIMEOUT: "timed out",
        ErrorKind.TOO_LARGE: f"the response is larger than {error.reason} bytes",
        ErrorKind.BUDGET_EXHAUSTED: f"the step's limit is used up: {error.reason}",
    }.get(error.kind, f"unavailable: {error.reason}")
