"""Volumes of pods: what is mounted, in Kubernetes' words when it cannot be, once however often it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from killed_steps import Killed, kill_before_step
from volumes_world import VolumesWorld, run_volumes

from apiserver.api.core.pod import Pod
from nodeagent.house import NotYet
from nodeagent.runtime.interface import Mount
from nodeagent.volumes import pod_volumes
from nodeagent.volumes.files_work import in_thread
from nodeagent.volumes.mounting import is_mounted, mounts_under


def at(mount: Mount) -> Path:
    return Path(mount.host_path)


async def why_not(work: Any) -> NotYet:
    with pytest.raises(NotYet) as caught:
        await work
    return caught.value


def test_files_are_mounted_read_only_and_secret_ones_are_in_memory(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        world.config_map("settings", a="1")
        world.secret("password", p="aGlkZGVu")
        pod = world.pod(
            [
                {"name": "c", "configMap": {"name": "settings"}},
                {"name": "s", "secret": {"secretName": "password", "defaultMode": 0o400}},
                {"name": "d", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"name": "p", "projected": {"sources": [{"secret": {"name": "password"}}]}},
            ]
        )
        mounts = await world.ready(pod)
        assert all(each.read_only for each in mounts.values())
        assert await world.shown(pod, "/c") == {"a": "1"}
        assert await world.shown(pod, "/d") == {"n": "web"}
        for path in ("/s", "/p"):
            assert await world.shown(pod, path) == {"p": "hidden"}
            place = at(mounts[path])
            assert is_mounted(place.parent, "tmpfs")
        assert (at(mounts["/s"]) / "p").stat().st_mode & 0o777 == 0o400
        assert (at(mounts["/p"]) / "p").stat().st_mode & 0o777 == 0o644, "as the pod wants it"
        assert world.folders.root.stat().st_mode & 0o777 == 0o700, "nobody else of the node comes by"
        on_disk = [each for each in (world.folders.of(pod.metadata.uid) / "volumes").rglob("*") if each.is_file()]
        assert all(b"hidden" not in each.read_bytes() for each in on_disk)
        await world.release(pod)
        assert not world.folders.of(pod.metadata.uid).exists()
        assert mounts_under(world.folders.root) == []

    run_volumes(tmp_path, story)


def test_without_a_tmpfs_no_secret_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: VolumesWorld) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("nodeagent.volumes.folders.mount_tmpfs", refuse)
        world.secret("password", p="aGlkZGVu")
        pod = world.pod([{"name": "s", "secret": {"secretName": "password"}}])
        error = await why_not(world.volumes.prepare(pod))
        assert "no tmpfs for secrets: Operation not permitted" in error.message
        assert [each for each in world.folders.root.rglob("*") if each.is_file()] == []

    run_volumes(tmp_path, story)


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        ({"configMap": {"name": "settings", "items": [{"key": "no", "path": "x"}]}}, "non-existent config key: no"),
        ({"hostPath": {"path": "/nowhere", "type": "Directory"}}, "/nowhere is not a directory"),
        ({"persistentVolumeClaim": {"claimName": "no"}}, 'persistentvolumeclaim "no" not found'),
        ({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}, 'persistentvolumeclaim "web-v" not found'),
        ({"nfs": {"server": "s", "path": "/"}}, "volumes of kind nfs are not supported here"),
        ({"csi": {"driver": "d"}}, "volumes of kind csi are not supported here"),
        ({"emptyDir": {"medium": "HugePages"}}, "medium HugePages is not supported here"),
        ({"projected": {"sources": [{"clusterTrustBundle": {"name": "b", "path": "p"}}]}}, "can be projected here"),
    ],
)
def test_what_cannot_be_mounted_is_waited_for(tmp_path: Path, volume: dict[str, Any], words: str) -> None:
    async def story(world: VolumesWorld) -> None:
        world.config_map("settings", a="1")
        pod = world.pod([{"name": "v"} | volume])
        error = await why_not(world.volumes.prepare(pod))
        assert (error.reason, error.event) == ("ContainerCreating", "FailedMount")
        assert error.message.startswith('MountVolume.SetUp failed for volume "v" : ')
        assert words in error.message

    run_volumes(tmp_path, story)


def test_waits_grow_and_are_bounded(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = world.pod([{"name": "v", "configMap": {"name": "late"}}])
        waits = []
        for _ in range(8):
            waits.append((await why_not(world.volumes.prepare(pod))).again_s)
            await asyncio.sleep(2)
        assert waits[:4] == [1, 2, 4, 8]
        assert max(waits) == pod_volumes.AGAIN_MAX_S
        world.config_map("late", a="1")
        await world.ready(pod)
        assert await world.shown(pod, "/v") == {"a": "1"}

    run_volumes(tmp_path, story)


def test_optional_sources_may_be_missing(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        world.config_map("settings", a="1")
        items = [{"key": "no", "path": "x"}, {"key": "a", "path": "y", "mode": 0o600}]
        pod = world.pod(
            [
                {"name": "c", "configMap": {"name": "no", "optional": True}},
                {"name": "s", "secret": {"secretName": "no", "optional": True}},
                {"name": "i", "configMap": {"name": "settings", "optional": True, "items": items}},
            ]
        )
        mounts = await world.ready(pod)
        assert await world.shown(pod, "/c") == await world.shown(pod, "/s") == {}
        assert await world.shown(pod, "/i") == {"y": "1"}
        assert (at(mounts["/i"]) / "y").stat().st_mode & 0o777 == 0o600

    run_volumes(tmp_path, story)


def test_what_no_container_mounts_is_not_made(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = world.pod([{"name": "v", "configMap": {"name": "no"}}], [])
        assert await world.ready(pod) == {}

    run_volumes(tmp_path, story)


def test_what_is_ready_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: VolumesWorld) -> None:
        world.config_map("settings", a="1")
        pod = world.pod([{"name": "v", "configMap": {"name": "settings"}}, {"name": "e", "emptyDir": {}}])
        await world.volumes.prepare(pod)
        requests = world.api.requests
        monkeypatch.setattr(os, "mkdir", None)
        await asyncio.sleep(600)
        await world.volumes.prepare(pod)
        assert world.api.requests == requests

    run_volumes(tmp_path, story)


def test_a_new_agent_finds_everything_as_it_was(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = world.pod([{"name": "m", "emptyDir": {"medium": "Memory"}}, {"name": "e", "emptyDir": {}}])
        first = await world.ready(pod)
        for path in ("/m", "/e"):
            (at(first[path]) / "data").write_text("x")
            at(first[path]).chmod(0o700)  # as databases do
        mounted = mounts_under(world.folders.root)
        world.new_agent()
        assert await world.ready(pod) == first
        assert mounts_under(world.folders.root) == mounted
        for path in ("/m", "/e"):
            assert (at(first[path]) / "data").read_text() == "x"
            assert at(first[path]).stat().st_mode & 0o777 == 0o700
        world.new_agent()
        await world.release(pod)
        assert not world.folders.of(pod.metadata.uid).exists()

    run_volumes(tmp_path, story)


def test_an_agent_that_starts_without_the_api_takes_files_as_they_are(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        world.config_map("settings", a="1")
        world.secret("password", p="aGlkZGVu")
        pod = world.pod(
            [{"name": "c", "configMap": {"name": "settings"}}, {"name": "s", "secret": {"secretName": "password"}}]
        )
        first = await world.ready(pod)
        world.api.faults.of = ("agent",)
        world.api.faults.refused = 1.0
        world.new_agent()
        assert await world.ready(pod) == first
        assert await world.shown(pod, "/s") == {"p": "hidden"}
        other = world.pod([{"name": "c", "configMap": {"name": "settings"}}], name="other")
        with pytest.raises(NotYet):
            await world.volumes.prepare(other)
        world.api.faults.refused = 0.0

    run_volumes(tmp_path, story)


def test_preparing_may_end_anywhere_and_is_finished_by_the_next_agent(tmp_path: Path) -> None:
    """As if the process were killed just before any of its steps on files."""

    async def story(world: VolumesWorld) -> None:
        world.secret("password", p="aGlkZGVu")
        killed = 0
        for number in range(1, 200):
            pod = world.pod(
                [
                    {"name": "s", "secret": {"secretName": "password"}},
                    {"name": "e", "emptyDir": {}},
                    {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "64Ki"}},
                ],
                [
                    {"name": "s", "mountPath": "/s"},
                    {"name": "m", "mountPath": "/m"},
                    {"name": "e", "mountPath": "/e", "subPath": "a/b"},
                ],
                name=f"p{number}",
            )
            with pytest.MonkeyPatch.context() as patched:
                kill_before_step(patched, number)
                try:
                    await world.ready(pod)
                    finished = True
                except (Killed, NotYet):
                    killed, finished = killed + 1, False
            world.new_agent()
            mounts = await world.ready(pod)
            assert (at(mounts["/s"]) / "p").read_text() == "hidden"
            assert at(mounts["/e"]).stat().st_mode & 0o777 == 0o777
            assert is_mounted(at(mounts["/m"]), "tmpfs")
            with pytest.MonkeyPatch.context() as patched:
                kill_before_step(patched, number)
                with contextlib.suppress(Killed, NotYet):
                    await world.release(pod)
            world.new_agent()
            await world.release(pod)
            assert not world.folders.of(pod.metadata.uid).exists()
            if finished:
                break
        assert killed > 15
        assert mounts_under(world.folders.root) == []

    run_volumes(tmp_path, story)


def test_release_waits_for_what_is_under_way(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        world.config_map("settings", a="1")
        world.api.faults.latency_s = (0.5, 0.5)
        pod = world.pod([{"name": "v", "configMap": {"name": "settings"}}])
        async with asyncio.TaskGroup() as group:
            group.create_task(world.volumes.prepare(pod))
            await asyncio.sleep(0.1)
            await world.release(pod)
        await asyncio.sleep(10)
        assert not world.folders.of(pod.metadata.uid).exists()

    run_volumes(tmp_path, story)


def test_who_is_cancelled_waits_for_its_thread() -> None:
    """On a real loop: a thread goes on, and nobody may touch the same files meanwhile."""
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait(10)
        ended.set()

    async def main() -> None:
        working = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(began.wait, 10)
        for _ in range(2):
            working.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not working.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert ended.is_set()

    asyncio.run(main())


# --- mounts -----------------------------------------------------------------------------------------------


def test_mounts_are_as_the_container_says(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        shared = tmp_path / "shared"
        shared.mkdir()
        pod = world.pod(
            [{"name": "v", "hostPath": {"path": str(shared)}}],
            [
                {"name": "v", "mountPath": "/rw", "mountPropagation": "HostToContainer"},
                {"name": "v", "mountPath": "/ro", "readOnly": True},
            ],
        )
        mounts = await world.ready(pod)
        assert mounts["/rw"].host_path == mounts["/ro"].host_path == str(shared)
        assert (mounts["/rw"].read_only, mounts["/ro"].read_only) == (False, True)
        assert (mounts["/rw"].propagation, mounts["/ro"].propagation) == ("HostToContainer", "")

    run_volumes(tmp_path, story)


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"subPath": "link"}, "not within volume path"),
        ({"subPath": "link/passwd"}, "not within volume path"),
        ({"subPath": "../../x"}, "must not contain '..'"),
        ({"subPath": "/etc"}, "must not be an absolute path"),
        ({"subPathExpr": "$(NOT_THERE)"}, 'missing value for "NOT_THERE"'),
        ({"subPathExpr": "$(UP)/x"}, "must not contain '..'"),
        ({"subPathExpr": "$(ROOT)"}, "must not be an absolute path"),
        ({"recursiveReadOnly": "Enabled", "readOnly": True}, "recursiveReadOnly is not supported"),
    ],
)
def test_mounts_that_cannot_be_are_refused(tmp_path: Path, mount: dict[str, Any], words: str) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = world.pod([{"name": "v", "emptyDir": {}}], [{"name": "v", "mountPath": "/v"} | mount])
        pod.spec.containers[0].env = [variable("UP", ".."), variable("ROOT", "/etc")]
        await world.volumes.prepare(pod)
        world.folders.volume(pod.metadata.uid, "v").joinpath("link").symlink_to("/etc")
        error = await why_not(world.mounts(pod))
        assert (error.reason, error.event) == ("CreateContainerConfigError", "Failed")
        assert words in error.message

    run_volumes(tmp_path, story)


def variable(name: str, value: str) -> Any:
    from apiserver.api.core.containers import EnvVar

    return EnvVar(name=name, value=value)


def test_a_sub_path_is_mounted_where_nobody_else_can_change_it(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = world.pod(
            [{"name": "v", "emptyDir": {}}],
            [
                {"name": "v", "mountPath": "/part", "subPath": "a/b"},
                {"name": "v", "mountPath": "/file", "subPath": "file"},
                {"name": "v", "mountPath": "/named", "subPathExpr": "$(NAME)-$$(X)"},
            ],
        )
        pod.spec.containers[0].env = [variable("NAME", "web")]
        await world.volumes.prepare(pod)
        volume = world.folders.volume(pod.metadata.uid, "v")
        (volume / "file").write_text("text")
        mounts = await world.mounts(pod)
        part = at(mounts["/part"])
        assert volume not in part.parents
        (part / "x").write_text("through")
        assert (volume / "a/b/x").read_text() == "through"
        assert at(mounts["/file"]).read_text() == "text"
        assert (volume / "web-$(X)").is_dir()
        # a link in its place afterwards changes nothing for the mount
        (volume / "a").rename(volume / "aside")
        (volume / "a").symlink_to("/etc")
        assert (part / "x").read_text() == "through"
        assert "not within volume path" in (await why_not(world.mounts(pod))).message
        (volume / "a").unlink()
        (volume / "aside").rename(volume / "a")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("nodeagent.volumes.subpaths.bind", None)
            assert await world.mounts(pod) == mounts, "what is mounted already is not mounted again"
        (volume / "file").unlink()
        (volume / "file").mkdir()
        assert at((await world.mounts(pod))["/file"]).is_dir(), "who starts anew has what is there now"
        await world.release(pod)
        assert mounts_under(world.folders.root) == []

    run_volumes(tmp_path, story)


def test_a_sub_path_of_a_config_map_is_one_file(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        world.config_map("settings", a="1")
        pod = world.pod(
            [{"name": "v", "configMap": {"name": "settings"}}], [{"name": "v", "mountPath": "/f", "subPath": "a"}]
        )
        mounts = await world.ready(pod)
        assert at(mounts["/f"]).read_text() == "1"
        pod = world.pod(
            [{"name": "v", "configMap": {"name": "settings"}}],
            [{"name": "v", "mountPath": "/f", "subPath": "no"}],
            name="other",
        )
        await world.volumes.prepare(pod)
        assert "No such file" in (await why_not(world.mounts(pod))).message

    run_volumes(tmp_path, story)


# --- memory and groups ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "memory", "size"),
    [("128Ki", None, 128 << 10), ("128Ki", "64Ki", 64 << 10), (None, "64Ki", 64 << 10), (None, None, 64 << 20)],
)
def test_a_memory_volume_is_no_larger_than_it_may_be(
    tmp_path: Path, limit: str | None, memory: str | None, size: int
) -> None:
    async def story(world: VolumesWorld) -> None:
        source = {"medium": "Memory"} | ({"sizeLimit": limit} if limit else {})
        pod: Pod = world.pod([{"name": "v", "emptyDir": source}])
        pod.spec.containers[0].resources.limits = {"memory": memory} if memory else {}
        place = (await world.ready(pod))["/v"].host_path
        found = os.statvfs(place)
        assert found.f_blocks * found.f_frsize == size

    run_volumes(tmp_path, story)


def test_the_group_of_a_pod_has_its_volumes(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        world.secret("password", p="aGlkZGVu")
        shared = tmp_path / "shared"
        shared.mkdir(0o755)
        pod = world.pod(
            [
                {"name": "s", "secret": {"secretName": "password", "defaultMode": 0o400}},
                {"name": "e", "emptyDir": {}},
                {"name": "m", "emptyDir": {"medium": "Memory"}},
                {"name": "h", "hostPath": {"path": str(shared)}},
            ],
            securityContext={"fsGroup": 4321},
        )
        mounts = {path: Path(each.host_path) for path, each in (await world.ready(pod)).items()}
        for path in ("/e", "/m"):
            assert (mounts[path].stat().st_gid, mounts[path].stat().st_mode & 0o7777) == (4321, 0o2777)
        assert ((mounts["/s"] / "p").stat().st_gid, (mounts["/s"] / "p").stat().st_mode & 0o777) == (4321, 0o440)
        assert (shared.stat().st_gid, shared.stat().st_mode & 0o777) == (0, 0o755)

    run_volumes(tmp_path, story)


def test_folders_whose_server_is_silent_hold_up_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def silent(path: str, _: str) -> Path:
        assert answers.wait(60)
        return Path(path)

    async def story() -> None:
        world = VolumesWorld(tmp_path)
        far = [world.pod([{"name": "v", "hostPath": {"path": "/far"}}], name=f"far-{number}") for number in range(20)]
        waiting = [asyncio.create_task(world.volumes.prepare(pod)) for pod in far]
        await asyncio.sleep(0)
        near = world.pod([{"name": "v", "emptyDir": {}}], name="near")
        try:
            async with asyncio.timeout(30):
                assert at((await world.ready(near))["/v"]).is_dir()
                await world.release(near)
        finally:
            answers.set()
            await asyncio.gather(*waiting)

    monkeypatch.setattr("nodeagent.volumes.kinds.host_path", silent)
    asyncio.run(story())
