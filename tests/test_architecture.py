"""The shape of the package: who may import whom, how long a file is, that each says what it is for.

Imports are read from the source, wherever they stand in it, also those for type checkers only.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "trionode"
FILE_MAX_LINES = 450

LEAVES = {"errors", "ids"}
"""Modules of the package that every layer may import."""

ALLOWED = {
    "errors": set(),
    "ids": set(),
    "logs": set(),
    "schema": set(),
    "query": set(),
    "routing": set(),
    "wire": {"schema.definition"},
    "inspection": {"routing", "wire.link_frames"},
    "net": {"wire"},
    "store": {"routing", "query", "schema.definition", "logs"},
    "client": {"net", "wire", "schema", "logs"},
    "config": {"net", "routing"},
    "simulation": {"routing", "inspection", "store", "wire.link_frames"},
    "node": {
        "net",
        "store",
        "wire",
        "routing",
        "inspection",
        "query",
        "schema",
        "config",
        "logs",
    },
}
"""Layer -> what else of the package it may import, with all that is in it. The command, the
package's own `__init__` and what users' tests import may import anything."""

FREE = {"cli", "testing", "__init__", "__main__"}

PURE = {"routing", "inspection", "wire", "schema", "query", "errors", "ids"}
IMPURE_MODULES = {
    "asyncio",
    "concurrent",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "queue",
    "random",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "sqlite3",
    "structlog",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "trio",
    "uuid",
}
"""What does I/O, reads a clock, draws random numbers or runs on its own."""
IMPURE_CALLS = {"open", "print", "input"}
"""The same among builtins."""

FILES = sorted(PACKAGE.rglob("*.py"))


def source(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imports(path: Path) -> set[str]:
    """The full names of what a file imports: `a.b` for both `import a.b` and `from a import b`."""
    found: set[str] = set()
    for statement in ast.walk(source(path)):
        if isinstance(statement, ast.Import):
            found.update(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{path} has a relative import"
            found.update(f"{statement.module}.{alias.name}" for alias in statement.names)
    return found


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_under(name: str, roots: set[str]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_layer_is_known() -> None:
    assert {layer(path) for path in FILES} - set(ALLOWED) - FREE == set()


def test_allowed_imports_make_no_circle() -> None:
    left = {layer: {name.split(".")[0] for name in names} for layer, names in ALLOWED.items()}
    while left:
        bottom = {layer for layer, names in left.items() if not names & set(left)}
        assert bottom, f"a circle among {sorted(left)}"
        left = {layer: names for layer, names in left.items() if layer not in bottom}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_layer_imports_only_what_lies_below_it(path: Path) -> None:
    if layer(path) in FREE:
        return
    allowed = {f"trionode.{part}" for part in LEAVES | ALLOWED[layer(path)] | {layer(path)}}
    own = {imported for imported in imports(path) if is_under(imported, {"trionode"})}
    assert {imported for imported in own if not is_under(imported, allowed)} == set()


@pytest.mark.parametrize("path", [path for path in FILES if layer(path) in PURE], ids=name)
def test_a_pure_layer_does_no_io_and_reads_no_clock(path: Path) -> None:
    assert {found for found in imports(path) if is_under(found, IMPURE_MODULES)} == set()
    calls = {
        node.func.id
        for node in ast.walk(source(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls & IMPURE_CALLS == set()


@pytest.mark.parametrize("path", [path for path in FILES if layer(path) in PURE], ids=name)
def test_a_pure_layer_takes_the_time_as_an_argument(path: Path) -> None:
    clocks = {"now", "utcnow", "today", "fromtimestamp"}
    calls = {
        node.func.attr
        for node in ast.walk(source(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"datetime", "date"}
    }
    assert calls & clocks == set()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_says_at_its_top_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(source(path))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_has_one_job_and_so_few_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_MAX_LINES


def test_pytest_trio_is_imported_in_one_file_at_most() -> None:
    every = [
        path for folder in ("trionode", "tests", "fuzz") for path in (ROOT / folder).rglob("*.py")
    ]
    users = [
        path for path in every if any(is_under(found, {"pytest_trio"}) for found in imports(path))
    ]
    assert len(users) <= 1, users


def test_nothing_of_the_package_imports_what_only_tests_need() -> None:
    only_tests = {"pytest", "hypothesis", "coverage", "tests"}
    for path in FILES:
        if layer(path) != "testing":
            assert not [found for found in imports(path) if is_under(found, only_tests)], path
