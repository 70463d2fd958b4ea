"""The runtime interface on a real containerd: what a pod's life is made of, and what becomes of it in a crash."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from container_host import Host
from image_registry import PASSWORD, USER, registry
from joined_agent import until
from kmini.agent_runtime import RuntimeSettings, make_containerd, open_runtime
from kmini.errors import CommandError
from kmini.images import SAMPLE, pause_archive, sample_archive

from nodeagent.runtime import processes
from nodeagent.runtime.containerd import PrivateContainerd
from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.imports import import_archive
from nodeagent.runtime.interface import (
    Container,
    ContainerConfig,
    Credentials,
    ImageFailure,
    NotThere,
    PodKey,
    Resources,
    RuntimeFailure,
    SandboxConfig,
    Security,
)

POD_CIDR = "10.200.0.0/24"
FETCH = ["wget", "-qO-", "http://127.0.0.1:8080/"]


def pod_key(name: str) -> PodKey:
    return PodKey(namespace="default", name=name, uid=f"uid-{name}")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@asynccontextmanager
async def ready(host: Host) -> AsyncIterator[CriRuntime]:
    async with open_runtime(host.settings) as runtime:
        await runtime.update_pod_cidr(POD_CIDR)
        health = await runtime.health()
        assert health.ready, health
        assert health.network_ready, health
        yield runtime


@asynccontextmanager
async def pod(
    runtime: CriRuntime, name: str, *containers: ContainerConfig, **more: Any
) -> AsyncIterator[tuple[str, list[str]]]:
    """A pod with these containers, all started: the ids of its sandbox and of them. Gone at the end."""
    sandbox_id = await runtime.run_sandbox(SandboxConfig(pod=pod_key(name), hostname=name, **more))
    try:
        made = [await runtime.create_container(sandbox_id, each) for each in containers]
        for each in made:
            await runtime.start_container(each)
        yield sandbox_id, made
    finally:
        await runtime.remove_sandbox(sandbox_id)


def main(*command: str, **more: Any) -> ContainerConfig:
    return ContainerConfig(name="main", attempt=0, image=SAMPLE, command=command, **more)


async def ended(runtime: CriRuntime, name: str) -> Container:
    async def look() -> Container | None:
        (found,) = await runtime.list_containers(pod_uid=f"uid-{name}")
        return found if found.exited else None

    found: Container = await until(look, "the end of the container")
    return found


async def fetched(runtime: CriRuntime, container_id: str) -> bytes:
    """What its server says, if it listens already."""
    return (await runtime.exec_sync(container_id, FETCH, timeout_s=60)).stdout


def test_a_pod_runs_in_its_own_network_and_answers(host: Host) -> None:
    async def work() -> None:
        async with ready(host) as runtime, pod(runtime, "hello", main()) as (sandbox_id, (container_id,)):
            (sandbox,) = await runtime.list_sandboxes(pod_uid="uid-hello")
            assert (sandbox.id, sandbox.ready, sandbox.pod) == (sandbox_id, True, pod_key("hello"))
            assert sandbox.ips[0].startswith("10.200.0.")
            (container,) = await runtime.list_containers(pod_uid="uid-hello")
            assert (container.id, container.running, container.image) == (container_id, True, SAMPLE)
            found = await runtime.image(SAMPLE)
            assert found is not None
            assert container.image_id == found.id

            async def answers() -> bool:
                return await fetched(runtime, container_id) == b"hello\n"

            assert await until(answers, "its own answer")
            reader, writer = await asyncio.open_connection(sandbox.ips[0], 8080)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert (await reader.read()).endswith(b"hello\n"), "from the node"
            writer.close()
            assert [each.container for each in await runtime.usage()] == ["main"]

    run(work())


def test_what_is_written_is_in_its_log(host: Host) -> None:
    async def work() -> None:
        async with ready(host) as runtime, pod(runtime, "says", main("sh", "-c", "echo out; echo err >&2; exit 3")):
            found = await ended(runtime, "says")
            assert (found.exit_code, found.reason) == (3, "Error")
            assert found.started_at <= found.finished_at
            lines = runtime.log_file(pod_key("says"), "main", 0).read_text().splitlines()
            assert sorted(line.split(" ", 1)[1] for line in lines) == ["stderr F err", "stdout F out"]

    run(work())


def test_an_end_is_told(host: Host) -> None:
    async def work() -> None:
        async with ready(host) as runtime:
            told: asyncio.Queue[str] = asyncio.Queue()
            hearing = asyncio.create_task(hear(runtime, told))
            try:
                async with pod(runtime, "ends", main("sleep", "1000")) as (_, (container_id,)):
                    await asyncio.wait({hearing}, timeout=0.2)
                    assert hearing.done() is False
                    await runtime.exec_sync(container_id, ["true"], timeout_s=60)
                    await runtime.stop_container(container_id, grace_period_s=0)
                    async with asyncio.timeout(60):
                        assert await told.get() == "uid-ends"
                    (found,) = await runtime.list_containers(pod_uid="uid-ends")
                    assert (found.exited, found.exit_code) == (True, 137), "who is told sees it"
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    run(work())


async def hear(runtime: CriRuntime, told: asyncio.Queue[str]) -> None:
    async for event in runtime.events():
        told.put_nowait(event.pod_uid)


def test_who_takes_too_much_memory_is_said_to_have(host: Host) -> None:
    async def work() -> None:
        eat = main("sh", "-c", "x=x; while :; do x=$x$x; done", resources=Resources(memory_limit=16 << 20))
        async with ready(host) as runtime, pod(runtime, "eats", eat):

            async def told() -> bool:
                found = await ended(runtime, "eats")
                runtime.forget(found.id)
                return (found.exit_code, found.reason) == (137, "OOMKilled")

            assert await until(told, "the reason")

    run(work())


def test_a_command_that_is_not_there_fails_with_a_reason(host: Host) -> None:
    async def work() -> None:
        async with ready(host) as runtime:
            with pytest.raises(RuntimeFailure, match="no/such"):
                async with pod(runtime, "bad", main("/no/such")):
                    pass

    run(work())


def test_who_asks_for_what_is_not_there_is_told(host: Host) -> None:
    async def work() -> None:
        async with ready(host) as runtime:
            with pytest.raises(NotThere):
                await runtime.start_container("none")
            for again in (runtime.stop_sandbox, runtime.remove_sandbox, runtime.remove_container):
                await again("none")
            await runtime.stop_container("none", grace_period_s=0)
            assert await runtime.image("kmini.local/none:1") is None
            with pytest.raises(ImageFailure):
                await runtime.pull_image("127.0.0.1:1/none:1")

    run(work())


def test_security_reaches_the_container(host: Host) -> None:
    async def work() -> None:
        security = Security(user=1234, group=4321, read_only_root=True, drop_capabilities=["ALL"])
        script = "id -u; id -g; touch /x || echo refused; grep CapEff /proc/self/status"
        async with ready(host) as runtime, pod(runtime, "safe", main("sh", "-c", script, security=security)):
            await ended(runtime, "safe")
            text = runtime.log_file(pod_key("safe"), "main", 0).read_text()
            words = [line.split(" ", 3)[3] for line in text.splitlines() if " stdout " in line]
            assert words == ["1234", "4321", "refused", "CapEff:\t0000000000000000"]

    run(work())


def test_the_control_groups_of_a_pod_go_with_it(host: Host) -> None:
    async def work() -> None:
        async with ready(host) as runtime:
            async with pod(runtime, "grouped", main()):
                assert pod_groups(host)
            assert not pod_groups(host)

    run(work())


def pod_groups(host: Host) -> list[str]:
    return [str(found) for each in host.groups for found in each.glob("kubepods/pod*")]


def test_containers_outlive_containerd_and_the_agent(host: Host) -> None:
    async def work() -> None:
        async with ready(host) as runtime:
            sandbox_id = await runtime.run_sandbox(SandboxConfig(pod=pod_key("lives"), hostname="lives"))
            container_id = await runtime.create_container(sandbox_id, main())
            await runtime.start_container(container_id)
            containerd = make_containerd(host.settings, runtime)
            before = await containerd.ensure()
        assert processes.alive(before), "the agent is gone, containerd is not"
        os.kill(before.pid, signal.SIGKILL)
        await until(dead(before), "containerd's end")
        async with ready(host) as runtime:
            (found,) = await runtime.list_containers(pod_uid="uid-lives")
            assert (found.id, found.running) == (container_id, True)

            async def answers() -> bool:
                return await fetched(runtime, container_id) == b"lives\n"

            assert await until(answers, "its answer")
            again = await make_containerd(host.settings, runtime).ensure()
            assert again != before
            await runtime.remove_sandbox(sandbox_id)

    run(work())


def dead(known: processes.Process) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def look() -> bool:
        return not processes.alive(known)

    return look


def test_an_archive_is_imported_once(host: Host) -> None:
    async def work() -> None:
        async with ready(host) as runtime:
            before = await runtime.image("kmini.local/pause:1")
            assert await import_archive(runtime, io.BytesIO(pause_archive())) == ["kmini.local/pause:1"]
            assert await runtime.image("kmini.local/pause:1") == before
            with pytest.raises(ImageFailure, match="no archive of images"):
                await import_archive(runtime, io.BytesIO(b"nothing"))

    run(work())


def test_an_image_comes_from_a_registry_to_who_knows_the_password(host: Host) -> None:
    async def work(name: str) -> None:
        async with ready(host) as runtime:
            with pytest.raises(ImageFailure, match=r"401|authorization failed"):
                await runtime.pull_image(name)
            with pytest.raises(ImageFailure, match=r"401|authorization failed"):
                await runtime.pull_image(name, credentials=Credentials(username=USER, password="wrong"))
            pulled = await runtime.pull_image(name, credentials=Credentials(username=USER, password=PASSWORD))
            found = await runtime.image(name)
            assert found is not None
            assert pulled in (found.id, *found.names)
            with pytest.raises(ImageFailure, match="not found"):
                await runtime.pull_image(
                    name.replace(":1", ":2"), credentials=Credentials(username=USER, password=PASSWORD)
                )
            await runtime.remove_image(found.id)
            assert await runtime.image(name) is None

    with registry(sample_archive()) as name:
        run(work(name))


def test_a_containerd_that_runs_already(host: Host) -> None:
    """Of whatever sort: here it is another node's, which sees nothing of it."""
    other = RuntimeSettings(
        node="other",
        folder=host.folder / "other",
        images=host.folder / "images",
        socket=host.settings.layout.socket,
        group=f"{host.settings.group}/other",
    )

    async def work() -> None:
        async with ready(host) as ours, open_runtime(other) as theirs:
            await theirs.update_pod_cidr(POD_CIDR)
            async with pod(theirs, "there", main()) as (sandbox_id, _):
                assert [each.id for each in await theirs.list_sandboxes()] == [sandbox_id]
                assert await ours.list_sandboxes() == []

    run(work())


def test_errors_come_out_as_they_are(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with ready(host):
            raise CommandError("no way leads there")

    with pytest.raises(CommandError, match="no way leads there"):
        run(work())

    async def broken(_: PrivateContainerd) -> None:
        raise RuntimeError("a mistake of ours")

    async def wait() -> None:
        async with ready(host):
            await asyncio.Event().wait()

    monkeypatch.setattr(PrivateContainerd, "run", broken)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        run(wait())
