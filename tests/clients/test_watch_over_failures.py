"""Three real servers, one killed: watches lose nothing, and what one server acknowledged the others show at once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import kubernetes
import msgspec
import pytest
import urllib3
from kmini_process import Server, eventually
from kubectl_binaries import MISSING, binaries
from kubectl_shell import Shell
from server_faults import leader_of, voters
from store_cluster import until
from sure_writes import create_surely, delete_surely, only_passing

from apiserver.api.core.config import ConfigMap
from apiserver.api.core.containers import Container
from apiserver.api.core.pod import Pod, PodSpec
from apiserver.api.errors import ApiError
from apiserver.api.meta import ObjectMeta, TopObject
from apiserver.client import Change, Client, Informer, kubeconfig

pytestmark = pytest.mark.timeout(600)
sdk: Any = kubernetes  # not typed throughout

BEFORE, AFTER = 15, 25
READS = 200


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with voters(tmp_path_factory.mktemp("cluster")) as found:
        yield found


def url(server: Server) -> str:
    return f"https://127.0.0.1:{server.api_port}"


def client_of(server: Server, *others: Server) -> Client:
    """Asks `server` while it works, then the others, and nobody else."""
    access = kubeconfig.load(server.data_dir / "kubeconfig", None)
    every = tuple(url(each) for each in (server, *others))
    return Client(msgspec.structs.replace(access, servers=every), learn=False)


def back(server: Server) -> None:
    server.start()
    server.wait_ready()


def pod(name: str) -> Pod:
    return Pod(metadata=ObjectMeta(name=name), spec=PodSpec(containers=[Container(name="main", image="nginx:1.25")]))


async def surely_labelled(client: Client, name: str, text: str) -> ConfigMap:
    """Until it is answered: the same patch twice changes nothing the second time."""
    change = {"metadata": {"labels": {"n": text}}, "data": {"n": text}}
    while True:
        try:
            return await client.patch(ConfigMap, name, change)
        except ApiError as error:
            only_passing(error)


async def surely_read(client: Client, name: str) -> ConfigMap:
    while True:
        try:
            return await client.get(ConfigMap, name)
        except ApiError as error:
            only_passing(error)


async def surely_listed(client: Client, labels: str = "") -> list[str]:
    """Names in the default namespace."""
    while True:
        try:
            found = client.list(ConfigMap, namespace="default", labels=labels)
            return [each.metadata.name async for each in found]
        except ApiError as error:
            only_passing(error)


async def create_all(client: Client, objects: Sequence[TopObject]) -> None:
    for obj in objects:
        await create_surely(client, obj)


def names(prefix: str, first: int, last: int) -> list[str]:
    return [f"{prefix}-{number:03}" for number in range(first, last)]


# --- kubectl against a follower -----------------------------------------------------------------------------


@pytest.mark.skipif(not binaries(), reason=MISSING)
def test_kubectl_watches_a_follower_through_the_death_of_the_leader(servers: list[Server], tmp_path: Path) -> None:
    leader = leader_of(servers)
    follower, other = (server for server in servers if server is not leader)
    shell = Shell(binaries()[0], follower.data_dir / "kubeconfig", tmp_path / "work")
    wanted = names("pod", 0, BEFORE + AFTER)
    watch = shell.start(["get", "pods", "--watch", "-v=6", "-o", 'jsonpath={.metadata.name}{"\\n"}'])
    assert watch.stdout is not None
    said = iter(watch.stdout)

    async def write(first: int, last: int) -> None:
        async with client_of(other, follower) as client:
            await create_all(client, [pod(name) for name in names("pod", first, last)])

    try:
        assert any("watch=true" in line for line in said)  # its list is behind it, which needs a leader
        asyncio.run(write(0, BEFORE))
        leader.kill()
        asyncio.run(write(BEFORE, BEFORE + AFTER))
        told = (line.strip() for line in said if line.startswith("pod-"))
        seen = list(itertools.islice(told, len(wanted)))
        assert watch.poll() is None, "the watch ended"
    finally:
        watch.kill()
        watch.communicate()
        back(leader)
    assert seen == wanted


# --- a watch whose own server dies --------------------------------------------------------------------------


def test_an_informer_goes_on_with_another_server_and_misses_nothing(servers: list[Server]) -> None:
    """The one it is with is killed, which need not be the first: an election may have sent it on."""
    killed: list[Server] = []
    seen: list[tuple[str, str, str]] = []

    def told(change: Change[ConfigMap]) -> None:
        if change.object.metadata.name.startswith("informed"):
            seen.append((change.type, change.object.metadata.name, change.object.data.get("step", "")))

    async def steps(client: Client, name: str) -> None:
        """Three changes of one object: who lists anew instead of going on sees fewer."""
        await create_surely(client, ConfigMap(metadata=ObjectMeta(name=name), data={"step": "1"}))
        await until_it_works(client, name)
        await delete_surely(client, ConfigMap, name)

    async def body() -> None:
        async with client_of(*servers) as reader, client_of(*reversed(servers)) as writer:
            informer = Informer(reader, ConfigMap, namespace="default")
            informer.add_handler(told)
            async with informer:
                await informer.wait_for_sync()
                for name in names("informed", 0, 5):
                    await steps(writer, name)
                killed.append(next(each for each in servers if url(each) == reader.caller.servers.current))
                killed[0].kill()
                for name in names("informed", 5, 15):
                    await steps(writer, name)
                await until(lambda: len(seen) >= len(expected), patience_s=120.0)
                await until(lambda: reader.caller.servers.current != url(killed[0]))

    expected = [
        change
        for name in names("informed", 0, 15)
        for change in (("added", name, "1"), ("updated", name, "2"), ("deleted", name, "2"))
    ]
    try:
        asyncio.run(body())
    finally:
        for each in killed:
            back(each)
    assert seen == expected


async def until_it_works(client: Client, name: str) -> None:
    """The same patch twice changes nothing the second time, so it may be sent until it is answered."""
    while True:
        with contextlib.suppress(ApiError):
            await client.patch(ConfigMap, name, {"data": {"step": "2"}})
            return


class ResumingWatch:
    """The official client's watch as programs write it: after an error it goes on elsewhere from where it was."""

    def __init__(self, servers: Sequence[Server], wanted: int) -> None:
        self.seen: list[str] = []
        self.places: list[str] = []
        self._servers = servers
        self._wanted = wanted
        self._version = ""

    def begin(self) -> None:
        with self._connected(self._servers[0]) as core:
            self._version = core.list_namespaced_config_map("default").metadata.resource_version

    @contextlib.contextmanager
    def _connected(self, server: Server) -> Iterator[Any]:
        with sdk.config.new_client_from_config(str(server.data_dir / "kubeconfig")) as api:
            yield sdk.client.CoreV1Api(api)

    def run(self) -> None:
        for server in itertools.cycle(self._servers):
            if len(self.seen) >= self._wanted:
                return
            self.places.append(server.name)
            try:
                with self._connected(server) as core:
                    self._follow(core)
            except (urllib3.exceptions.HTTPError, OSError, sdk.client.ApiException):
                continue  # the server is gone: the next one

    def _follow(self, core: Any) -> None:
        stream = sdk.watch.Watch().stream(
            core.list_namespaced_config_map,
            "default",
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=60,
        )
        with contextlib.closing(stream) as events:
            for event in events:
                self._version = event["raw_object"]["metadata"]["resourceVersion"]
                if event["type"] == "ADDED" and event["object"].metadata.name.startswith("followed"):
                    self.seen.append(event["object"].metadata.name)
                if len(self.seen) >= self._wanted:
                    return


def test_the_official_clients_watch_goes_on_elsewhere_from_its_last_version(servers: list[Server]) -> None:
    watched, *others = servers
    wanted = names("followed", 0, BEFORE + AFTER)
    watch = ResumingWatch(servers, len(wanted))
    watch.begin()
    thread = threading.Thread(target=watch.run)
    thread.start()

    async def write(first: int, last: int) -> None:
        async with client_of(*others) as client:
            maps = [ConfigMap(metadata=ObjectMeta(name=name)) for name in names("followed", first, last)]
            await create_all(client, maps)

    try:
        asyncio.run(write(0, BEFORE))
        eventually(lambda: len(watch.seen) >= BEFORE, what="the watch at its first server")
        watched.kill()
        asyncio.run(write(BEFORE, BEFORE + AFTER))
        thread.join(60)
        assert not thread.is_alive(), f"the watch saw {watch.seen} at {watch.places}"
    finally:
        back(watched)
    assert watch.seen == wanted
    assert watch.places[0] == watched.name
    assert watch.places[-1] != watched.name


# --- any replica --------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def one_client_each(servers: Sequence[Server]) -> AsyncIterator[list[Client]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(client_of(server)) for server in servers]


def test_what_one_replica_acknowledged_every_other_shows_at_once(servers: list[Server]) -> None:
    async def body() -> list[str]:
        stale = []
        async with one_client_each(servers) as clients:
            made = ConfigMap(metadata=ObjectMeta(name="fresh", labels={"n": "0"}), data={"n": "0"})
            await create_surely(clients[0], made)
            for number in range(1, READS + 1):
                writer, reader = clients[number % 3], clients[(number + 1 + number % 2) % 3]
                text = str(number)
                written = await surely_labelled(writer, "fresh", text)
                found = await surely_read(reader, "fresh")
                listed = await surely_listed(reader, f"n={text}")
                if (found.metadata.resource_version, listed) != (written.metadata.resource_version, ["fresh"]):
                    stale.append(f"{text}: {found.metadata.resource_version}, {listed}")
        return stale

    assert asyncio.run(body()) == []


def test_every_replica_takes_writes_of_its_own(servers: list[Server]) -> None:
    async def body() -> list[list[str]]:
        async with one_client_each(servers) as clients:
            made = [names(f"from-{place}", 0, 10) for place in range(3)]
            each_own = [
                create_all(client, [ConfigMap(metadata=ObjectMeta(name=name)) for name in own])
                for client, own in zip(clients, made, strict=True)
            ]
            await asyncio.gather(*each_own)
            found = []
            for client in clients:
                found.append([name for name in await surely_listed(client) if name.startswith("from-")])
            return found

    wanted = [name for place in range(3) for name in names(f"from-{place}", 0, 10)]
    assert asyncio.run(body()) == [wanted] * 3
