"""The severity of an alert: one table of the names that rules use for it."""

from __future__ import annotations

from enum import Enum


class Severity(Enum):
    """The severity of an alert, according to its labels."""

    CRITICAL = "critical"
    """A person has to act now."""
    WARNING = "warning"
    """A person has to act today."""
    INFO = "info"
    """For information."""
    UNKNOWN = "unknown"
    """The alert gives no severity, or one that is not in the table."""

    @staticmethod
    def of_word(word: str) -> Severity:
        """Returns the severity that a name stands for, ignoring case; `UNKNOWN` if it is not in `WORDS`."""
        word = word.strip()
        return _BY_WORD.get(word.lower(), Severity.UNKNOWN) if word.isascii() else Severity.UNKNOWN


#: The names in lower case, as the Rust SDK and the server have them.
WORDS: dict[Severity, tuple[str, ...]] = {
    Severity.CRITICAL: (
        "critical", "crit", "page", "pager", "paging", "emergency", "emerg", "fatal", "panic", "disaster", "high",
        "highest", "major", "severe", "error", "err", "alert", "urgent", "blocker", "down", "p0", "p1", "sev0", "sev1",
        "sev-0", "sev-1", "s0", "s1",
    ),
    Severity.WARNING: (
        "warning", "warn", "average", "medium", "moderate", "minor", "ticket", "p2", "p3", "sev2", "sev3", "sev-2",
        "sev-3", "s2", "s3",
    ),
    Severity.INFO: (
        "info", "information", "informational", "notice", "normal", "low", "lowest", "trivial", "debug", "verbose",
        "none", "ok", "not classified", "p4", "p5", "sev4", "sev5", "sev-4", "sev-5", "s4", "s5",
    ),
}  # fmt: skip

_BY_WORD = {word: severity for severity, words in WORDS.items() for word in words}
