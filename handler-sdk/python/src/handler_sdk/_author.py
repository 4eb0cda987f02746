"""Finds the author's own line, to name it in messages."""

from __future__ import annotations

import inspect
import os
import re
import sys
from types import TracebackType
from typing import Any

_SDK = os.path.dirname(os.path.abspath(__file__)) + os.sep
_STANDARD_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep

#: The folder of the author's module, with a separator at its end; set when a component is built.
_root: str | None = None


def set_root(folder: str) -> None:
    """Sets the folder below which file names are shown without it."""
    global _root
    _root = folder.rstrip(os.sep) + os.sep


def is_own(filename: str) -> bool:
    """Returns whether a file is the author's: neither the SDK's nor Python's."""
    if filename.startswith(("<", _SDK)):
        return False
    if _root is not None:
        return filename.startswith(_root)
    inside = filename.startswith(_STANDARD_LIBRARY)
    return not inside or "site-packages" in filename


def shown(filename: str) -> str:
    """Returns a file's name as the author knows it: relative to the project, or to the working directory."""
    if sys.platform == "wasi":
        # componentize-py calls the folders that it was given /0, /1, ….
        return re.sub(r"^/\d+/", "", filename)
    for folder in (_root, os.path.abspath(os.curdir) + os.sep):
        if folder and filename.startswith(folder):
            return filename[len(folder) :]
    return filename


def line() -> str:
    """Returns the author's line that is running, as `handler.py:12`; empty if there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        if is_own(frame.f_code.co_filename):
            return f"{shown(frame.f_code.co_filename)}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""


def line_of_error(traceback: TracebackType | None) -> str:
    """Returns the author's innermost line in a traceback, as `handler.py:12`; empty if there is none."""
    found = ""
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if is_own(filename):
            found = f"{shown(filename)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found


def line_of(function: Any) -> str:
    """Returns where a function or a class begins, as `handler.py:12`; empty if that is not known."""
    function = inspect.unwrap(function) if callable(function) else function
    code = getattr(function, "__code__", None)
    if code is not None:
        return f"{shown(code.co_filename)}:{code.co_firstlineno}"
    begins = getattr(function, "__firstlineno__", None)
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    filename = getattr(module, "__file__", None)
    if filename is None:
        return ""
    if begins is None:
        try:
            begins = inspect.getsourcelines(function)[1]
        except (OSError, TypeError):
            return shown(filename)
    return f"{shown(filename)}:{begins}"


def at(place: str, message: str) -> str:
    """Returns a message after the place that it is about."""
    return f"{place}: {message}" if place else message
