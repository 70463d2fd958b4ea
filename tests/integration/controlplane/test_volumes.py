"""Claims and volumes on a real control plane with simulated nodes, as kubectl shows them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator

import pytest
from controllers_process import until
from controllers_world_objects import claim, namespace, persistent_volume, pod
from kmini.controlling import Controlled
from kmini.dev.control_plane import ControlPlane
from kubectl_binaries import MISSING, binaries

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.errors import NotFound
from apiserver.api.meta import DeleteOptions, TopObject
from apiserver.api.storage import StorageClass
from apiserver.client import Client
from nodeagent.simulation import SimulatedNodes

CLASS = "host-path"
BY_HAND = "kubernetes.io/no-provisioner"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(controllers=Controlled("in-process")) as found:
        yield found


def kubectl(plane: ControlPlane, *arguments: str) -> str:
    command = [str(binaries()[0].path), "--kubeconfig", str(plane.kubeconfig), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def row(table: str, name: str) -> dict[str, str]:
    """Of a table where no cell is empty, the row of that name."""
    header, *rows = [
        line.split() for line in table.replace("ACCESS MODES", "MODES").replace("RECLAIM POLICY", "POLICY").splitlines()
    ]
    return next(dict(zip(header, cells, strict=False)) for cells in rows if cells[0] == name)


def with_nodes(plane: ControlPlane, place: str, body: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with (
            Client.from_kubeconfig(plane.kubeconfig, learn=False) as client,
            SimulatedNodes(client, count=2, prefix=place, remove=True) as nodes,
        ):
            await nodes.wait_registered()
            await client.create(namespace(place))
            client.namespace = place
            await until(lambda: has_default_class(client), what="the default class")
            await body(client)

    asyncio.run(main())


async def has_default_class(client: Client) -> bool:
    try:
        await client.get(StorageClass, CLASS)
    except NotFound:
        return False
    return True


async def is_running(client: Client, name: str) -> bool:
    return (await client.get(Pod, name)).status.phase == "Running"


async def is_gone(client: Client, type_: type[TopObject], name: str) -> bool:
    try:
        await client.get(type_, name)
    except NotFound:
        return True
    return False


async def phase_of(client: Client, name: str) -> str:
    return (await client.get(PersistentVolume, name)).status.phase


def using(name: str, place: str) -> Pod:
    return pod(name, namespace=place, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])


@pytest.mark.skipif(not binaries(), reason=MISSING)
def test_a_claim_of_the_default_class_from_its_pod_to_its_end(plane: ControlPlane) -> None:
    place = "made"

    async def body(client: Client) -> None:
        shown = await asyncio.to_thread(kubectl, plane, "get", "sc")
        assert f"{CLASS} (default)" in shown
        assert row(shown.replace(" (default)", ""), CLASS)["VOLUMEBINDINGMODE"] == "WaitForFirstConsumer"
        await client.create(claim("data", namespace=place))
        shown = await asyncio.to_thread(kubectl, plane, "-n", place, "get", "pvc", "data")
        assert "Pending" in shown
        await client.create(using("web", place))
        await until(lambda: is_running(client, "web"), what="the pod runs")
        found = await client.get(PersistentVolumeClaim, "data")
        name = found.spec.volume_name
        web = await client.get(Pod, "web")
        volume = await client.get(PersistentVolume, name)
        assert volume.spec.node_affinity is not None
        assert web.spec.node_name in str(volume.spec.node_affinity)
        assert volume.status.last_phase_transition_time

        shown = await asyncio.to_thread(kubectl, plane, "-n", place, "get", "pvc")
        cells = row(shown, "data")
        assert (cells["STATUS"], cells["VOLUME"], cells["CAPACITY"], cells["MODES"]) == ("Bound", name, "1Gi", "RWO")
        cells = row(await asyncio.to_thread(kubectl, plane, "get", "pv"), name)
        assert (cells["STATUS"], cells["CLAIM"], cells["STORAGECLASS"]) == ("Bound", f"{place}/data", CLASS)

        await client.delete(PersistentVolumeClaim, "data")
        shown = await asyncio.to_thread(kubectl, plane, "-n", place, "get", "pvc")
        assert row(shown, "data")["STATUS"] == "Terminating"  # it is in use
        await client.delete(Pod, "web", options=DeleteOptions(grace_period_seconds=1))
        await until(lambda: is_gone(client, PersistentVolumeClaim, "data"), what="the claim goes")
        await until(lambda: is_gone(client, PersistentVolume, name), what="its volume goes")

    with_nodes(plane, place, body)


@pytest.mark.skipif(not binaries(), reason=MISSING)
def test_a_retained_volume_stays_with_its_data(plane: ControlPlane) -> None:
    place = "kept"

    async def body(client: Client) -> None:
        await client.create(persistent_volume("disk", storageClassName="", persistentVolumeReclaimPolicy="Retain"))
        await client.create(claim("data", namespace=place, storageClassName=""))
        await client.create(using("web", place))
        await until(lambda: is_running(client, "web"), what="the pod runs")
        await client.delete(Pod, "web", options=DeleteOptions(grace_period_seconds=1))
        await client.delete(PersistentVolumeClaim, "data")

        async def is_released() -> bool:
            return await phase_of(client, "disk") == "Released"

        await until(is_released, what="the volume is let go")
        cells = row(await asyncio.to_thread(kubectl, plane, "get", "pv"), "disk")
        assert (cells["STATUS"], cells["CLAIM"], cells["POLICY"]) == ("Released", f"{place}/data", "Retain")
        await client.create(claim("data", namespace=place, storageClassName=""))
        await asyncio.sleep(2)  # what would be done with it would be done by now
        assert (await client.get(PersistentVolumeClaim, "data")).status.phase == "Pending"
        await asyncio.to_thread(kubectl, plane, "delete", "pv", "disk", "--timeout=50s")
        assert await is_gone(client, PersistentVolume, "disk")

    with_nodes(plane, place, body)
