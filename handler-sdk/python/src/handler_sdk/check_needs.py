"""Checks an author's source before it is built: that it uses only what its component will have.

`python -m handler_sdk.check_needs [PROJECT]` prints a line for each mistake, with file and line, and exits with 1 if there
are any, with 2 if the project cannot be read. `alert-manager build` runs it.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from handler_sdk import _project
from handler_sdk._project import NEEDS, ProjectError

_HOOKS = ("enrich", "act", "resolved")
#: Modules that a component has no use for, and what to use instead.
_NO_NETWORK = "cannot reach the network from a handler"
_USE_HTTP = f"{_NO_NETWORK}: use cx.http, which the operator grants"
_USE_SLACK = f"{_NO_NETWORK}: use cx.slack, which the operator grants"
_ONE_THREAD = "has no use in a handler, which runs one step on one thread and has no event loop: write plain functions"
_NO_PROGRAM = "cannot start a program from a handler"
_USE_SETTING = "declare a Setting, and read it with cx.setting"
_NO_ENVIRONMENT = f"is empty, since a handler has no environment variables: {_USE_SETTING}"
_NO_FILES = "a handler has no files when it runs: read it at the top of the module, which is built in, or use a setting"
#: The methods of a `pathlib.Path` that read or write a file.
_OF_FILES = {"read_bytes", "read_text", "write_bytes", "write_text"}
_MODULES = {
    "aiohttp": _USE_HTTP,
    "boto3": _USE_HTTP,
    "botocore": _USE_HTTP,
    "ftplib": _USE_HTTP,
    "http.client": _USE_HTTP,
    "httpx": _USE_HTTP,
    "imaplib": _USE_HTTP,
    "kubernetes": _USE_HTTP,
    "paramiko": _USE_HTTP,
    "redis": _USE_HTTP,
    "requests": _USE_HTTP,
    "socket": _USE_HTTP,
    "ssl": _USE_HTTP,
    "urllib.request": _USE_HTTP,
    "urllib3": _USE_HTTP,
    "websockets": _USE_HTTP,
    "smtplib": _USE_HTTP,
    "slack_bolt": _USE_SLACK,
    "slack_sdk": _USE_SLACK,
    "asyncio": _ONE_THREAD,
    "concurrent.futures": _ONE_THREAD,
    "multiprocessing": _ONE_THREAD,
    "anyio": _ONE_THREAD,
    "threading": _ONE_THREAD,
    "trio": _ONE_THREAD,
    "subprocess": _NO_PROGRAM,
    "os.system": _NO_PROGRAM,
    "os.popen": _NO_PROGRAM,
    "os.environ": _NO_ENVIRONMENT,
    "os.getenv": _NO_ENVIRONMENT,
    "sqlite3": "has no file in a handler: keep state in cx.kv",
    "wit_world": "is generated, and its functions fail while the component is built: use cx",
    "handler_sdk.mock": "is for tests: import it in test_*.py",
}
_SKIPPED_FOLDERS = {"build", "dist", "node_modules", "target", "tests", "venv", "__pycache__"}


@dataclass(frozen=True, order=True)
class Finding:
    """A mistake in the source."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def check_source(source: str, needs: tuple[str, ...], file: str = "handler.py") -> list[Finding]:
    """Returns the mistakes in one module, for a component that has these interfaces.

    Raises `SyntaxError` if the source is no Python.
    """
    visitor = _Visitor(file, needs)
    visitor.visit(ast.parse(source, file))
    return sorted(set(visitor.findings))


def check_project(folder: Path) -> list[Finding]:
    """Returns the mistakes in all modules of a project, its tests left out.

    Raises `ProjectError` if the project has no readable `pyproject.toml`; `SyntaxError` if a module is no Python.
    """
    project = _project.read(folder)
    if project is None:
        raise ProjectError(f"{folder / 'pyproject.toml'}: there is no table [tool.alert-manager]")
    findings = []
    for file in _sources(folder):
        source = file.read_text(encoding="utf-8")
        findings += check_source(source, project.needs, str(file.relative_to(folder)))
    return findings


def _sources(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = entry.name
        if entry.is_dir(follow_symlinks=False):
            if name not in _SKIPPED_FOLDERS and not name.startswith("."):
                yield from _sources(Path(entry.path))
        elif name.endswith(".py") and not name.startswith(("test_", "conftest")) and not name.endswith("_test.py"):
            yield Path(entry.path)


class _Visitor(ast.NodeVisitor):
    def __init__(self, file: str, needs: tuple[str, ...]) -> None:
        self.findings: list[Finding] = []
        self._file = file
        self._needs = needs
        #: The names of contexts: `cx`, and parameters and attributes that are annotated with `Context`.
        self._contexts = {"cx"}
        self._classes = 0
        self._functions: list[str] = []

    def _add(self, node: ast.stmt | ast.expr, message: str) -> None:
        self.findings.append(Finding(self._file, node.lineno, message))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._imported(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            return
        module = node.module or ""
        if not self._imported(node, module):
            for alias in node.names:
                self._imported(node, f"{module}.{alias.name}")

    def _imported(self, node: ast.stmt, module: str) -> bool:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name in _MODULES:
                self._add(node, f"`{name}` {_MODULES[name]}")
                return True
        if parts[:2] == ["handler_sdk", "incident"]:
            self._need(node, "handler_sdk.incident", "slack", "kv")
            return True
        return False

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._classes += 1
        self.generic_visit(node)
        self._classes -= 1

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        known = set(self._contexts)
        is_hook = self._classes > 0 and node.name in _HOOKS
        for index, argument in enumerate(arguments):
            if _is_context(argument.annotation) or (is_hook and index == 1):
                self._contexts.add(argument.arg)
        if isinstance(node, ast.AsyncFunctionDef):
            # A call of it without `await` would do nothing, and say nothing.
            self._add(node, f"`{node.name}` is a coroutine: write `def {node.name}`: a handler has no event loop")
        self._functions.append(node.name if is_hook else "")
        self.generic_visit(node)
        self._functions.pop()
        self._contexts = known

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._functions.append("")
        self.generic_visit(node)
        self._functions.pop()

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if _is_context(node.annotation):
            name = _last_name(node.target)
            if name:
                self._contexts.add(name)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        whose = _last_name(node.value)
        if whose == "Context" and node.attr in (*NEEDS, "config", "setting", "log"):
            use = f"cx.{node.attr}"
            self._add(node, f"`Context.{node.attr}` has no host: a hook is given its context, use `{use}` there")
        elif whose in self._contexts and node.attr in NEEDS:
            self._need(node, f"{whose}.{node.attr}", node.attr)
        elif whose == "os" and node.attr in ("environ", "getenv"):
            self._add(node, f"`os.{node.attr}`: a handler has no environment variables: {_USE_SETTING}")
        elif whose == "os" and node.attr in ("system", "popen"):
            self._add(node, f"`os.{node.attr}` {_NO_PROGRAM}")
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        is_top_level = not self._functions and isinstance(node.ctx, ast.Load)
        if node.id == "cx" and is_top_level:
            problem = "`cx` is used at the top of the module, which runs when the component is built"
            self._add(node, f"{problem}: use it in a hook")

    def visit_Call(self, node: ast.Call) -> None:
        is_open = isinstance(node.func, ast.Name) and node.func.id == "open"
        if is_open and any(self._functions):
            self._add(node, f"`open` in a hook: {_NO_FILES}")
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if method in _OF_FILES and any(self._functions):
            self._add(node, f"`{method}` in a hook: {_NO_FILES}")
        self.generic_visit(node)

    def _need(self, node: ast.stmt | ast.expr, use: str, *interfaces: str) -> None:
        if not set(interfaces) <= set(self._needs):
            self._add(node, f"`{use}` is used, but not declared: {_project.line_to_add(self._needs, *interfaces)}")


def _last_name(node: ast.expr) -> str | None:
    """Returns the name of `cx`, and of `self.cx`."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def _is_context(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.rpartition(".")[2] == "Context"
    return annotation is not None and _last_name(annotation) == "Context"


def main(arguments: list[str]) -> int:
    """Checks a project and prints what is wrong; returns the exit code."""
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print("usage: python -m handler_sdk.check_needs [PROJECT]", file=sys.stderr)
        return 2
    try:
        findings = check_project(Path(arguments[0] if arguments else "."))
    except SyntaxError as error:
        print(f"{error.filename}:{error.lineno}: {error.msg}", file=sys.stderr)
        return 1
    except (ProjectError, OSError, UnicodeDecodeError) as error:
        print(error, file=sys.stderr)
        return 2
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
