"""Slack's markup, distinguished from plain text by its type."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from sys import maxsize

from handler_sdk import _check
from handler_sdk.alert import web_url

_FENCE = "```"
_WORD_CHARS_MAX = 200
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Mrkdwn:
    """Text in Slack's markup, mrkdwn. Each method returns a new text.

    Plain text is escaped when it becomes `Mrkdwn`, so a label value `<!channel>` is shown and notifies nobody. Only
    `Mrkdwn.raw` takes markup unescaped.

        Mrkdwn().bold("Likely out of memory:").text(" killed at ").code("512Mi")
    """

    __slots__ = ("markup",)

    def __init__(self, text: str = "") -> None:
        """Takes plain text, which is escaped."""
        self.markup: str = escape(_check.text(text, "the text of `Mrkdwn`"))

    @classmethod
    def raw(cls, markup: str) -> Mrkdwn:
        """Returns markup unescaped. Never use it for text that comes from an alert, a log or a server."""
        made = cls()
        made.markup = _check.text(markup, "the markup of `Mrkdwn.raw`")
        return made

    @classmethod
    def of(cls, text: str | Mrkdwn) -> Mrkdwn:
        """Returns plain text escaped, and markup as it is."""
        return text if isinstance(text, Mrkdwn) else cls(text)

    @classmethod
    def join(cls, texts: Iterable[str | Mrkdwn], separator: str) -> Mrkdwn:
        """Joins texts with a separator; empty ones are left out."""
        parts = (cls.of(text) for text in texts)
        return cls.raw(escape(separator).join(part.markup for part in parts if part))

    def text(self, text: str) -> Mrkdwn:
        """Adds plain text."""
        return self._with(escape(_check.text(text, "a text of `Mrkdwn`")))

    def prose(self, text: str) -> Mrkdwn:
        """Adds plain text and makes its `https` and `http` URLs links: Slack does not look for URLs in text of this
        package, because it would look for mentions too."""
        made, rest = self, _check.text(text, "a text of `Mrkdwn`")
        while (at := _find_url(rest)) is not None:
            end = at + _url_length(rest[at:])
            made = made.text(rest[:at]).link(rest[at:end], rest[at:end])
            rest = rest[end:]
        return made.text(rest)

    def bold(self, text: str) -> Mrkdwn:
        """Adds bold text."""
        return self._wrapped("*", text)

    def italic(self, text: str) -> Mrkdwn:
        """Adds text in italics."""
        return self._wrapped("_", text)

    def code(self, text: str) -> Mrkdwn:
        """Adds text in a monospaced font. A backtick in it becomes an apostrophe, because it would end the font."""
        return self._wrapped("`", _check.text(text, "a text of `Mrkdwn`").replace("`", "'"))

    def preformatted(self, text: str) -> Mrkdwn:
        """Adds several lines in a monospaced font, unchanged."""
        # A zero-width space keeps three backticks in the text from ending the block.
        body = escape(_check.text(text, "a text of `Mrkdwn`").replace(_FENCE, "``\u200b`"))
        # As in the Rust SDK, an empty body still has the newline of the opening fence.
        newline = "" if not body or body.endswith("\n") else "\n"
        return self._with(f"{_FENCE}\n{body}{newline}{_FENCE}")

    def link(self, url: str, title: str) -> Mrkdwn:
        """Adds a link. If the URL is neither `https` nor `http`, adds only the title."""
        if web_url(_check.text(url, "the URL of a link")) is None:
            return self.text(title)
        # `|` and `>` end the URL in Slack's markup.
        target = escape(url.replace("|", "%7C").replace(">", "%3E").replace("<", "%3C"))
        shown = escape(_check.text(title, "the title of a link").replace("|", "¦").replace("\n", " "))
        return self._with(f"<{target}|{shown}>")

    def then(self, other: str | Mrkdwn) -> Mrkdwn:
        """Adds more markup, or plain text."""
        return self._with(Mrkdwn.of(other).markup)

    def truncated(self, chars_max: int) -> Mrkdwn:
        """Returns at most this many characters of it, with an ellipsis if it was longer."""
        return Mrkdwn.raw(truncate(self.markup, chars_max))

    def __bool__(self) -> bool:
        return bool(self.markup.strip())

    def __str__(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return f"Mrkdwn.raw({self.markup!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mrkdwn) and other.markup == self.markup

    def __hash__(self) -> int:
        return hash(self.markup)

    def _with(self, markup: str) -> Mrkdwn:
        return Mrkdwn.raw(self.markup + markup)

    def _wrapped(self, mark: str, text: str) -> Mrkdwn:
        # Slack shows no emphasis for empty text, across lines, or if there are blanks inside the marks.
        line = " ".join(_check.text(text, "a text of `Mrkdwn`").split())
        return self._with(f"{mark}{escape(line)}{mark}") if line else self


def escape(text: str) -> str:
    """Returns plain text with Slack's three special characters escaped, and without invisible characters."""
    if not text.isascii() or not text.isprintable():
        text = "".join(char for char in text if char in "\n\t" or not is_invisible(char))
    return text.translate(_ENTITIES)


def is_invisible(char: str) -> bool:
    """Returns whether a character is invisible: control characters and those that change the direction of writing. The
    zero-width space is not among them, since it separates fences."""
    return (
        unicodedata.category(char) == "Cc"
        or char in "\u061c\u200e\u200f\ufeff"
        or "\u2028" <= char <= "\u202e"
        or "\u2060" <= char <= "\u206f"
        or "\U000e0000" <= char <= "\U000e007f"
    )


@dataclass(frozen=True)
class Most:
    """The most that a part of a text may have: lines, characters of markup, bytes of markup in a JSON string."""

    lines: int = maxsize
    chars: int = maxsize
    json_bytes: int = maxsize


def truncate(markup: str, chars_max: int) -> str:
    """Cuts markup to so many characters; see `split`."""
    return split(markup, Most(chars=chars_max))[0]


def split(markup: str, most: Most) -> tuple[str, str]:
    """Splits markup into a beginning of at most this size, with an ellipsis if it is not all, and the rest, which is empty
    if all of it fits.

    Markup is never cut within an escape or a link. It is cut between words if a gap is near enough; in a code block, only
    between lines or characters. A code block that is cut is closed in the beginning and opened again in the rest.
    """
    by_lines = _end_of_lines(markup, most.lines)
    if by_lines == len(markup) and _fits(markup, most):
        return markup, ""
    # Leaves space for an ellipsis, a newline or a space, and a fence.
    json_bytes = most.json_bytes if most.json_bytes == maxsize else max(0, most.json_bytes - 8)
    room = Most(most.lines, max(0, most.chars - 5), json_bytes)
    is_by_lines = _fits(markup[:by_lines], room)
    end = by_lines if is_by_lines else _end_of_words(markup, _end_of_size(markup[:by_lines], room))
    kept = markup[:end].rstrip()
    is_in_code = kept.count(_FENCE) % 2 == 1
    if is_in_code and kept.endswith(_FENCE):
        # Nothing of the code block is in the beginning.
        kept = kept[: -len(_FENCE)].rstrip()
        is_in_code = False
    ellipsis = " …" if is_by_lines else "…"
    fence = "" if not is_in_code else _FENCE if is_by_lines else f"\n{_FENCE}"
    rest = markup[len(kept) :].lstrip()
    if is_in_code:
        after = rest.removeprefix(_FENCE)
        rest = after.lstrip() if rest.startswith(_FENCE) else f"{_FENCE}\n{rest}"
    return f"{kept}{ellipsis}{fence}", rest


def json_bytes(text: str) -> int:
    """Returns the number of bytes of a text in a JSON string, without the quotes."""
    escaped = sum(text.count(char) for char in '"\\\n\r\t\b\f')
    if text.isprintable():
        return len(text.encode()) + escaped
    control = sum(1 for char in text if char < " " and char not in "\n\r\t\b\f")
    return len(text.encode()) + escaped + 5 * control


def json_bytes_of(char: str) -> int:
    """Returns the number of bytes of a character in a JSON string."""
    if char in '"\\\n\r\t\b\f':
        return 2
    return 6 if char < " " else len(char.encode())


def _fits(text: str, most: Most) -> bool:
    if len(text) > most.chars:
        return False
    return most.json_bytes == maxsize or json_bytes(text) <= most.json_bytes


def _end_of_lines(markup: str, lines_max: int) -> int:
    """Returns the end of the first lines, without the last newline. If there are more lines, a code block that has to be
    closed leaves a line for its fence."""

    def newline(lines: int) -> int | None:
        at = -1
        for _ in range(min(max(lines, 1), len(markup) + 1)):
            at = markup.find("\n", at + 1)
            if at < 0:
                return None
        return at

    at = newline(lines_max)
    if at is None:
        return len(markup)
    return (newline(max(1, lines_max - 1)) or 0) if _FENCE in markup else at


def _end_of_size(markup: str, most: Most) -> int:
    """Returns the end of the longest beginning that fits and is not within an escape, a link or a fence."""
    end, used = min(len(markup), most.chars), 0
    if most.json_bytes != maxsize:
        for at, char in enumerate(markup[:end]):
            used += json_bytes_of(char)
            if used > most.json_bytes:
                end = at
                break
    for opens, closes in (("<", ">"), ("&", ";")):
        begin = markup.rfind(opens, 0, end)
        if begin >= 0 and markup.find(closes, begin, end) < 0:
            end = begin
    if markup.startswith("`", end):
        # All of a code block's fence, or none of it.
        end = len(markup[:end].rstrip("`"))
    return end


def _end_of_words(markup: str, end: int) -> int:
    """Returns the end of the last word before a cut, if it is near. Within a code block the cut stays: a log has no
    words."""
    kept = markup[:end]
    if markup[end : end + 1].isspace() or kept.count(_FENCE) % 2 == 1:
        return end
    gap = next((at for at in range(end - 1, -1, -1) if kept[at].isspace()), None)
    if gap is None:
        return end
    word = end - gap
    is_near = word <= _WORD_CHARS_MAX and word * 2 <= end and not _is_in_link(kept, gap)
    return gap if is_near else end


def _is_in_link(markup: str, at: int) -> bool:
    """Returns whether a place in markup is within a link, whose title may have gaps."""
    begin = markup.rfind("<", 0, at)
    return begin >= 0 and markup.find(">", begin, at) < 0


def _find_url(text: str) -> int | None:
    at = text.find("http")
    while at >= 0:
        if text.startswith(("http://", "https://"), at):
            return at
        at = text.find("http", at + 4)
    return None


def _url_length(text: str) -> int:
    """Returns the length of the URL at the start of the text, without a closing mark after it."""
    ends = (at for at, char in enumerate(text) if char.isspace() or char in '<>"`|' or is_invisible(char))
    return len(text[: next(ends, len(text))].rstrip(".,;:!?)]}'*_"))
