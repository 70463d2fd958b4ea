"""Layers of images whose files the power took: they are unpacked anew, if anybody knows that they may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from container_host import Host
from joined_agent import until
from kmini.agent_runtime import open_runtime
from kmini.images import SAMPLE

from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.interface import ContainerConfig, PodKey, RuntimeFailure, SandboxConfig

POD_CIDR = "10.200.0.0/24"


def pod_key(name: str) -> PodKey:
    return PodKey(namespace="default", name=name, uid=f"uid-{name}")


@asynccontextmanager
async def ready(host: Host) -> AsyncIterator[CriRuntime]:
    async with open_runtime(host.settings) as runtime:
        await runtime.update_pod_cidr(POD_CIDR)
        yield runtime


async def start(runtime: CriRuntime, name: str) -> str:
    sandbox = await runtime.run_sandbox(SandboxConfig(pod=pod_key(name), hostname=name))
    container = await runtime.create_container(sandbox, ContainerConfig(name="main", attempt=0, image=SAMPLE))
    await runtime.start_container(container)
    return sandbox


async def runs(runtime: CriRuntime, name: str) -> bool:
    return [each.running for each in await runtime.list_containers(pod_uid=pod_key(name).uid)] == [True]


def lose(host: Host) -> None:
    """As ext4 does it: the names are there, and nothing in the files."""
    layers = host.settings.layout.root / "io.containerd.snapshotter.v1.overlayfs" / "snapshots"
    emptied = [path for path in layers.glob("*/fs/**/*") if path.is_file() and not path.is_symlink()]
    assert emptied
    for path in emptied:
        path.write_bytes(b"")


def mark(host: Host) -> Path:
    return host.settings.layout.root.with_name("unpacking")


def test_lost_layers_are_unpacked_anew(host: Host) -> None:
    async def body() -> None:
        async with ready(host) as runtime:
            sandbox = await start(runtime, "first")
            assert await runs(runtime, "first")
            assert not mark(host).exists(), "all that was unpacked is synced"
            await runtime.stop_sandbox(sandbox)
        lose(host)
        async with ready(host) as runtime:
            assert len(await runtime.list_sandboxes()) == 1, "nobody knows"
            with pytest.raises(RuntimeFailure):
                await start(runtime, "broken")

            async def nothing_runs() -> bool:
                return not any(each.ready for each in await runtime.list_sandboxes())

            await until(nothing_runs, "the end of what could not run, as containerd tells it")
        mark(host).write_text("layers are being unpacked\n")
        async with ready(host) as runtime:
            assert await runtime.list_sandboxes() == []
            assert not mark(host).exists()
            sandbox = await start(runtime, "second")
            assert await runs(runtime, "second")
            await runtime.remove_sandbox(sandbox)

    asyncio.run(body())


def test_while_something_runs_nothing_was_lost(host: Host) -> None:
    async def body() -> None:
        async with ready(host) as runtime:
            sandbox = await start(runtime, "running")
        mark(host).write_text("layers are being unpacked\n")
        async with ready(host) as runtime:
            assert await runs(runtime, "running")
            assert not mark(host).exists()
            await runtime.remove_sandbox(sandbox)

    asyncio.run(body())


def test_the_mark_is_there_while_an_image_is_unpacked(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    async def body() -> None:
        async with ready(host) as runtime:
            call = runtime.connection.call

            async def watched(method, request, answer, **more):  # type: ignore[no-untyped-def]  # as it is called
                if method.endswith(("/RunPodSandbox", "/CreateContainer")):
                    seen.append(mark(host).exists())
                return await call(method, request, answer, **more)

            monkeypatch.setattr(runtime.connection, "call", watched)
            for name in ("one", "two"):
                await runtime.remove_sandbox(await start(runtime, name))

    asyncio.run(body())
    assert seen == [True, True, False, False], "once for each image"
