"""`kmini up` waits for its sample: what it tells meanwhile, and why it gives up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path

import msgspec
import pytest
from joined_agent import Joined, make_token, until
from kmini.controlling import Controlled
from kmini.dev.control_plane import ControlPlane
from kmini.errors import NotReady
from kmini.testing.fixture import Kmini
from kmini.up import answers, sample
from kmini.up.answers import until_it_answers
from kmini.up.sample import Sample

from apiserver.api.apps import Deployment
from apiserver.api.core.event import Event
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.client import Client

LOG = Path("/the/agent.log")


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kmini]:
    """With controllers and scheduler."""
    folder = tmp_path_factory.mktemp("kmini")
    with ControlPlane(controllers=Controlled()) as plane, Kmini(plane, folder, prefix="sample-") as made:
        yield made


@asynccontextmanager
async def applied(working: Kmini) -> AsyncIterator[tuple[Client, Sample]]:
    """It is made, and gone afterwards."""
    async with working.client as client:
        found, made = await sample.apply(client)
        assert made == ["Deployment", "Service"]
        try:
            yield client, found
        finally:
            for type_ in (Deployment, Service):
                await client.delete(type_, sample.NAME, namespace=sample.NAMESPACE)
            await until(lambda: _none_left(client), "no pods")


async def _none_left(client: Client) -> bool:
    return not [pod async for pod in client.list(Pod, namespace=sample.NAMESPACE, labels=sample.LABELS)]


async def _both_told(client: Client) -> bool:
    """That they fit nowhere."""
    events = [event async for event in client.list(Event, namespace=sample.NAMESPACE)]
    return len({event.involved_object.uid for event in events if event.reason == "FailedScheduling"}) == 2


@asynccontextmanager
async def place(names: list[str]) -> AsyncIterator[str]:
    """Where each connection is answered by the next of these."""
    turns = cycle(names)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"HTTP/1.0 200 OK\r\n\r\n{next(turns)}\n".encode())
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_without_a_node_it_is_told_what_stands_in_the_way(working: Kmini, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "TELL_EVERY_S", 0.5)
    told: list[str] = []

    async def story() -> None:
        async with applied(working) as (client, found):
            assert (found.replicas, found.changed) == (2, False)
            await until(lambda: _both_told(client), "the scheduler's word about both pods", within_s=120)
            with pytest.raises(NotReady) as caught:
                await until_it_answers(client, found, told.append, simulated=True, log=LOG, within_s=2.0)
            assert str(caught.value).startswith("the sample is not ready: hello-")
            assert "has no node: " in str(caught.value)
            assert "FailedScheduling: " in str(caught.value)
            assert str(caught.value).endswith(f": see {LOG}")

    asyncio.run(story())
    assert {line.partition(": ")[0] for line in told} == {"waiting"}
    assert len(set(told)) == len(told), "only what is new is told"


def test_on_a_node_each_pod_must_be_heard(working: Kmini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "ASK_WITHIN_S", 60.0)  # whoever is here answers, also on a machine that stood still
    told: list[str] = []

    async def story() -> None:
        joined = Joined(working, "sampled", tmp_path)
        await joined.join(await make_token(working, tmp_path))
        async with joined.runs(), applied(working) as (client, found):
            await until_it_answers(client, found, told.append, simulated=True, log=LOG)
            assert told[-1] == "2 of 2 pods are ready, but simulated: nothing answers"
            pods = client.list(Pod, namespace=sample.NAMESPACE, labels=sample.LABELS)
            names = sorted([pod.metadata.name async for pod in pods])
            async with place(names) as address:
                there = msgspec.structs.replace(found, address=address)
                await until_it_answers(client, there, told.append, simulated=False, log=LOG)
                assert told[-1] == f"http://{address}/ answers: {', '.join(names)}"
                assert await sample.ask_often(address, replicas=2) == (set(names), "")
            async with place(names[:1]) as address:
                there = msgspec.structs.replace(found, address=address)
                with pytest.raises(NotReady, match=rf"does not answer for {names[1]}: 2 pods are ready: see {LOG}"):
                    await until_it_answers(client, there, told.append, simulated=False, log=LOG, within_s=3.0)
            with pytest.raises(NotReady, match="Connect call failed"):
                await until_it_answers(client, there, told.append, simulated=False, log=LOG, within_s=3.0)
        async with working.client as client:
            await client.delete(Node, "sampled")  # for who comes next

    asyncio.run(story())


def test_what_somebody_made_of_it_is_not_asked(working: Kmini) -> None:
    told: list[str] = []

    async def story() -> None:
        async with applied(working) as (client, _):
            patch = {"spec": {"replicas": 0}}
            await client.patch(Deployment, sample.NAME, patch, namespace=sample.NAMESPACE)
            await client.patch(Service, sample.NAME, {"spec": {"selector": {"a": "b"}}}, namespace=sample.NAMESPACE)
            found, made = await sample.apply(client)
            assert (found.replicas, found.changed, made) == (0, True, [])
            await until_it_answers(client, found, told.append, simulated=False, log=LOG)

    asyncio.run(story())
    assert told == ["hello was changed: it is left as it is, and not asked"]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 503 No\r\n\r\nbusy", b"SSH-2.0-x\r\n"])
def test_what_is_no_good_answer(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def story() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            with pytest.raises(OSError, match="it answered"):
                await sample.ask(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")

    asyncio.run(story())
