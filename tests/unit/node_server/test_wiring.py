"""When a node has an API, and what its Node says of it."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import msgspec
import pytest
from fake_api import FakeApi
from logging_runtime import LoggingRuntime
from virtual_time import run

from apiserver.api.core.node import Node
from nodeagent.identity import Identity, Validity
from nodeagent.machine import simulated
from nodeagent.network.programs import ProgramFailed
from nodeagent.plain import plain_parts
from nodeagent.running import NodeAgent
from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.fake import FakeRuntime
from nodeagent.server.real_containers import RealContainers
from nodeagent.server.serving import NodeServer


def node_agent(api: FakeApi, folder: Path, *, port: int, identity: bool) -> NodeAgent:
    machine = simulated("n1", "192.0.2.7", capacity={"cpu": "4", "pods": "10"}, labels={})
    runtime = FakeRuntime(node="n1")
    return NodeAgent(
        api.client("n1"),
        "n1",
        msgspec.structs.replace(machine, node_port=port),
        runtime,
        plain_parts(runtime),
        identity=Identity(folder, "n1") if identity else None,
    )


def test_a_node_needs_a_port_and_an_identity(tmp_path: Path) -> None:
    async def story() -> None:
        api = FakeApi(seed=0)
        assert node_agent(api, tmp_path, port=10250, identity=True).server is not None
        assert node_agent(api, tmp_path, port=0, identity=True).server is None
        assert node_agent(api, tmp_path, port=10250, identity=False).server is None

    run(story())


def test_a_node_without_one_says_no_port(tmp_path: Path) -> None:
    """Servers would knock in vain."""

    async def story() -> None:
        api = FakeApi(seed=0)
        agent = node_agent(api, tmp_path, port=10250, identity=False)
        running = asyncio.create_task(agent.run())
        await agent.registered.wait()
        async with api.client("test") as client:
            node = await client.get(Node, "n1")
        assert node.status.daemon_endpoints.kubelet_endpoint.port == 0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(story())


def test_a_certificate_that_cannot_be_looked_at_ends_no_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process looks at it, for which a machine may have no memory at the moment; on the disk it is as it was."""

    async def story() -> None:
        loop, taken = asyncio.get_running_loop(), []

        async def validity(_: Identity) -> Validity:
            if loop.time() < 100:
                raise ProgramFailed("it cannot be started: Cannot allocate memory")
            return Validity(begin=0.0, end=math.inf)

        monkeypatch.setattr(Identity, "validity", validity)
        monkeypatch.setattr(NodeServer, "_take_certificate", lambda _: taken.append(loop.time()))
        agent = node_agent(FakeApi(seed=0), tmp_path, port=10250, identity=True)
        running = asyncio.create_task(agent.run())
        await asyncio.wait({running}, timeout=200)
        assert not running.done()
        assert len(taken) == 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(story())


def test_what_is_simulated_and_what_is_not(tmp_path: Path) -> None:
    assert not isinstance(FakeRuntime(), RealContainers)
    assert isinstance(LoggingRuntime(tmp_path), RealContainers)
    wanted = [name for name in vars(RealContainers) if not name.startswith("_")]
    assert wanted
    assert all(hasattr(CriRuntime, name) for name in wanted)
