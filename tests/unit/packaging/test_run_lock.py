"""What `make up` installs is a part of the lock that is whole: whatever one of its packages needs is in it too."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def normal(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found.group()).lower()


@pytest.fixture(scope="module")
def part() -> str:
    command = [sys.executable, str(ROOT / "tools" / "run_lock")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def names(lock: str) -> set[str]:
    return {normal(each) for each in re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==", lock, flags=re.MULTILINE)}


def test_it_has_what_the_package_asks_for_with_the_locks_own_words(part: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = project["project"]["dependencies"] + project["build-system"]["requires"]
    assert {normal(each) for each in asked} <= names(part)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert all(f"{block}\n" in f"{lock}\n" for block in re.split(r"\n(?=\w)", part.rstrip("\n")))
    assert names(part).isdisjoint({"pytest", "mypy", "kubernetes", "schemathesis"})
    assert len(names(part)) < len(names(lock)) / 2


def test_whatever_one_of_them_needs_here_is_in_it(part: str) -> None:
    needed = {
        name: {normal(each) for each in importlib.metadata.requires(name) or () if _applies(each)}
        for name in names(part)
    }
    assert {name: more - names(part) for name, more in needed.items() if more - names(part)} == {}


def _applies(requirement: str) -> bool:
    from packaging.requirements import Requirement

    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate({"extra": ""})
