"""subPathExpr: folders that are named after what a container has in its environment, all of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
import pytest
from agent_world import AgentWorld, run_story
from spec_world import NETWORK, SANDBOX
from volumes_world import VolumesWorld, run_volumes

from apiserver.api.core.containers import Container, EnvVar
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.client import Informer
from nodeagent.house import Variables
from nodeagent.plain import NoVolumes, PlainSpecs
from nodeagent.runtime.interface import Mount, Sandbox
from nodeagent.spec.specs import ContainerSpecs, NodeFacts

FACTS = NodeFacts(
    host_ips=("192.0.2.7",),
    allocatable={},
    memory_capacity=1 << 30,
    profiles=Path("/nowhere"),
    app_armor=False,
    oom_group=False,
)


def test_a_folder_is_named_after_the_address_of_the_pod_and_of_a_service(tmp_path: Path) -> None:
    async def story(world: VolumesWorld) -> None:
        world.api.put(
            msgspec.convert(
                {
                    "metadata": {"name": "kubernetes", "namespace": "default"},
                    "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]},
                },
                Service,
            )
        )
        mount = {"name": "v", "mountPath": "/v", "subPathExpr": "$(IP)-$(KUBERNETES_SERVICE_PORT)"}
        pod = world.pod([{"name": "v", "emptyDir": {}}], [mount])
        spec = pod.spec.containers[0]
        address = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        spec.env = [msgspec.convert(address, EnvVar)]
        async with Informer(world.client, Service) as services:
            await services.wait_for_sync()
            specs = ContainerSpecs(FACTS, NETWORK, world.references, services, world.events)
            await world.volumes.prepare(pod)
            await world.volumes.mounts(pod, spec, partial(specs.variables, pod, spec, SANDBOX))
        volume = world.folders.volume(pod.metadata.uid, "v")
        assert [each.name for each in volume.iterdir()] == ["10.244.1.7-443"]
        await world.release(pod)

    run_volumes(tmp_path, story)


def test_whoever_mounts_is_told_the_environment_in_this_very_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Mapping[str, str]] = []

    async def variables(_: PlainSpecs, pod: Pod, spec: Container, sandbox: Sandbox) -> Mapping[str, str]:
        return {f"{pod.metadata.name}/{spec.name}": sandbox.ips[0]}

    async def mounts(_: NoVolumes, pod: Pod, spec: Container, variables: Variables) -> list[Mount]:
        heard.append(await variables())
        return []

    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        assert heard == [{"a/main": world.status("a").pod_ip}]

    monkeypatch.setattr(PlainSpecs, "variables", variables)
    monkeypatch.setattr(NoVolumes, "mounts", mounts)
    run_story(story)
