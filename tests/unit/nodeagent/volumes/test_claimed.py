"""Claims and their volumes: nobody has another's data, and what is deleted is what was made for the volume alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from killed_steps import Killed, kill_before_step
from volumes_world import NODE, VolumesWorld, run_volumes

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.meta import ObjectMeta
from apiserver.api.node_folders import FINALIZER, NODE_LABEL, PROVISIONED_BY, PROVISIONER, folder_name
from nodeagent.house import NotYet
from nodeagent.volumes import reclaiming

CLAIM = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
UID = "1-2-3"


def put_claim(
    world: VolumesWorld, *, phase: str = "Bound", volume: str = "pv", uid: str = UID, deleted: str | None = None
) -> None:
    finalizers = ["kubernetes.io/pvc-protection"]
    meta = ObjectMeta(name="data", namespace="default", uid=uid, finalizers=finalizers, deletion_timestamp=deleted)
    claim = PersistentVolumeClaim(metadata=meta)
    claim.spec.volume_name, claim.status.phase = volume, phase
    world.api.put(claim)


def put_volume(world: VolumesWorld, name: str = "pv", *, meta: dict[str, Any] | None = None, **spec: Any) -> None:
    reference = {"namespace": "default", "name": "data", "uid": UID}
    base = {
        "capacity": {"storage": "1Mi"},
        "accessModes": ["ReadWriteOnce"],
        "claimRef": reference,
        "persistentVolumeReclaimPolicy": "Delete",
    }
    body = {"metadata": {"name": name} | (meta or {}), "spec": base | spec, "status": {"phase": "Bound"}}
    world.api.put(msgspec.convert(body, PersistentVolume))


def put_folder_volume(world: VolumesWorld, root: Path, *, finalizers: list[str] | None = None, **spec: Any) -> Path:
    """One that the control plane made; its folder."""
    name = f"pvc-{UID}"
    path = root / folder_name(name, "default", "data")
    meta = {
        "labels": {NODE_LABEL: NODE},
        "annotations": {PROVISIONED_BY: PROVISIONER},
        "finalizers": finalizers or ["test.io/hold"],
    }
    source: dict[str, Any] = {"hostPath": {"path": str(path), "type": "DirectoryOrCreate"}}
    put_volume(world, name, meta=meta, **(source | spec))
    return path


async def why_not(world: VolumesWorld, pod: Pod) -> str:
    with pytest.raises(NotYet) as caught:
        await world.volumes.prepare(pod)
    return caught.value.message


def volume_of(world: VolumesWorld) -> PersistentVolume | None:
    return world.api.get(PersistentVolume, f"pvc-{UID}", "")


def affinity(**wanted: Any) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In"} | wanted]}
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}


# --- mounting ---------------------------------------------------------------------------------------------


def test_a_claim_shows_its_volume(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        put_claim(world)
        sources: list[dict[str, Any]] = [{"hostPath": {"path": str(disk)}}, {"local": {"path": str(disk)}}]
        for source in sources:
            put_volume(world, **source, **affinity(values=[NODE]))
            pod = world.pod(CLAIM)
            mount = (await world.ready(pod))["/v"]
            assert (mount.host_path, mount.read_only) == (str(disk), False)
            await world.release(pod)
            await asyncio.sleep(2)

    run_volumes(tmp_path, story)


@pytest.mark.parametrize(
    ("claim", "volume", "words"),
    [
        ({"phase": "Pending"}, {}, 'PVC "default/data" is not bound'),
        ({"volume": ""}, {}, 'PVC "default/data" is not bound'),
        ({"volume": "other"}, {}, 'failed to get PV "other"'),
        ({"deleted": "2026-01-01T00:00:00Z"}, {}, 'PVC "default/data" is being deleted'),
        ({"uid": "another"}, {}, 'PV "pv" is not bound to PVC "default/data"'),
        ({}, {"claimRef": None}, 'PV "pv" is not bound to PVC "default/data"'),
        ({}, {"volumeMode": "Block"}, "volumeMode Block, which is not supported"),
        ({}, affinity(values=["elsewhere"]), "its node affinity differs"),
        ({}, {"hostPath": None, "nfs": {"server": "s", "path": "/"}}, "only hostPath and local volumes"),
        ({}, {"hostPath": None, "local": {"path": "/nowhere"}}, "/nowhere is not a directory"),
    ],
)
def test_no_volume_is_shown_to_whom_it_is_not_for(
    tmp_path: Path, claim: dict[str, str], volume: dict[str, Any], words: str
) -> None:
    async def story(world: VolumesWorld) -> None:
        put_claim(world, **claim)
        source: dict[str, Any] = {"hostPath": {"path": str(tmp_path)}}
        put_volume(world, **(source | volume))
        assert words in await why_not(world, world.pod(CLAIM))

    run_volumes(tmp_path, story)


def test_the_claim_of_a_pod_alone_is_its_own(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        put_volume(world, hostPath={"path": str(tmp_path)}, claimRef={"namespace": "default", "name": "w", "uid": UID})
        pod = world.pod([{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}])
        meta = {"name": "web-v", "namespace": "default", "uid": UID}
        body = {"metadata": meta, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}
        world.api.put(msgspec.convert(body, PersistentVolumeClaim))
        assert 'was not created for pod "web"' in await why_not(world, pod)
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod.metadata.uid, "controller": True}
        world.api.put(msgspec.convert(body | {"metadata": meta | {"ownerReferences": [owner]}}, PersistentVolumeClaim))
        await asyncio.sleep(2)
        assert (await world.ready(pod))["/v"].host_path == str(tmp_path)

    run_volumes(tmp_path, story)


def test_a_claim_may_be_read_only(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        put_claim(world)
        put_volume(world, hostPath={"path": str(tmp_path)})
        source = {"claimName": "data", "readOnly": True}
        assert (await world.ready(world.pod([{"name": "v", "persistentVolumeClaim": source}])))["/v"].read_only

    run_volumes(tmp_path, story)


def test_a_folder_is_made_for_its_volume_which_waits_for_the_node_from_then_on(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        put_claim(world, volume=f"pvc-{UID}")
        path = put_folder_volume(world, tmp_path / "volumes")
        marked: list[bool] = []
        world.api.on_write.append(lambda verb, old, new: marked.append(path.exists()))
        pod = world.pod(CLAIM)
        marked.clear()
        assert (await world.ready(pod))["/v"].host_path == str(path)
        assert marked == [False], "the finalizer is there before the folder"
        found = volume_of(world)
        assert found is not None
        assert found.metadata.finalizers == ["test.io/hold", FINALIZER]
        assert path.stat().st_mode & 0o777 == 0o777
        path.chmod(0o700)
        world.new_agent()
        await world.ready(pod)
        assert path.stat().st_mode & 0o777 == 0o700, "what its pods made of it"

    run_volumes(tmp_path, story)


def test_a_folder_that_is_a_link_is_not_taken_for_the_volume(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        put_claim(world, volume=f"pvc-{UID}")
        path = put_folder_volume(world, tmp_path)
        path.symlink_to("/etc")
        assert "is a link" in await why_not(world, world.pod(CLAIM))

    run_volumes(tmp_path, story)


def test_a_group_gets_volumes_that_were_made_for_claims_and_no_others(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        by_hand = tmp_path / "by-hand"
        by_hand.mkdir(0o755)
        put_claim(world)
        put_volume(world, hostPath={"path": str(by_hand)})
        await world.ready(world.pod(CLAIM, securityContext={"fsGroup": 4321}))
        assert by_hand.stat().st_gid == 0
        put_claim(world, volume=f"pvc-{UID}")
        path = put_folder_volume(world, tmp_path / "volumes")
        await asyncio.sleep(2)
        pod = world.pod(CLAIM, name="other", securityContext={"fsGroup": 4321})
        await world.ready(pod)
        assert (path.stat().st_gid, path.stat().st_mode & 0o2070) == (4321, 0o2070)
        os.chown(path, -1, 7)
        world.new_agent()
        await world.ready(pod)
        assert path.stat().st_gid == 7, "once for each pod"

    run_volumes(tmp_path, story)


def test_making_a_folder_may_end_anywhere_and_is_finished_by_the_next_agent(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        put_claim(world, volume=f"pvc-{UID}")
        killed = 0
        for number in range(1, 60):
            root = tmp_path / f"volumes-{number}"
            path = put_folder_volume(world, root)
            await asyncio.sleep(2)
            pod = world.pod(CLAIM, name=f"p{number}", securityContext={"fsGroup": 4321})
            with pytest.MonkeyPatch.context() as patched:
                kill_before_step(patched, number)
                try:
                    await world.ready(pod)
                    finished = True
                except (Killed, NotYet):
                    killed, finished = killed + 1, False
            world.new_agent()
            assert (await world.ready(pod))["/v"].host_path == str(path)
            assert (path.stat().st_gid, path.stat().st_mode & 0o7777) == (4321, 0o2777)
            assert [each.name for each in root.iterdir()] == [path.name]
            await world.release(pod)
            if finished:
                break
        assert killed > 5

    run_volumes(tmp_path, story)


def test_a_pod_keeps_its_volume_while_the_api_is_away_also_with_a_new_agent(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        put_claim(world)
        put_volume(world, hostPath={"path": str(tmp_path)})
        pod = world.pod([{"name": "v", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}])
        first = await world.ready(pod)
        world.api.faults.refused = 1.0
        world.new_agent()
        assert await world.ready(pod) == first
        assert first["/v"].read_only
        note = world.folders.of(pod.metadata.uid) / "notes/v"
        note.write_bytes(note.read_bytes()[:5])
        world.new_agent()
        assert "MountVolume.SetUp failed" in await why_not(world, pod), "half a note is none"
        world.api.faults.refused = 0.0
        await asyncio.sleep(60)
        assert await world.ready(pod) == first
        await world.release(pod)
        assert world.folders.uids() == []

    run_volumes(tmp_path, story)


# --- reclaiming -------------------------------------------------------------------------------------------


@asynccontextmanager
async def reclaiming_goes_on(world: VolumesWorld) -> AsyncIterator[None]:
    working = asyncio.create_task(world.reclaimer.run())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def delete(world: VolumesWorld) -> None:
    """As the control plane does: nobody is bound to it any more."""
    found = volume_of(world)
    assert found is not None
    found.status.phase = "Released"
    world.api.put(found)
    await world.client.delete(PersistentVolume, found.metadata.name)


def made(path: Path) -> Path:
    (path / "a/b").mkdir(parents=True)
    (path / "a/link").symlink_to("/etc")
    (path / "file").write_text("data")
    return path


@pytest.mark.parametrize(("policy", "stays"), [("Delete", False), ("Retain", True)])
def test_the_folder_goes_as_the_policy_says_and_then_the_volume(tmp_path: Path, policy: str, stays: bool) -> None:
    async def story(world: VolumesWorld) -> None:
        root = tmp_path / "volumes"
        path = made(put_folder_volume(world, root, finalizers=[FINALIZER], persistentVolumeReclaimPolicy=policy))
        (root / "neighbour").mkdir()
        there: list[bool] = []
        world.api.on_write.append(lambda verb, old, new: there.append(path.exists()) if verb == "delete" else None)
        async with reclaiming_goes_on(world):
            await asyncio.sleep(60)
            assert path.exists(), "nobody deleted it"
            await delete(world)
            await asyncio.sleep(60)
        assert volume_of(world) is None
        assert there == [stays]
        assert (root / "neighbour").exists()

    run_volumes(tmp_path, story)


def test_a_volume_that_was_deleted_while_the_agent_was_away_goes_too(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        path = made(put_folder_volume(world, tmp_path / "volumes", finalizers=[FINALIZER]))
        await delete(world)
        (world.folders.root / "lost+found").mkdir(parents=True)  # no pod's
        async with reclaiming_goes_on(world):
            await asyncio.sleep(5)
        assert volume_of(world) is None
        assert not path.exists()

    run_volumes(tmp_path, story)


@pytest.mark.parametrize("held", ["kubernetes.io/pv-protection", "bound", "in use"])
def test_nothing_goes_that_somebody_has(tmp_path: Path, held: str) -> None:
    async def story(world: VolumesWorld) -> None:
        finalizers = [FINALIZER] + ([held] if "/" in held else [])
        path = made(put_folder_volume(world, tmp_path / "volumes", finalizers=finalizers))
        put_claim(world, volume=f"pvc-{UID}")
        pod = world.pod(CLAIM)
        if held == "in use":
            await world.ready(pod)
            world.new_agent()  # also one that knows nothing of the pod but its folder
        if held == "bound":
            await world.client.delete(PersistentVolume, f"pvc-{UID}")
        else:
            await delete(world)
        async with reclaiming_goes_on(world):
            await asyncio.sleep(reclaiming.AGAIN_S * 3)
            assert (path / "file").exists()
            found = volume_of(world)
            assert found is not None
            assert FINALIZER in found.metadata.finalizers
            if held == "in use":
                await world.release(pod)
                await asyncio.sleep(reclaiming.AGAIN_S * 3)
                assert not path.exists()
                assert volume_of(world) is None

    run_volumes(tmp_path, story)


@pytest.mark.parametrize(
    ("lie", "goes"),
    [
        ({"hostPath": {"path": "{data}"}}, True),
        ({"hostPath": {"path": "{data}/../data"}}, False),  # the API would have refused it, as it now does our write
        ({"hostPath": {"path": "{root}/x/../{own}"}}, False),
        ({"claimRef": {"namespace": "default", "name": "data", "uid": "9-9"}}, True),
        ({"hostPath": None, "local": {"path": "{data}"}} | affinity(values=[NODE]), True),
    ],
)
def test_folders_that_were_not_made_for_the_volume_are_never_removed(
    tmp_path: Path, lie: dict[str, Any], goes: bool
) -> None:
    async def story(world: VolumesWorld) -> None:
        root, data = tmp_path / "volumes", made(tmp_path / "data")
        own = folder_name(f"pvc-{UID}", "default", "data")
        text = msgspec.json.encode(lie).decode()
        for name, value in (("{data}", str(data)), ("{root}", str(root)), ("{own}", own)):
            text = text.replace(name, value)
        made(root / own)
        put_folder_volume(world, root, finalizers=[FINALIZER], **msgspec.json.decode(text))
        async with reclaiming_goes_on(world):
            await delete(world)
            await asyncio.sleep(60)
        assert (volume_of(world) is None) is goes, "nobody waits for ever"
        assert (data / "file").exists()
        assert (root / own / "file").exists()

    run_volumes(tmp_path, story)


def test_a_link_in_the_place_of_the_folder_goes_alone(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        root, data = tmp_path / "volumes", made(tmp_path / "data")
        root.mkdir()
        path = put_folder_volume(world, root, finalizers=[FINALIZER])
        path.symlink_to(data)
        async with reclaiming_goes_on(world):
            await delete(world)
            await asyncio.sleep(60)
        assert not path.is_symlink()
        assert (data / "file").exists()

    run_volumes(tmp_path, story)


def test_without_the_api_nothing_is_lost_and_afterwards_it_goes(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        path = made(put_folder_volume(world, tmp_path / "volumes", finalizers=[FINALIZER]))
        async with reclaiming_goes_on(world):
            await asyncio.sleep(5)
            world.api.faults.refused = world.api.faults.watch_break = 1.0
            world.api.faults.of = ("agent",)
            world.api.break_watches()
            found = volume_of(world)
            assert found is not None
            found.status.phase = "Released"
            world.api.put(found)
            await world.api.client().delete(PersistentVolume, found.metadata.name)
            await asyncio.sleep(600)
            assert path.exists()
            world.api.heal()
            await asyncio.sleep(120)
        assert not path.exists()
        assert volume_of(world) is None

    run_volumes(tmp_path, story)
