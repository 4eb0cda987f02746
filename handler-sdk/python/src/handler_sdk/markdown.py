"""Converts Markdown, as handlers write it in an enrichment, to Slack's mrkdwn."""

from __future__ import annotations

from handler_sdk.alert import web_url
from handler_sdk.mrkdwn import Mrkdwn, escape

#: The part of a text that is converted; a section shows less.
_CHARS_MAX = 4_000
_EMPHASIS = (("**", "*"), ("__", "*"), ("~~", "~"), ("*", "_"), ("_", "_"))
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def to_mrkdwn(markdown: str) -> Mrkdwn:
    """Converts paragraphs, headings, emphasis, code, links and lists; anything else stays as text."""
    shown: list[str] = []
    lines = iter(markdown[:_CHARS_MAX].split("\n"))
    for line in lines:
        if line.lstrip().startswith("```"):
            code = []
            for inner in lines:
                if inner.lstrip().startswith("```"):
                    break
                code.append(inner)
            shown.append(Mrkdwn().preformatted("\n".join(code)).markup)
        elif line or shown:
            shown.append(_line(line.removesuffix("\r")))
    return Mrkdwn.raw("\n".join(shown).strip())


def _line(line: str) -> str:
    text = line.lstrip()
    indent = line[: len(line) - len(text)]
    heading = text.lstrip("#")
    if 1 <= len(text) - len(heading) <= 6 and heading.startswith(" "):
        # Emphasis within a heading would end the heading's own.
        plain = heading.strip().rstrip("#").replace("**", "").replace("__", "")
        return Mrkdwn().bold(plain.strip()).markup
    if text.startswith(("- ", "* ", "+ ")):
        return f"{indent}• {_inline(text[2:])}"
    if text.startswith(">"):
        return f"> {_inline(text[1:].lstrip())}"
    return indent + _inline(text)


def _inline(text: str) -> str:
    out, at = [], 0
    while at < len(text):
        opens = at == 0 or not text[at - 1].isalnum()
        markup, taken = _piece(text[at:], opens)
        out.append(markup)
        at += taken
    return "".join(out)


def _piece(text: str, opens: bool) -> tuple[str, int]:
    """Returns the markup of what the text begins with, and how many characters that is."""
    found = _code(text) or _link(text) or (_emphasis(text) if opens else None) or _bare_url(text) or _escaped(text)
    return found or (escape(text[0]), 1)


def _code(text: str) -> tuple[str, int] | None:
    end = text.find("`", 1) if text.startswith("`") else -1
    return (Mrkdwn().code(text[1:end]).markup, end + 1) if end > 1 else None


def _link(text: str) -> tuple[str, int] | None:
    """Converts `[title](url)`, and `![title](url)`, whose picture becomes a link."""
    start = text.removeprefix("!")
    if not start.startswith("["):
        return None
    title, middle, rest = start[1:].partition("](")
    url, end, _ = rest.partition(")")
    if not middle or not end or "\n" in title or "[" in title:
        return None
    target = (url.split() or [""])[0]
    taken = len(text) - len(start) + len(title) + len(url) + 4
    return Mrkdwn().link(target, title or target).markup, taken


def _emphasis(text: str) -> tuple[str, int] | None:
    for mark, slack in _EMPHASIS:
        if not text.startswith(mark):
            continue
        end = text.find(mark, len(mark))
        content = text[len(mark) : end]
        closes = end >= 0 and not text[end + len(mark) :][:1].isalnum()
        if closes and content and content.strip() == content:
            return f"{slack}{_inline(content)}{slack}", end + len(mark)
    return None


def _bare_url(text: str) -> tuple[str, int] | None:
    """Copies a URL unchanged, so that `_` and `*` in it are not taken for emphasis."""
    if not text.startswith(("https://", "http://")):
        return None
    ends = (at for at, char in enumerate(text) if char.isspace() or char in '<>"`)|')
    url = text[: next(ends, len(text))].rstrip(".,;:!?")
    return (Mrkdwn().link(url, url).markup, len(url)) if web_url(url) else None


def _escaped(text: str) -> tuple[str, int] | None:
    """Handles a backslash, which makes the character after it literal."""
    is_escape = len(text) > 1 and text[0] == "\\" and text[1] in _PUNCTUATION
    return (escape(text[1]), 2) if is_escape else None
