"""What the killed left behind goes; what somebody has, or may be about to have, stays."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest
from virtual_time import run

from nodeagent.housekeeping.leftovers import UNUSED_FOR_S, Leftovers, Places
from nodeagent.runtime import cgroups
from nodeagent.runtime.interface import PodKey, RuntimeFailure, Sandbox, Unavailable


class World:
    def __init__(self, folder: Path) -> None:
        self.places = Places(
            logs=folder / "logs", leases=folder / "addresses", group=f"/kmini-test-{secrets.token_hex(4)}/kubepods"
        )
        self.sandboxes: list[Sandbox] = []
        self.failure: RuntimeFailure | None = None
        self.leftovers = Leftovers(self.list_sandboxes, self.places)

    async def list_sandboxes(self) -> Sequence[Sandbox]:
        if self.failure is not None:
            raise self.failure
        return self.sandboxes

    def sandbox(self, uid: str, sandbox_id: str) -> None:
        pod = PodKey(namespace="default", name=f"pod-{uid}", uid=uid)
        self.sandboxes.append(Sandbox(id=sandbox_id, pod=pod, attempt=0, ready=True, created_at=0.0))

    def log(self, uid: str) -> Path:
        path = self.places.logs / f"default_pod-{uid}_{uid}"
        (path / "main").mkdir(parents=True)
        (path / "main" / "0.log").write_text("said\n")
        return path

    def lease(self, address: str, content: str) -> Path:
        folder = self.places.leases / "kmini"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lock").touch()
        (folder / "last_reserved_ip.0").write_text(address)
        (folder / address).write_text(content)
        return folder / address


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_nobody_has_goes_after_a_while(world: World) -> None:
    world.sandbox("there", "s1")
    stays = [world.log("there"), world.lease("10.244.1.2", "s1\neth0")]
    goes = [world.log("gone"), world.lease("10.244.1.3", "s2\r\neth0"), world.lease("10.244.1.4", "")]

    async def story() -> None:
        assert await world.leftovers.sweep() == []
        await asyncio.sleep(UNUSED_FOR_S - 1)
        assert await world.leftovers.sweep() == [], "a sandbox may be in the making"
        await asyncio.sleep(1)
        assert set(await world.leftovers.sweep()) == set(goes)
        assert all(path.exists() for path in stays)
        assert not any(path.exists() for path in goes)
        assert (world.places.leases / "kmini" / "last_reserved_ip.0").exists()

    run(story())


def test_one_that_cannot_go_keeps_no_other(world: World) -> None:
    goes = world.log("gone")
    stays = world.places.logs / "a-file"
    stays.touch()

    async def story() -> None:
        await world.leftovers.sweep()
        await asyncio.sleep(UNUSED_FOR_S)
        assert await world.leftovers.sweep() == [goes]
        assert (goes.exists(), stays.exists()) == (False, True)

    run(story())


def test_what_was_somebodys_in_between_begins_anew(world: World) -> None:
    log = world.log("late")

    async def story() -> None:
        await world.leftovers.sweep()
        await asyncio.sleep(UNUSED_FOR_S)
        world.sandbox("late", "s1")
        assert await world.leftovers.sweep() == []
        world.sandboxes.clear()
        assert await world.leftovers.sweep() == []
        assert log.exists()

    run(story())


def test_nothing_goes_without_an_answer(world: World) -> None:
    log = world.log("there")

    async def story() -> None:
        await world.leftovers.sweep()
        await asyncio.sleep(UNUSED_FOR_S)
        world.failure = Unavailable("it does not answer")
        with pytest.raises(Unavailable):
            await world.leftovers.sweep()
        assert log.exists()

    run(story())


@pytest.mark.skipif(
    os.geteuid() != 0 or not any(os.access(each, os.W_OK) for each in cgroups.hierarchies()),
    reason="control groups are root's",
)
def test_groups_of_pods_that_are_gone_go(world: World) -> None:
    tops = cgroups.groups(world.places.group)
    try:
        for top in tops:
            (top / "podgone" / "container").mkdir(parents=True)
            (top / "podthere").mkdir()
        world.sandbox("there", "s1")

        async def story() -> None:
            await world.leftovers.sweep()
            await asyncio.sleep(UNUSED_FOR_S)
            await world.leftovers.sweep()
            for top in tops:
                assert (top / "podthere").exists()
                assert not (top / "podgone").exists()

        run(story())
    finally:
        assert cgroups.remove(world.places.group.rpartition("/")[0])
