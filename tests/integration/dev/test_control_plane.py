"""The control plane for tests, and the SDK against it: the real API over TLS, faults included."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kmini.dev.control_plane import ControlPlane

from apiserver.api.core.config import ConfigMap
from apiserver.api.core.namespace import Namespace
from apiserver.api.core.service import Service
from apiserver.api.discovery import EndpointSlice
from apiserver.api.errors import AlreadyExists, ApiError, Conflict, NotFound, ServiceUnavailable, Timeout
from apiserver.api.meta import DeleteOptions, ObjectMeta
from apiserver.client import CallOptions, Change, Client, Informer, Patch, Unanswered

PATIENCE_S = 75.0
QUICK = CallOptions(try_timeout_s=2.0)


@pytest.fixture(scope="module")
def single() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="module")
def shared_three() -> Iterator[ControlPlane]:
    with ControlPlane(replicas=3) as plane:
        yield plane


@pytest.fixture
def three(shared_three: ControlPlane) -> Iterator[ControlPlane]:
    yield shared_three
    shared_three.heal()


def config(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name), data=data)


def run(plane: ControlPlane, body: Callable[[Client], Awaitable[Any]], *servers: str, **settings: Any) -> Any:
    """With a client of the named replicas, of all when none is named."""

    async def act() -> Any:
        urls = [plane.servers[name] for name in servers or plane.names]
        settings.setdefault("learn", False)
        async with (
            asyncio.timeout(PATIENCE_S * 2),
            Client.from_kubeconfig(plane.kubeconfig, servers=urls, **settings) as client,
        ):
            return await body(client)

    return asyncio.run(act())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # what is awaited has no event of its own
            await asyncio.sleep(0.01)


def test_every_verb_of_the_client(single: ControlPlane) -> None:
    async def body(client: Client) -> None:
        made = await client.create(config("verbs", a="1"))
        assert made.metadata.uid
        found = await client.get(ConfigMap, "verbs")
        assert found == made
        found.data["b"] = "2"
        changed = await client.update(found)
        found.data["b"] = "3"
        with pytest.raises(Conflict):
            await client.update(found)
        patched = await client.patch(ConfigMap, "verbs", {"data": {"a": None}})
        assert patched.data == {"b": "2"}
        patched = await client.patch(ConfigMap, "verbs", [{"op": "add", "path": "/data/c", "value": "3"}], Patch.JSON)
        assert patched.data == {"b": "2", "c": "3"}
        moved = await client.change(ConfigMap, "verbs", lambda each: each.data.update(d="4"))
        assert moved.data == {"b": "2", "c": "3", "d": "4"}
        assert int(changed.metadata.resource_version) < int(moved.metadata.resource_version)
        await client.delete(ConfigMap, "verbs", options=DeleteOptions(propagation_policy="Background"))
        with pytest.raises(NotFound, match='configmaps "verbs" not found'):
            await client.get(ConfigMap, "verbs")

    run(single, body)


def test_lists_in_pages_and_collections(single: ControlPlane) -> None:
    async def body(client: Client) -> None:
        for number in range(7):
            obj = config(f"page-{number}")
            obj.metadata.labels = {"paged": "yes", "odd": str(number % 2)}
            await client.create(obj)
        names = [each.metadata.name async for each in client.list(ConfigMap, labels="paged=yes", limit=3)]
        assert names == [f"page-{number}" for number in range(7)]
        odd = [each async for each in client.list(ConfigMap, namespace="default", labels={"odd": "1"})]
        assert len(odd) == 3
        await client.delete_collection(ConfigMap, labels={"paged": "yes"})
        assert [each async for each in client.list(ConfigMap, labels="paged=yes")] == []

    run(single, body)


def test_a_watch_shows_what_is_there_and_then_what_happens(single: ControlPlane) -> None:
    async def body(client: Client) -> None:
        await client.create(config("watched", at="0"))
        watch = client.watch(ConfigMap, namespace="default", fields={"metadata.name": "watched"})
        first = await anext(watch)
        assert (first.type, first.object.data) == ("ADDED", {"at": "0"})
        await client.patch(ConfigMap, "watched", {"data": {"at": "1"}})
        second = await anext(watch)
        assert (second.type, second.object.data) == ("MODIFIED", {"at": "1"})
        await client.delete(ConfigMap, "watched")
        assert (await anext(watch)).type == "DELETED"
        await watch.aclose()

    run(single, body)


def test_the_only_replica_can_be_cut_off_from_its_clients(single: ControlPlane) -> None:
    async def body(client: Client) -> None:
        assert single.partition() == ("a",)
        with pytest.raises(ApiError):
            await client.get(Namespace, "default")
        with pytest.raises(Unanswered, match="the write may have taken effect"):
            await client.send(_creation("while-away"), timeout_s=0.2)

    async def after(client: Client) -> None:
        assert (await client.get(Namespace, "default")).metadata.name == "default"

    run(single, body, options=CallOptions(timeout_s=0.5, try_timeout_s=0.2))
    single.heal()
    run(single, after)


def _creation(name: str) -> Any:
    from apiserver.api.kinds import kind_of
    from apiserver.client import requests

    return requests.create(requests.path_of(kind_of(ConfigMap), "default"), config(name))


def test_three_replicas_serve_alike(three: ControlPlane) -> None:
    async def write(client: Client) -> None:
        await client.create(config("alike"))

    async def read(client: Client) -> ConfigMap:
        return await client.get(ConfigMap, "alike")

    run(three, write, "a")
    assert {run(three, read, name).metadata.uid for name in three.names} != set()
    run(three, lambda client: client.delete(ConfigMap, "alike"), "c")


def test_a_client_learns_of_the_servers_it_was_not_told_of(three: ControlPlane, tmp_path: Path) -> None:
    async def body(client: Client) -> None:
        await client.get(Service, "kubernetes")
        await until(lambda: len(client.caller.servers.all) == 3)

    async def wait_for_service(client: Client) -> None:
        """With all of them: one that was cut off by a test before may still be away."""
        async for event in client.watch(EndpointSlice, namespace="default"):
            if event.object.metadata.name == "kubernetes" and len(event.object.endpoints) == 3:
                return

    run(three, wait_for_service)
    file = tmp_path / "servers.json"
    run(three, body, "a", learn=True, servers_file=file)

    async def alone(client: Client) -> str:
        found: str = (await client.get(Namespace, "default")).metadata.name
        return found

    three.pause("a")
    assert run(three, alone, "a", servers_file=file, options=QUICK) == "default"


def test_a_leader_that_is_cut_off_is_replaced_and_writes_go_on(three: ControlPlane) -> None:
    (cut,) = three.partition()
    others = [name for name in three.names if name != cut]

    async def write(client: Client) -> None:
        await surely(lambda: client.create(config("while-cut")), AlreadyExists)
        await surely(lambda: client.delete(ConfigMap, "while-cut"), NotFound)

    run(three, write, *others)
    asyncio.run(until(lambda: three.leader in others))


def test_a_client_of_a_replica_that_is_cut_off_goes_to_the_others(three: ControlPlane) -> None:
    (cut,) = three.partition()

    async def body(client: Client) -> str:
        found: str = (await client.get(Namespace, "default")).metadata.name
        return found

    assert run(three, body, cut, *[name for name in three.names if name != cut], options=QUICK) == "default"


async def surely(action: Callable[[], Awaitable[Any]], done: type[ApiError]) -> None:
    """Until it has happened: an answer that may mean anything is asked again, and `done` says that it had."""
    happened = False
    while not happened:
        with contextlib.suppress(Timeout, ServiceUnavailable):
            try:
                await action()
            except done:
                happened = True
            else:
                happened = True


@pytest.mark.parametrize("fault", ["pause", "partition"])
def test_an_informer_misses_nothing_while_its_server_is_away(three: ControlPlane, fault: str) -> None:
    """Its watch hangs on the replica that goes; how long a watch may be silent is made short."""
    changes: list[Change[ConfigMap]] = []
    watched = three.leader or "a"
    others = [name for name in three.names if name != watched]

    async def write(client: Client, number: int) -> None:
        obj = config(f"{fault}-{number}")
        obj.metadata.labels = {"seen": "yes"}
        await surely(lambda: client.create(obj), AlreadyExists)
        if number % 2:
            await surely(lambda: client.delete(ConfigMap, obj.metadata.name), NotFound)

    async def body(client: Client) -> None:
        writer = Client.from_kubeconfig(
            three.kubeconfig, servers=[three.servers[name] for name in others], options=QUICK, learn=False
        )
        async with writer, Informer(client, ConfigMap, namespace="default", labels="seen=yes") as informer:
            await informer.wait_for_sync()
            informer.add_handler(changes.append)
            for number in range(20):
                if number == 5:
                    three.pause(watched) if fault == "pause" else three.partition(watched)
                await write(writer, number)
                if number == 15:
                    three.heal()
            await until(lambda: len(changes) == 30)
            await writer.delete_collection(ConfigMap, labels="seen=yes")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apiserver.client.watching.IDLE_S", 1.0)
        run(three, body, watched, *others, options=QUICK)
    expected = []
    for number in range(20):
        expected.append(("added", f"{fault}-{number}"))
        if number % 2:
            expected.append(("deleted", f"{fault}-{number}"))
    assert [(change.type, change.object.metadata.name) for change in changes][:30] == expected


def test_what_is_no_replica_cannot_be_hurt(single: ControlPlane) -> None:
    with pytest.raises(ValueError, match="there is no replica 'b'; there is: a"):
        single.pause("b")
    with pytest.raises(ValueError, match="no links to cut"):
        single.cut("a", "a")
    with pytest.raises(ValueError, match="1 replica or 3, not 2"):
        ControlPlane(replicas=2)


def test_nothing_is_left_when_it_is_over() -> None:
    before = {thread.name for thread in threading.enumerate()}
    with ControlPlane(replicas=3) as plane:
        folder = plane.folder
        assert plane.kubeconfig.stat().st_mode & 0o777 == 0o600
        plane.pause("b")
    gc.collect()
    assert not folder.exists()
    assert {thread.name for thread in threading.enumerate()} <= before


def test_a_port_that_is_taken_is_said_and_nothing_is_left() -> None:
    with ControlPlane() as first:
        port = int(first.servers["a"].rpartition(":")[2])
        second = ControlPlane(port=port)
        with pytest.raises(OSError, match="Address already in use"):
            second.__enter__()
        assert not second.folder.exists()
