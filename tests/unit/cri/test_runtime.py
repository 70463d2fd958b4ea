"""The runtime over the CRI, against a server of records: how often it asks, what failures become, what it cleans up."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from cri_server import CriServer, Refusal, runtime_of, served
from joined_agent import until

from nodeagent.runtime import cgroups, cri_messages
from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.gen import cri_pb2 as pb
from nodeagent.runtime.interface import (
    ContainerConfig,
    ContainerPhase,
    Credentials,
    ImageFailure,
    LastWords,
    NotThere,
    PodKey,
    Resources,
    RuntimeFailure,
    SandboxConfig,
    TookTooLong,
    Unavailable,
)

POD = PodKey(namespace="default", name="web", uid="u-1")
MAIN = ContainerConfig(name="main", attempt=0, image="web")

Work = Callable[[CriServer, CriRuntime], Coroutine[Any, Any, None]]


def run(folder: Path, work: Work) -> None:
    async def with_server() -> None:
        async with served(folder) as (server, runtime):
            await work(server, runtime)

    asyncio.run(with_server())


async def started(runtime: CriRuntime, pod: PodKey = POD) -> tuple[str, str]:
    sandbox_id = await runtime.run_sandbox(SandboxConfig(pod=pod))
    container_id = await runtime.create_container(sandbox_id, MAIN)
    await runtime.start_container(container_id)
    return sandbox_id, container_id


def test_what_is_known_is_not_asked_for_again(tmp_path: Path) -> None:
    async def work(server: CriServer, runtime: CriRuntime) -> None:
        for number in range(20):
            await started(runtime, PodKey(namespace="default", name="web", uid=f"u-{number}"))
        first = (await runtime.list_sandboxes(), await runtime.list_containers())
        server.calls.clear()
        assert (await runtime.list_sandboxes(), await runtime.list_containers()) == first
        assert dict(server.calls) == {"ListPodSandbox": 1, "ListContainers": 1}

    run(tmp_path, work)


def test_what_changed_is_asked_for(tmp_path: Path) -> None:
    async def work(server: CriServer, runtime: CriRuntime) -> None:
        sandbox_id, container_id = await started(runtime)
        await runtime.list_containers()
        await runtime.list_sandboxes()
        server.StopContainer(pb.StopContainerRequest(container_id=container_id))
        server.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id))
        (container,) = await runtime.list_containers(pod_uid="u-1")
        assert (container.phase, container.exit_code) == (ContainerPhase.EXITED, 137)
        (sandbox,) = await runtime.list_sandboxes(pod_uid="u-1")
        assert not sandbox.ready
        server.containers[container_id][1].reason = "OOMKilled"
        runtime.forget(container_id)
        (container,) = await runtime.list_containers()
        assert container.reason == "OOMKilled"

    run(tmp_path, work)


def test_pods_are_told_apart_by_uid_and_nodes_by_label(tmp_path: Path) -> None:
    async def work(server: CriServer, runtime: CriRuntime) -> None:
        await started(runtime)
        assert await runtime.list_sandboxes(pod_uid="u-2") == []
        assert await runtime.list_containers(pod_uid="u-2") == []
        for found in (server.sandboxes["s0"], server.containers["c0"][1]):
            found.labels["kmini.local/node"] = "another"
        assert await runtime.list_sandboxes() == []
        assert await runtime.list_containers() == []

    run(tmp_path, work)


def test_one_that_containerd_lost_sight_of_is_stopped_before_it_counts_as_ended(tmp_path: Path) -> None:
    async def work(server: CriServer, runtime: CriRuntime) -> None:
        _, container_id = await started(runtime)
        _, other_id = await started(runtime, PodKey(namespace="default", name="other", uid="u-2"))
        server.containers[container_id][1].state = pb.CONTAINER_UNKNOWN
        server.refusals["StopContainer"] = Refusal(grpc.StatusCode.UNKNOWN, "it does not end")
        assert [each.id for each in await runtime.list_containers()] == [other_id]
        with pytest.raises(RuntimeFailure, match="it does not end"):
            await runtime.list_containers(pod_uid=POD.uid)
        server.refusals.clear()
        (found,) = await runtime.list_containers(pod_uid=POD.uid)
        assert found.exited
        assert server.calls["StopContainer"] == 2

    run(tmp_path, work)


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "gone", Unavailable),
        (grpc.StatusCode.UNKNOWN, "server is not initialized yet", Unavailable),
        (grpc.StatusCode.NOT_FOUND, "no such thing", NotThere),
        (grpc.StatusCode.UNKNOWN, "cannot", RuntimeFailure),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too large", RuntimeFailure),
    ],
)
def test_failures_in_the_interfaces_words(
    tmp_path: Path, code: grpc.StatusCode, words: str, kind: type[RuntimeFailure]
) -> None:
    async def work(server: CriServer, runtime: CriRuntime) -> None:
        server.refusals["Version"] = Refusal(code, words)
        with pytest.raises(RuntimeFailure, match=words) as caught:
            await runtime.version()
        assert type(caught.value) is kind
        assert not await runtime.answers()

    run(tmp_path, work)


def test_nobody_there(tmp_path: Path) -> None:
    async def work() -> None:
        runtime = runtime_of(tmp_path)
        with pytest.raises(Unavailable):
            await runtime.version()
        await runtime.close()

    asyncio.run(work())


def test_a_server_that_comes_back_is_found_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        runtime, server = runtime_of(tmp_path), CriServer()
        for _ in range(3):
            async with server.on(tmp_path / "socket"):
                await until(runtime.answers, "an answer")
                assert (await runtime.version()).version == "1.2.3"
            with pytest.raises(Unavailable):
                await runtime.version()
        await runtime.close()

    asyncio.run(work())


def test_what_is_gone_is_stopped_and_removed_already(tmp_path: Path) -> None:
    async def work(_: CriServer, runtime: CriRuntime) -> None:
        for again in (runtime.stop_sandbox, runtime.remove_sandbox, runtime.remove_container):
            await again("none")
        await runtime.stop_container("none", grace_period_s=1)

    run(tmp_path, work)


def test_grace_periods_are_whole_seconds_and_never_shorter(tmp_path: Path) -> None:
    async def work(server: CriServer, runtime: CriRuntime) -> None:
        _, container_id = await started(runtime)
        for given, asked in ((0.2, 1), (0.0, 0), (-3.0, 0), (30.0, 30)):
            await runtime.stop_container(container_id, grace_period_s=given)
            assert server.requests["StopContainer"].timeout == asked

    run(tmp_path, work)


def test_logs_go_with_what_wrote_them(tmp_path: Path) -> None:
    async def work(_: CriServer, runtime: CriRuntime) -> None:
        sandbox_id, container_id = await started(runtime)
        await runtime.list_containers()
        log = runtime.log_file(POD, "main", 0)
        log.write_text("words\n")
        other = log.with_name("1.log")
        other.write_text("words\n")
        await runtime.remove_container(container_id)
        assert not log.exists()
        again = await runtime.run_sandbox(SandboxConfig(pod=POD, attempt=1))
        await runtime.remove_sandbox(sandbox_id)
        assert other.exists(), "the pod goes on in another sandbox"
        await runtime.remove_sandbox(again)
        assert not other.parent.parent.exists()

    run(tmp_path, work)


def test_a_pull_shows_who_asks_and_fails_as_an_image(tmp_path: Path) -> None:
    async def work(server: CriServer, runtime: CriRuntime) -> None:
        credentials = Credentials(username="me", password="secret")
        await runtime.pull_image("registry.test/web:1", credentials=credentials)
        asked = server.requests["PullImage"]
        assert (asked.image.image, asked.auth.username, asked.auth.password) == ("registry.test/web:1", "me", "secret")
        server.refusals["PullImage"] = Refusal(grpc.StatusCode.UNKNOWN, "401 Unauthorized")
        with pytest.raises(ImageFailure, match="401"):
            await runtime.pull_image("registry.test/web:1")
        server.refusals["PullImage"] = Refusal(grpc.StatusCode.NOT_FOUND, "no such image")
        with pytest.raises(ImageFailure, match="no such image"):
            await runtime.pull_image("registry.test/web:1")
        server.refusals["PullImage"] = Refusal(grpc.StatusCode.UNAVAILABLE, "gone")
        with pytest.raises(Unavailable):
            await runtime.pull_image("registry.test/web:1")

    run(tmp_path, work)


def test_what_a_brief_command_prints_is_bounded(tmp_path: Path) -> None:
    """Many may be asked at once, and none is to cost the agent its memory."""

    async def work(server: CriServer, runtime: CriRuntime) -> None:
        long = [str(2 * 1024 * 1024)]
        assert len((await runtime.exec_sync("c", long, timeout_s=5)).stdout) == int(long[0])
        assert len((await runtime.exec_sync("c", ["1000"], timeout_s=5, brief=True)).stdout) == 1000
        with pytest.raises(RuntimeFailure, match="larger than max"):
            await runtime.exec_sync("c", long, timeout_s=5, brief=True)

    run(tmp_path, work)


def test_a_command_that_took_too_long_has_an_error_of_its_own(tmp_path: Path) -> None:
    async def work(server: CriServer, runtime: CriRuntime) -> None:
        server.refusals["ExecSync"] = Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "timeout 1s exceeded")
        with pytest.raises(TookTooLong):
            await runtime.exec_sync("c", ["1"], timeout_s=1)

    run(tmp_path, work)


def test_last_words_are_read_once_it_has_ended_and_by_who_comes_later(tmp_path: Path) -> None:
    wanted = LastWords(path="/dev/termination-log")

    async def work(server: CriServer, runtime: CriRuntime) -> None:
        sandbox_id = await runtime.run_sandbox(SandboxConfig(pod=POD))
        container_id = await runtime.create_container(sandbox_id, msgspec.structs.replace(MAIN, last_words=wanted))
        await runtime.start_container(container_id)
        (mount,) = server.requests["CreateContainer"].config.mounts
        assert mount.container_path == wanted.path
        await asyncio.to_thread(Path(mount.host_path).write_text, "goodbye")
        (found,) = await runtime.list_containers()
        assert found.message == ""
        await runtime.stop_container(container_id, grace_period_s=0)
        (found,) = await runtime.list_containers()
        assert found.message == "goodbye"
        later = runtime_of(tmp_path)
        assert [each.message for each in await later.list_containers()] == ["goodbye"]
        await later.close()
        await runtime.remove_container(container_id)
        assert not await asyncio.to_thread(Path(mount.host_path).exists)

    run(tmp_path, work)


def test_an_address_is_known_after_its_end(tmp_path: Path) -> None:
    async def work(server: CriServer, runtime: CriRuntime) -> None:
        sandbox_id = await runtime.run_sandbox(SandboxConfig(pod=POD))
        server.sandboxes[sandbox_id].network.ip = "10.0.0.9"
        assert [each.ips for each in await runtime.list_sandboxes()] == [("10.0.0.9",)]
        await runtime.stop_sandbox(sandbox_id)
        server.sandboxes[sandbox_id].ClearField("network")
        (found,) = await runtime.list_sandboxes()
        assert (found.ready, found.ips) == (False, ("10.0.0.9",))

    run(tmp_path, work)


def test_a_pod_that_cannot_be_bounded_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(group: str, resources: Resources) -> None:
        raise OSError(errno.EINVAL, "Invalid argument", group)

    async def work(server: CriServer, runtime: CriRuntime) -> None:
        with pytest.raises(RuntimeFailure, match="control group /kmini-test/kubepods/podu-1 cannot be bounded"):
            await runtime.run_sandbox(SandboxConfig(pod=POD))
        assert [each.ready for each in await runtime.list_sandboxes()] == [False]

    monkeypatch.setattr(cgroups, "bound", refused)
    run(tmp_path, work)


def test_an_agent_that_ended_before_it_bounded_a_pod_leaves_that_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Resources(cpu_shares=512, memory_limit=1 << 20)
    config = SandboxConfig(pod=POD, resources=wanted, annotations={cri_messages.BOUNDS: "{}"})
    found: list[tuple[str, Resources]] = []

    def bound(group: str, resources: Resources) -> None:
        found.append((group, resources))

    async def work(server: CriServer, runtime: CriRuntime) -> None:
        message = cri_messages.sandbox_message("n1", config, logs=tmp_path, cgroup_parent="/kmini-test/kubepods")
        server.RunPodSandbox(pb.RunPodSandboxRequest(config=message))  # as by an agent that heard of it no more
        (sandbox,) = await runtime.list_sandboxes()
        assert sandbox.ready
        assert found == [("/kmini-test/kubepods/podu-1", wanted)]
        await runtime.list_sandboxes()
        await runtime.run_sandbox(SandboxConfig(pod=POD, attempt=1, resources=wanted))
        await runtime.list_sandboxes()
        assert len(found) == 2, "once each"

    monkeypatch.setattr(cgroups, "bound", bound)
    run(tmp_path, work)


def test_what_a_pod_says_of_itself_bounds_nothing(tmp_path: Path) -> None:
    """Only what was asked for as a whole: no annotation of the pod, nor one from before it meant anything."""
    config = SandboxConfig(pod=POD, annotations={cri_messages.BOUNDS: '{"memory_limit": 4096}'})
    message = cri_messages.sandbox_message("n1", config, logs=tmp_path, cgroup_parent="/kmini-test/kubepods")
    assert cri_messages.BOUNDS not in message.annotations
    assert cri_messages.bounds_of(pb.PodSandboxStatus(annotations={cri_messages.BOUNDS: "large"})) == Resources()


def test_a_pod_that_cannot_be_bounded_when_it_is_found_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(group: str, resources: Resources) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy", group)

    async def work(server: CriServer, runtime: CriRuntime) -> None:
        message = cri_messages.sandbox_message("n1", SandboxConfig(pod=POD), logs=tmp_path, cgroup_parent="/kmini-test")
        server.RunPodSandbox(pb.RunPodSandboxRequest(config=message))
        assert [each.ready for each in await runtime.list_sandboxes()] == [False]
        assert server.calls["StopPodSandbox"] == 1

    monkeypatch.setattr(cgroups, "bound", refused)
    run(tmp_path, work)


def test_a_disk_that_takes_no_files_is_a_failure_of_the_call(tmp_path: Path) -> None:
    """Any other error is nobody's: the agent ended with the one, and of a pod nothing was said of why it waits."""

    async def work(server: CriServer, runtime: CriRuntime) -> None:
        sandbox_id = await runtime.run_sandbox(SandboxConfig(pod=POD))
        logs = cri_messages.pod_folder(runtime.settings.logs, POD)
        (tmp_path / "cni").write_text("no folder")
        (logs / "main").write_text("no folder")
        with pytest.raises(RuntimeFailure, match="cni"):
            await runtime.update_pod_cidr("10.0.0.0/24")
        with pytest.raises(RuntimeFailure, match="main"):
            await runtime.create_container(sandbox_id, MAIN)
        other = PodKey(namespace="default", name="web", uid="u-2")
        cri_messages.pod_folder(runtime.settings.logs, other).write_text("no folder")
        with pytest.raises(RuntimeFailure, match="u-2"):
            await runtime.run_sandbox(SandboxConfig(pod=other))
        assert server.calls["CreateContainer"] == 0
        assert server.calls["RunPodSandbox"] == 1

    run(tmp_path, work)
