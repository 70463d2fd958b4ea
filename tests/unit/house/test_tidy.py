"""The house rules a linter does not know (docs/style.md), checked on every file that git knows or would add."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("raftstore", "apiserver", "controlplane", "nodeagent", "jepsen", "tools/kmini", "tools/kminictl")
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
LINE_LENGTH_MAX = 120
#: Assembled, so that this file does not break its own rule.
BANNED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")
EVERYTHING = {"Exception", "BaseException"}


@cache
def known_files() -> tuple[Path, ...]:
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = sorted(set(listed.stdout.decode().split("\0")) - {""})
    return tuple(path for path in (ROOT / name for name in names) if path.is_file())


def python_files(*folders: str) -> list[Path]:
    wanted = [ROOT / folder for folder in folders or (".",)]
    return [
        path for path in known_files() if path.suffix == ".py" and any(path.is_relative_to(place) for place in wanted)
    ]


def shown(path: Path, line: int = 0) -> str:
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_there_are_files_to_check() -> None:
    assert len(python_files("raftstore")) >= 10


def test_files_have_at_most_500_lines() -> None:
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert {name: length for name, length in lengths.items() if length > FILE_LINES_MAX} == {}


def test_functions_have_at_most_60_lines() -> None:
    found = [
        f"{shown(path, node.lineno)} {node.name}"
        for path in python_files()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not found, "\n".join(found)


def test_lines_have_at_most_120_characters() -> None:
    found = [
        shown(path, number)
        for path in known_files()
        if path.suffix in (".sh", ".toml", ".proto") or path.name in ("Makefile", "bootstrap", "run")  # .py: ruff
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > LINE_LENGTH_MAX
    ]
    assert not found, "\n".join(found)


def test_nothing_is_left_for_later_in_the_code() -> None:
    found = [
        shown(path, number)
        for path in known_files()
        if path.suffix in (".py", ".sh", ".md", ".proto", ".toml")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if BANNED.search(line)
    ]
    assert not found, "\n".join(found)


def test_every_module_of_ours_says_what_it_is_for() -> None:
    found = [
        shown(path)
        for path in python_files(*ROOMS)
        if path.name != "__main__.py" and not (ast.get_docstring(tree_of(path)) or "").strip()
    ]
    assert not found, "\n".join(found)


def imported_names(path: Path) -> list[tuple[str, int]]:
    """Absolute names a file imports, with the line."""
    names = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.append((node.module, node.lineno))
    return names


def test_no_pickle_anywhere() -> None:
    """Bytes of a socket or a file must never become code (docs/architecture.md, section 5)."""
    pickles = {"pickle", "cPickle", "_pickle", "shelve", "marshal", "dill", "cloudpickle"}
    found = [
        f"{shown(path, line)} {name}"
        for path in python_files(*ROOMS)
        for name, line in imported_names(path)
        if name.split(".")[0] in pickles
    ]
    assert not found, "\n".join(found)


def test_libraries_do_not_print() -> None:
    found = [
        shown(path, node.lineno)
        for path in python_files(*ROOMS)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not found, "\n".join(found)


def catches_everything(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id in EVERYTHING)


def test_no_error_is_swallowed_in_silence() -> None:
    found = [
        shown(path, node.lineno)
        for path in python_files()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler) and catches_everything(node)
        if all(isinstance(statement, ast.Pass | ast.Continue | ast.Expr) for statement in node.body)
        and not any(isinstance(inner, ast.Call) for statement in node.body for inner in ast.walk(statement))
    ]
    assert not found, "\n".join(found)


def test_tests_folders_are_no_packages() -> None:
    """importlib mode: helpers live in tests/support under unique names."""
    assert [shown(path) for path in python_files("tests") if path.name == "__init__.py"] == []


def module_name(path: Path) -> str:
    relative = path.relative_to(ROOT / "tools" if path.is_relative_to(ROOT / "tools") else ROOT)
    return ".".join(relative.with_suffix("").parts).removesuffix(".__init__")


def resolved_imports(path: Path) -> set[str]:
    """Every module a file may mean by its imports and by strings that look like one of ours."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.add(module)
            found |= {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # modules imported by name, as the command line does
    return found


def test_no_file_is_dead() -> None:
    """Every module is imported by another one of ours, by a test, or run with -m."""
    modules = {module_name(path): path for path in python_files(*ROOMS)}
    used: set[str] = set()
    for path in python_files():
        used |= resolved_imports(path) - {module_name(path)}
    entries = {name for name, path in modules.items() if path.name in ("__init__.py", "__main__.py")}
    entries |= {"kmini.cli", "kminictl.cli"}  # the console scripts of pyproject.toml
    runnable = {name for name, path in modules.items() if '__name__ == "__main__"' in path.read_text(encoding="utf-8")}
    dead = sorted(set(modules) - used - entries - runnable)
    assert not dead, "\n".join(dead)


@pytest.mark.parametrize("name", ["Makefile", ".ci/run", "tools/bootstrap", "requirements.lock"])
def test_the_house_names_no_registry(name: str) -> None:
    """The lock installs from whichever index pip is set up for."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"https?://|index-url|find-links|trusted-host", text)


def test_every_locked_requirement_has_a_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if re.match(r"^[A-Za-z0-9]", line)]
    assert len(pinned) > 30
    assert [line for line in pinned if not line.endswith(" \\")] == []
    assert sum(line.strip().startswith("--hash=sha256:") for line in lines) >= len(pinned)
