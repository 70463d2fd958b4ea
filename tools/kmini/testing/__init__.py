"""The pytest plug-in: a control plane for the session, a fresh namespace for each test (docs/testing.md).

Registered as entry point `kmini.testing`, so it is loaded into every pytest run where kmini is installed: importing it
costs next to nothing, and what runs a control plane is imported when the first test asks for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kmini.dev.control_plane import ControlPlane

    from .fixture import Kmini

_NAME_CHARACTERS_MAX = 40


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "Replicas of the control plane that the fixture `kmini` gives: 1 or 3."
    parser.getgroup("kmini").addoption("--kmini-replicas", choices=("1", "3"), help=text)
    parser.addini("kmini_replicas", text, default="1")


@pytest.fixture(scope="session")
def kmini_control_plane(pytestconfig: pytest.Config) -> Iterator[ControlPlane]:
    """The control plane that all tests of the session share."""
    from kmini.dev.control_plane import ControlPlane

    wanted = pytestconfig.getoption("--kmini-replicas") or pytestconfig.getini("kmini_replicas")
    if wanted not in ("1", "3"):
        raise pytest.UsageError(f"kmini_replicas must be 1 or 3, not {wanted!r}")
    with ControlPlane(replicas=int(wanted)) as plane:
        yield plane


@pytest.fixture
def kmini(
    kmini_control_plane: ControlPlane, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kmini]:
    """The control plane, with a namespace of this test's own. Faults that it made are healed at its end."""
    from .fixture import Kmini

    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:_NAME_CHARACTERS_MAX].strip("-") or "test"
    folder: Path = tmp_path_factory.mktemp("kmini")
    with Kmini(kmini_control_plane, folder, prefix=f"{name}-") as found:
        yield found
