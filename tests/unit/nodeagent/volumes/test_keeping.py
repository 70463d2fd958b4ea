"""What goes on beside the workers: files follow what they were made from, limits are kept, orphans go."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from volumes_world import VolumesWorld, run_volumes

from apiserver.api.core.config import ConfigMap
from apiserver.api.core.pod import Pod
from nodeagent.volumes import keeping
from nodeagent.volumes.keeping import MEASURE_S, SYNC_S, TICK_S, is_more_than


@asynccontextmanager
async def kept(world: VolumesWorld) -> AsyncIterator[None]:
    working = asyncio.create_task(world.keeper.run())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


def settings_pod(world: VolumesWorld, **more: Any) -> Pod:
    world.config_map("settings", a="1")
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    volumes = [{"name": "c", "configMap": {"name": "settings"}}, {"name": "d", "downwardAPI": {"items": items}}]
    return world.pod(volumes, **more)


def labelled(pod: Pod, **labels: str) -> Pod:
    return msgspec.structs.replace(pod, metadata=msgspec.structs.replace(pod.metadata, labels=labels))


def test_running_pods_see_changes_within_the_time_of_the_kubelet(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = settings_pod(world)
        await world.ready(pod)
        world.volumes.look(pod)
        async with kept(world):
            for number in "234":
                world.config_map("settings", a=number)
                await asyncio.sleep(SYNC_S + TICK_S)
                assert await world.shown(pod, "/c") == {"a": number}

    run_volumes(tmp_path, story)


def test_new_labels_are_seen_at_once_and_bring_the_rest_along(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = settings_pod(world)
        await world.ready(pod)
        world.volumes.look(pod)
        async with kept(world):
            await asyncio.sleep(20)
            world.config_map("settings", a="2")
            await asyncio.sleep(1.5)
            assert await world.shown(pod, "/c") == {"a": "1"}
            world.volumes.look(labelled(pod, new="yes"))
            await asyncio.sleep(1.5)
            assert await world.shown(pod, "/d") == {"labels": 'new="yes"'}
            assert await world.shown(pod, "/c") == {"a": "2"}

    run_volumes(tmp_path, story)


def test_who_changes_a_config_map_and_then_the_pod_is_not_shown_an_old_copy(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = settings_pod(world)
        world.volumes.look(pod)
        await world.ready(pod)
        async with kept(world):
            await asyncio.sleep(0.01)
            world.config_map("settings", a="2")
            world.volumes.look(labelled(pod, new="yes"))
            await asyncio.sleep(0.2)
            assert await world.shown(pod, "/c") == {"a": "2"}

    run_volumes(tmp_path, story)


def test_an_agent_that_comes_back_goes_on_at_once(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = settings_pod(world)
        mounts = await world.ready(pod)
        world.config_map("settings", a="2")
        world.new_agent()
        async with kept(world):
            await asyncio.sleep(0.1)
            world.volumes.look(pod)
            await asyncio.sleep(0.1)
            assert (Path(mounts["/c"].host_path) / "a").read_text() == "2"

    run_volumes(tmp_path, story)


def test_what_is_gone_or_cannot_be_asked_for_stays_as_it_was(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = settings_pod(world)
        await world.ready(pod)
        world.volumes.look(pod)
        async with kept(world):
            await world.client.delete(ConfigMap, "settings", namespace="default")
            await asyncio.sleep(SYNC_S * 2)
            assert await world.shown(pod, "/c") == {"a": "1"}
            world.api.faults.refused = 1.0
            await asyncio.sleep(SYNC_S * 2)
            assert await world.shown(pod, "/c") == {"a": "1"}
            world.api.faults.refused = 0.0
            world.config_map("settings", a="2")
            await asyncio.sleep(SYNC_S * 2)
            assert await world.shown(pod, "/c") == {"a": "2"}

    run_volumes(tmp_path, story)


def test_a_pod_whose_volumes_cannot_be_had_holds_up_no_other(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod, stuck = settings_pod(world), settings_pod(world, name="stuck")
        for each in (stuck, pod):
            await world.ready(each)
            world.volumes.look(each)
        async with kept(world), world.volumes.pods[stuck.metadata.uid].lock:
            world.config_map("settings", a="2")
            await asyncio.sleep(SYNC_S + TICK_S / 2)
            assert await world.shown(pod, "/c") == {"a": "2"}
        async with kept(world):
            await asyncio.sleep(TICK_S + 1)
            assert await world.shown(stuck, "/c") == {"a": "2"}

    run_volumes(tmp_path, story)


def test_nobody_waits_while_the_api_takes_its_time(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = settings_pod(world)
        await world.ready(pod)
        world.volumes.look(pod)
        async with kept(world):
            await asyncio.sleep(TICK_S * 2)
            world.api.faults.latency_s = (2.0, 2.0)
            world.volumes.look(labelled(pod, new="yes"))
            await asyncio.sleep(0.1)
            began = asyncio.get_running_loop().time()
            await world.release(pod)
            assert asyncio.get_running_loop().time() - began < 0.1
            await asyncio.sleep(60)
            assert not world.folders.of(pod.metadata.uid).exists()

    run_volumes(tmp_path, story)


def test_a_pod_that_is_released_gets_nothing_back(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pod = settings_pod(world)
        await world.ready(pod)
        world.volumes.look(pod)
        async with kept(world):
            await world.release(pod)
            world.volumes.look(labelled(pod, new="yes"))
            await asyncio.sleep(SYNC_S * 2)
            assert not world.folders.of(pod.metadata.uid).exists()

    run_volumes(tmp_path, story)


def test_many_pods_with_one_config_map_ask_for_it_once_a_round(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        pods = [settings_pod(world, name=f"p{number}") for number in range(20)]
        for pod in pods:
            await world.ready(pod)
            world.volumes.look(pod)
        async with kept(world):
            await asyncio.sleep(SYNC_S)
            before = world.api.requests
            await asyncio.sleep(SYNC_S * 10)
            rounds = 10 * SYNC_S / TICK_S  # at most one for each tick
            assert world.api.requests - before <= rounds + 1

    run_volumes(tmp_path, story)


def test_a_pod_whose_folder_grows_beyond_its_limit_must_end(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        woken: list[str] = []
        world.volumes.listen(woken.append)
        pod = world.pod([{"name": "v", "emptyDir": {"sizeLimit": "64Ki"}}, {"name": "free", "emptyDir": {}}])
        mounts = await world.ready(pod)
        assert world.volumes.look(pod) is None
        place = Path(mounts["/v"].host_path)
        async with kept(world):
            (Path(mounts["/free"].host_path) / "big").write_bytes(b"x" * (256 << 10))
            (place / "small").write_bytes(b"x" * (32 << 10))
            await asyncio.sleep(MEASURE_S * 2)
            assert (world.volumes.look(pod), woken) == (None, [])
            (place / "sub").mkdir()
            (place / "sub/more").write_bytes(b"x" * (64 << 10))
            await asyncio.sleep(MEASURE_S * 2)
        ending = world.volumes.look(pod)
        assert ending is not None
        assert ending.reason == "Evicted"
        assert ending.message == 'Usage of EmptyDir volume "v" exceeds the limit "64Ki". '
        assert woken == [pod.metadata.uid], "once"
        assert world.events.told == [("Evicted", ending.message)]

    run_volumes(tmp_path, story)


def test_only_what_is_known_stays(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        known, orphan, early = (world.pod([{"name": "m", "emptyDir": {"medium": "Memory"}}], name=n) for n in "koe")
        for pod in (known, orphan, early):
            await world.ready(pod)
        world.new_agent()
        async with kept(world):
            await asyncio.sleep(3600)
            assert len(world.folders.uids()) == 3, "nothing goes before it is known what is there"
            world.volumes.look(early)
            world.volumes.keep_only({known.metadata.uid})
            await asyncio.sleep(1)
        assert world.folders.uids() == sorted([known.metadata.uid, early.metadata.uid])

    run_volumes(tmp_path, story)


# --- measuring --------------------------------------------------------------------------------------------


def test_links_and_second_names_do_not_count(tmp_path: Path) -> None:
    volume, outside = tmp_path / "v", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * (1 << 20))
    (volume / "link").symlink_to(outside)
    (volume / "file").write_bytes(b"x" * (40 << 10))
    (volume / "again").hardlink_to(volume / "file")
    assert not is_more_than(volume, 48 << 10)
    assert is_more_than(volume, 39 << 10)


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert not is_more_than(tmp_path / "no", 0)


def test_counting_ends_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (tmp_path / str(number)).write_bytes(b"x" * 4096)
    monkeypatch.setattr(keeping, "ENTRIES_MAX", 10)
    assert not is_more_than(tmp_path, 20 * 4096)


def test_a_file_of_several_names_counts_once_and_is_not_remembered(tmp_path: Path) -> None:
    """A million of them took 200 MB of the agent."""
    count, size = 2_000, 4096
    for number in range(count):
        (tmp_path / f"{number}").write_bytes(b"x" * size)
        (tmp_path / f"{number}-again").hardlink_to(tmp_path / f"{number}")
    folder = tmp_path.stat().st_blocks * 512
    tracemalloc.start()
    try:
        assert not is_more_than(tmp_path, count * size + folder)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert is_more_than(tmp_path, count * size - 1)
    assert most < count * 50


def test_folders_that_wait_are_no_more_than_can_be_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "file").write_bytes(b"x" * (64 << 10))
    assert is_more_than(tmp_path, 10 * (64 << 10))
    monkeypatch.setattr(keeping, "WAITING_BYTES_MAX", 3 * len(str(tmp_path)))
    assert not is_more_than(tmp_path, 10 * (64 << 10))
