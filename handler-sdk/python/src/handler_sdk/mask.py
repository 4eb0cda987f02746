"""Masks secrets in text that people will read: logs, error bodies, manifests.

Secrets are recognized by their shape, not by a list of values, so some are missed and now and then a harmless text is
masked. Recognized are PEM blocks, JSON web tokens, tokens with a vendor's prefix (those of gitleaks' rules), passwords in
URLs, `Bearer` and `Basic` credentials, and values under names like `password`, `token` or `api_key`, as `name=value`,
`name: value` or JSON. The rules are those of the Rust SDK (`handler-sdk/src/mask.rs`); both pass the same table of examples.

The host masks Slack messages, log lines and stories again, by all of gitleaks' rules. This module is for text that a
handler cuts, because half a token can no longer be recognized.
"""

from __future__ import annotations

import re

from handler_sdk import _check
from handler_sdk._mask_prefixes import PREFIXES

#: The text that replaces a secret.
MASK = "[masked]"

#: The longest name of a value, and the longest scheme of a URL.
_NAME_CHARS_MAX = 64
#: A value that contains the mask within this distance of its beginning has been masked before.
_MASKED_WITHIN_CHARS = 1 << 10
_ENDLESS = 0xFFFF

#: The alphabets of tokens, each with its bit in `_mask_prefixes.PREFIXES`.
KINDS = ("0-9", "a-f", "g-z", "A-F", "G-Z", r"\-", "_", r"\.", "=", "/", r"\+")
#: Prefixes that the list lacks or for which this module requires more letters, with the least number of letters.
_MORE_PREFIXES = (
    ("GOCSPX-", 16), ("dckr_pat_", 16), ("hvb.", 16), ("hvs.", 16), ("sk-", 24), ("whsec_", 12), ("ya29.", 16),
)  # fmt: skip
_SECRET_NAMES = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "accesskey", "privatekey", "signingkey",
    "encryptionkey", "credential", "authorization", "cookie", "authkey",
)  # fmt: skip
#: Endings of names that contain one of the above and whose values are not secret.
_HARMLESS_ENDINGS = ("name", "count", "type", "file", "path", "length", "expiry", "id")
_SAYS_NOTHING = {"", "null", "nil", "None", "true", "false", "***", "Bearer", "Basic"}


def text(text: str) -> str:
    """Returns the text with secrets masked.

    `connecting to postgres://app:hunter2@db/x` becomes `connecting to postgres://app:[masked]@db/x`.
    """
    text = _check.text(text, "`mask.text`")
    parts: list[str] = []
    copied = at = 0
    while (begin := _START.search(text, at)) is not None:
        at = begin.start()
        found = _find(text, at)
        if found is None:
            at += 1
            continue
        shown, end = found
        parts += (text[copied:shown], MASK)
        copied = at = max(end, at + 1)
    return "".join(parts) + text[copied:] if parts else text


#: A secret begins at a letter, a digit, an underscore or a dash that is not within a word.
_START = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z_-]")
_PEM = re.compile(r"-----BEGIN ((?:(?!-----).)*?)-----", re.DOTALL)
_TOKEN = re.compile(r"[0-9A-Za-z_\-.=/+]*")
_WEB_TOKEN = re.compile(r"eyJ([0-9A-Za-z\-_.]*)")
_SCHEME = re.compile(r"(?:bearer|basic) ", re.IGNORECASE)
_URL_SCHEME = re.compile(r"[0-9A-Za-z+\-.]{0,64}")
_AUTHORITY = re.compile(r"""[^\s/?#"']*""")
_NAME = re.compile(r"[0-9A-Za-z_\-.]{0,65}")
_SEPARATOR = re.compile(r"""[\\"']*[ ]*(?:=>|:=|=|:)[ ]*""")
_QUOTE = re.compile(r"""\\*(["'])""")
_QUOTED_ENDS = {quote: re.compile(rf"[{quote}\n]") for quote in ('"', "'")}
_CREDENTIAL_ENDS = re.compile(r"""[\s"',;&})<>`]""")


def _listed() -> dict[str, list[tuple[str, re.Pattern[str], int]]]:
    """Returns the listed prefixes by their first letter, each with the expression of what follows and its least length."""
    by_letter: dict[str, list[tuple[str, re.Pattern[str], int]]] = {}
    for prefix, kinds, least, most in PREFIXES:
        alphabet = "".join(kind for bit, kind in enumerate(KINDS) if kinds & (1 << bit))
        # A token that is longer than the greatest number of letters is none.
        after = f"[{alphabet}]*" if most == _ENDLESS else f"[{alphabet}]{{0,{most}}}(?![{alphabet}])"
        by_letter.setdefault(prefix[0], []).append((prefix, re.compile(after), least))
    return by_letter


_LISTED = _listed()


def _find(text: str, at: int) -> tuple[int, int] | None:
    """Returns from where to where a secret that begins here is replaced."""
    first = text[at]
    if first == "-":
        return _pem(text, at)
    if first.isdigit():
        return _vendor_token(text, at)
    if first == "_":
        return _vendor_token(text, at) or _named(text, at)
    return _vendor_token(text, at) or _json_web_token(text, at) or _scheme(text, at) or _url(text, at) or _named(text, at)


def _pem(text: str, at: int) -> tuple[int, int] | None:
    """Finds `-----BEGIN PRIVATE KEY-----` up to its end, or to the end of the text if the block was cut off."""
    if not text.startswith("-----BEGIN ", at):
        return None
    label_begins = at + len("-----BEGIN ")
    label_ends = text.find("-----", label_begins)
    label = text[label_begins:label_ends]
    if label_ends < 0 or "\n" in label or "CERTIFICATE" in label or "PUBLIC" in label:
        return None
    begin = label_ends + len("-----")
    end = text.find("-----END ", begin)
    return begin, end if end >= 0 else len(text)


def _vendor_token(text: str, at: int) -> tuple[int, int] | None:
    best: tuple[int, int] | None = None
    for prefix, after, least in _LISTED.get(text[at], ()):
        if text.startswith(prefix, at):
            begin = at + len(prefix)
            found = after.match(text, begin)
            if found and found.end() - begin >= least and (best is None or found.end() >= best[1]):
                best = (begin, found.end())
    if best:
        return best
    for prefix, least in _MORE_PREFIXES:
        if text.startswith(prefix, at):
            begin = at + len(prefix)
            found = _TOKEN.match(text, begin)
            if found and found.end() - begin >= least:
                return begin, found.end()
    return None


def _json_web_token(text: str, at: int) -> tuple[int, int] | None:
    """Finds three parts of base64url, of which the first is an encoded `{"`."""
    # Only from the start of the token: a text of dashes would otherwise be scanned again from each of them.
    if not text.startswith("eyJ", at) or (at > 0 and text[at - 1] in "-_."):
        return None
    found = _WEB_TOKEN.match(text, at)
    parts = found[1].split(".") if found else []
    if found is None or len(parts) < 2 or len(parts[0]) < 5 or len(parts[1]) < 5:
        return None
    return at, found.end()


def _scheme(text: str, at: int) -> tuple[int, int] | None:
    """Finds `Bearer x` and `Basic x`."""
    found = _SCHEME.match(text, at)
    if found is None:
        return None
    begin = found.end()
    end = _credential_end(text, begin)
    credential = text[begin:end]
    # "Basic auth" and "bearer of news" are prose. A credential has a digit, a symbol or at least 16 letters.
    is_prose = len(credential.encode()) < 16 and all("a" <= char <= "z" for char in credential)
    return (begin, end) if credential and not is_prose and credential != MASK else None


def _url(text: str, at: int) -> tuple[int, int] | None:
    """Finds the password of `scheme://user:password@host`."""
    scheme = _URL_SCHEME.match(text, at)
    if scheme is None or not text.startswith("://", scheme.end()):
        return None
    begins = scheme.end() + len("://")
    found = _AUTHORITY.match(text, begins)
    authority = found[0] if found else ""
    host_begins = authority.rfind("@")
    colon = authority.find(":", 0, max(host_begins, 0))
    if host_begins < 0 or colon < 0 or colon + 1 == host_begins:
        return None
    return begins + colon + 1, begins + host_begins


def _named(text: str, at: int) -> tuple[int, int] | None:
    """Finds the value of `name=value`, `name: value`, `"name": "value"` and `name => value`."""
    found = _NAME.match(text, at)
    if found is None or len(found[0]) > _NAME_CHARS_MAX:
        return None
    name = re.sub(r"[_\-.]", "", found[0]).lower()
    if not any(part in name for part in _SECRET_NAMES) or name.endswith(_HARMLESS_ENDINGS):
        return None
    separator = _SEPARATOR.match(text, found.end())
    if separator is None:
        return None
    begin = separator.end()
    opening = _QUOTE.match(text, begin)
    if opening:
        begin = opening.end()
    # Of `Authorization: Bearer x` the name of the scheme stays.
    inner = _scheme(text, begin)
    if inner:
        return inner
    ends = _QUOTED_ENDS[opening[1]] if opening else _CREDENTIAL_ENDS
    # Checked first, and only near the beginning: a hostile text would otherwise be scanned again from each name.
    near_ends = ends.search(text, begin, begin + _MASKED_WITHIN_CHARS)
    if MASK in text[begin : near_ends.start() if near_ends else begin + _MASKED_WITHIN_CHARS]:
        return None
    if opening:
        end = text.find(opening[1], begin)
        end = end if end >= 0 else text.find("\n", begin)
        end = end if end >= 0 else len(text)
    else:
        end = _credential_end(text, begin)
    content = text[begin:end].rstrip("\\")
    return (begin, begin + len(content)) if content not in _SAYS_NOTHING else None


def _credential_end(text: str, begin: int) -> int:
    found = _CREDENTIAL_ENDS.search(text, begin)
    return found.start() if found else len(text)
