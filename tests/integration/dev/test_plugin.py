"""The pytest plug-in as somebody else's tests use it: in a pytest of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kmini_process import environment

TESTS = """
import asyncio

from apiserver.api.core.config import ConfigMap
from apiserver.api.meta import ObjectMeta

seen = []


async def create(kmini):
    async with kmini.client as client:
        assert client.namespace == kmini.namespace
        made = await client.create(ConfigMap(metadata=ObjectMeta(name="mine")))
        return made.metadata.namespace


def test_one(kmini):
    seen.append((asyncio.run(create(kmini)), kmini.control_plane))
    assert seen[0][0].startswith("test-one-")


def test_another_has_a_namespace_of_its_own_in_the_same_control_plane(kmini):
    seen.append((asyncio.run(create(kmini)), kmini.control_plane))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] is seen[1][1]


def test_a_fault_that_is_left(kmini):
    kmini.partition()


def test_is_healed_before_the_next(kmini):
    assert kmini.kubeconfig.exists()
    assert len(kmini.servers) == REPLICAS
    assert kmini.leader
    asyncio.run(create(kmini))
"""


def run_pytest(folder: Path, *arguments: str, text: str = TESTS) -> str:
    """What it says; asserts that it went well."""
    (folder / "test_theirs.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "kmini.testing", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_replica_is_the_habit(tmp_path: Path) -> None:
    assert "4 passed" in run_pytest(tmp_path, text=TESTS.replace("REPLICAS", "1"))


def test_three_replicas_on_demand(tmp_path: Path) -> None:
    assert "4 passed" in run_pytest(tmp_path, "--kmini-replicas", "3", text=TESTS.replace("REPLICAS", "3"))


def test_who_does_not_use_it_pays_next_to_nothing(tmp_path: Path) -> None:
    text = """
import sys

def test_theirs():
    assert not {"apiserver", "raftstore", "aiohttp", "uvloop"} & set(sys.modules)
"""
    assert "1 passed" in run_pytest(tmp_path, text=text)


def test_both_fixtures_say_what_they_are(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, "--fixtures", text="")
    assert "kmini_control_plane [session scope]" in said
    assert "a namespace of this test's own" in said
