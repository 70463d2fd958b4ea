"""What a node knew last of Services and other nodes serves until the API answers: noted, recalled, replaced."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fake_api import FakeApi
from service_objects import endpoint, piece, service
from virtual_time import run

from apiserver.api.core.node import Node, NodeAddress, NodeSpec, NodeStatus
from apiserver.api.core.pod import Pod, PodCondition, PodStatus
from apiserver.api.core.references import ObjectReference
from apiserver.api.discovery import Endpoint
from apiserver.api.meta import ObjectMeta
from nodeagent.conditions import NETWORK_UP, READY
from nodeagent.network import memory as module
from nodeagent.network.dns_records import Records
from nodeagent.network.memory import EVERY_S, SILENCE_S, Memory
from nodeagent.network.proxy import service_informer, slice_informer
from nodeagent.network.routing import node_informer

AGENT = "agent"  # the name of its client
HERE, ELSEWHERE = "10.244.1.2", "10.244.2.2"


def of_pod(address: str, uid: str, node: str) -> Endpoint:
    reference = ObjectReference(kind="Pod", name=uid, namespace="default", uid=uid)
    return msgspec.structs.replace(endpoint(address, node=node, ready=True), target_ref=reference)


def node(name: str, number: int) -> Node:
    return Node(
        metadata=ObjectMeta(name=name),
        spec=NodeSpec(pod_cidr=f"10.244.{number}.0/24"),
        status=NodeStatus(addresses=[NodeAddress(type="InternalIP", address=f"192.0.2.{number}")]),
    )


def status(address: str, *, network: bool = True, ready: bool = True) -> PodStatus:
    true = {NETWORK_UP: network, READY: ready}
    conditions = [PodCondition(type=type_, status=str(holds)) for type_, holds in true.items()]
    return PodStatus(pod_ip=address, conditions=conditions)


def pod(uid: str) -> Pod:
    return Pod(metadata=ObjectMeta(name=uid, namespace="default", uid=uid))


class World:
    """An API, and an agent's copies with their memory."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "cluster.json"
        self.api = FakeApi()
        self.api.faults.of = (AGENT,)
        self.api.put(service("web"))
        self.api.put(piece("web", of_pod(HERE, "here", "n1"), of_pod(ELSEWHERE, "elsewhere", "n2")))
        self.api.put(node("n1", 1))
        self.api.put(node("n2", 2))

    def cut(self) -> None:
        self.api.faults.refused = self.api.faults.watch_break = 1.0
        self.api.break_watches()

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Memory]:
        client = self.api.client(AGENT)
        self.services, self.slices, self.nodes = service_informer(client), slice_informer(client), node_informer(client)
        self.records = Records(self.services, self.slices, domain="cluster.local")
        made = Memory(self.path, self.services, self.slices, self.nodes)
        async with self.services, self.slices, self.nodes:
            running = asyncio.create_task(made.run())
            try:
                yield made
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def noted(self) -> None:
        """By an agent that ran while the API was there."""
        async with self.agent():
            await asyncio.sleep(2 * EVERY_S)
        self.cut()

    def backends(self) -> list[tuple[str, bool | None]]:
        return [(place.addresses[0], place.conditions.ready) for each in self.slices.cache for place in each.endpoints]


def story(folder: Path, body: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def told() -> None:
        await body(World(folder))

    run(told())


def test_it_serves_once_the_api_has_been_silent_and_until_it_answers(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.noted()
        async with world.agent():
            await asyncio.sleep(SILENCE_S - 1)
            assert not world.services.known.is_set()
            assert not world.records.ready
            await asyncio.sleep(2)
            assert world.records.ready
            assert [each.spec.cluster_ip for each in world.services.cache] == ["10.96.0.5"]
            assert world.backends() == [(HERE, True), (ELSEWHERE, True)]
            assert [each.spec.pod_cidr for each in world.nodes.cache] == ["10.244.1.0/24", "10.244.2.0/24"]
            assert world.nodes.known.is_set()
            assert not world.nodes.synced.is_set(), "nothing may be removed by a memory"
            world.api.put(piece("web", of_pod("10.244.3.3", "new", "n3")))
            world.api.remove(Node, "n2", "")
            world.api.heal()
            await world.slices.wait_for_sync(timeout_s=120)
            await world.nodes.wait_for_sync(timeout_s=120)
            assert world.backends() == [("10.244.3.3", True)]
            assert [each.metadata.name for each in world.nodes.cache] == ["n1"]

    story(tmp_path, body)


def test_nothing_is_recalled_while_the_api_answers(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.noted()
        world.api.heal()
        world.path.write_bytes(world.path.read_bytes().replace(b"10.96.0.5", b"10.96.0.6"))
        async with world.agent():
            await world.services.wait_for_sync()
            await asyncio.sleep(2 * SILENCE_S)
            assert [each.spec.cluster_ip for each in world.services.cache] == ["10.96.0.5"]

    story(tmp_path, body)


def test_pods_of_this_node_are_where_they_are_now(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.noted()
        async with world.agent() as memory:
            memory.said(pod("here"), status(HERE, network=False, ready=False))  # its sandbox went with the power
            await asyncio.sleep(SILENCE_S + 1)
            assert world.backends() == [(ELSEWHERE, True)]
            memory.said(pod("here"), status("10.244.1.9", ready=False))
            assert world.backends() == [("10.244.1.9", False), (ELSEWHERE, True)]
            memory.said(pod("here"), status("10.244.1.9"))
            assert world.backends() == [("10.244.1.9", True), (ELSEWHERE, True)]
            memory.said(pod("another"), status("10.244.1.7"))
            assert len(world.backends()) == 2
            world.api.heal()
            await world.slices.wait_for_sync(timeout_s=120)
            assert world.backends() == [(HERE, True), (ELSEWHERE, True)], "the API's word"
            for informer in (world.services, world.nodes):
                await informer.wait_for_sync(timeout_s=120)
            await asyncio.sleep(1)
            memory.said(pod("here"), status("10.244.1.11"))
            assert world.backends() == [(HERE, True), (ELSEWHERE, True)]
            assert memory._own == {}, "nothing is kept for nobody"

    story(tmp_path, body)


def test_what_runs_on_is_as_the_api_said(tmp_path: Path) -> None:
    """An agent that starts anew has not probed its pods yet: they do not lose their place by that."""

    async def body(world: World) -> None:
        await world.noted()
        async with world.agent() as memory:
            await asyncio.sleep(SILENCE_S + 1)
            memory.said(pod("here"), status(HERE, ready=False))
            assert world.backends() == [(HERE, True), (ELSEWHERE, True)]

    story(tmp_path, body)


def test_it_is_written_when_something_changed_and_not_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[float] = []
    looks: list[Path] = []

    def read_and_count(path: Path) -> bytes:
        looks.append(path)
        return read_bytes(path)

    read_bytes = Path.read_bytes

    def count(path: Path, data: bytes, *, secret: bool = False) -> None:
        assert secret
        written.append(asyncio.get_running_loop().time())
        path.write_bytes(data)

    async def body(world: World) -> None:
        monkeypatch.setattr(module, "write_file", count)
        async with world.agent():
            await asyncio.sleep(1)
            assert len(written) == 1
            for number in range(40):
                world.api.put(piece("web", of_pod(f"10.244.3.{number + 1}", "new", "n3")))
                await asyncio.sleep(0.5)
            await asyncio.sleep(2 * EVERY_S)
            assert 2 < len(written) <= 2 + 20 / EVERY_S
            assert all(later - earlier >= EVERY_S for earlier, later in pairwise(written))
            before = len(written)
            monkeypatch.setattr(Path, "read_bytes", read_and_count)
            for number in range(10):  # a pulse, as the node's status has one
                found = world.api.get(Node, "n2", "")
                assert found is not None
                found.status.node_info.kernel_version = f"6.{number}"
                world.api.put(found)
                await asyncio.sleep(EVERY_S)
            assert len(written) == before, "nothing that matters"
            assert looks == [], "nobody even looked"

    story(tmp_path, body)


def test_only_root_may_read_it(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.noted()
        assert world.path.stat().st_mode & 0o777 == 0o600

    story(tmp_path, body)


LATER = b'{"format": 2, "services": [], "slices": [], "nodes": []}'


@pytest.mark.parametrize("damage", [b"", b"[{", b"[]", LATER, b'{"format": 1}', b"\0" * (17 << 20)])
def test_a_damaged_file_is_as_none(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def body(world: World) -> None:
        world.cut()
        world.path.write_bytes(damage)
        async with world.agent() as memory:
            memory.said(pod("here"), status("10.244.1.9"))
            await asyncio.sleep(4 * SILENCE_S)
            assert not world.services.known.is_set()
            assert not world.slices.known.is_set()
            told = [each for each in caplog.records if "is of no use" in each.getMessage()]
            assert len(told) == 1
            world.api.heal()
            await world.slices.wait_for_sync(timeout_s=120)
            await asyncio.sleep(2 * EVERY_S)
        assert ELSEWHERE in world.path.read_text()

    story(tmp_path, body)


def test_what_is_too_large_is_not_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(world: World) -> None:
        monkeypatch.setattr(module, "FILE_BYTES_MAX", 100)
        await world.noted()
        assert not world.path.exists()
        assert "Services and nodes were not noted" in caplog.text

    story(tmp_path, body)


def test_a_disk_that_fails_is_no_end_of_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    async def body(world: World) -> None:
        world.path.write_bytes(b"")
        monkeypatch.setattr(Path, "read_bytes", broken)
        async with world.agent():
            await asyncio.sleep(2 * EVERY_S)
            world.api.put(service("other", cluster_ip="10.96.0.6"))
            await asyncio.sleep(2 * EVERY_S)
            monkeypatch.undo()
            world.api.put(service("third", cluster_ip="10.96.0.7"))
            await asyncio.sleep(2 * EVERY_S)
        assert "10.96.0.7" in world.path.read_text()

    story(tmp_path, body)
