"""Claims, volumes, pods, people and storms: nobody's data goes to anybody else, and all that can be bound is bound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import claim, persistent_volume, pod, storage_class
from volume_invariants import SELECTED_NODE, VolumeRules, check_settled, could_be_bound, only_on

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.errors import AlreadyExists, Conflict, NotFound
from apiserver.api.meta import DeleteOptions
from controlplane import scheduler
from controlplane.controllers import provisioner, volume_binder, volume_protection

PARTS = [volume_binder.parts, provisioner.parts, volume_protection.parts]
NAMES = ("a", "b", "c", "d")
NODES = ("node-1", "node-2")
NOW, LOCAL, MADE = "", "local", provisioner.CLASS  # classes: bound at once, by the scheduler, made on demand
NOBODY = "kubernetes.io/no-provisioner"


class People:
    def __init__(self, world: World, random: Random, rules: VolumeRules) -> None:
        self._world = world
        self._client = world.client
        self._random = random
        self._rules = rules
        self._made = 0

    @property
    def doings(self) -> tuple[Callable[[], Awaitable[object]], ...]:
        often = (self.claim, self.volume, self.use) * 4
        return (*often, self.unclaim, self.stop_using, self.unclaim, self.stop_using, *self._rare)

    @property
    def _rare(self) -> tuple[Callable[[], Awaitable[object]], ...]:
        return (self.delete_volume, self.reuse, self.crash, self.break_watches)

    async def claim(self) -> None:
        random = self._random
        fields: dict[str, Any] = {}
        if random.random() < 0.8:
            fields["storageClassName"] = random.choice((NOW, LOCAL, MADE))
        volumes = self._world.api.objects(PersistentVolume)
        if volumes and random.random() < 0.15:
            fields["volumeName"] = random.choice(volumes).metadata.name
        modes = ["ReadWriteOnce"] if random.random() < 0.8 else ["ReadWriteOnce", "ReadOnlyMany"]
        await self._client.create(claim(random.choice(NAMES), random.choice(("1Gi", "5Gi")), modes=modes, **fields))

    async def volume(self) -> None:
        random = self._random
        self._made += 1
        class_name = random.choice((NOW, NOW, LOCAL, LOCAL, MADE))
        fields: dict[str, Any] = {
            "storageClassName": class_name,
            "persistentVolumeReclaimPolicy": random.choice(("Retain", "Retain", "Delete")),
        }
        if class_name == LOCAL:
            fields["nodeAffinity"] = only_on(random.choice(NODES))
        if random.random() < 0.15:
            name = random.choice(NAMES)
            fields["claimRef"] = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": name}
        modes = ["ReadWriteOnce"] if random.random() < 0.6 else ["ReadWriteOnce", "ReadOnlyMany"]
        size = random.choice(("1Gi", "3Gi", "9Gi"))
        await self._client.create(persistent_volume(f"volume-{self._made}", size, modes=modes, **fields))

    async def use(self) -> None:
        self._made += 1
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": self._random.choice(NAMES)}}]
        await self._client.create(pod(f"pod-{self._made}", volumes=volumes))

    async def unclaim(self) -> None:
        await self._client.delete(PersistentVolumeClaim, self._random.choice(NAMES))

    async def stop_using(self) -> None:
        pods = self._world.api.objects(Pod)
        if pods:
            name = self._random.choice(pods).metadata.name
            await self._client.delete(Pod, name, options=DeleteOptions(grace_period_seconds=1))

    async def delete_volume(self) -> None:
        volumes = self._world.api.objects(PersistentVolume)
        if volumes:
            await self._client.delete(PersistentVolume, self._random.choice(volumes).metadata.name)

    async def reuse(self) -> None:
        """What was released is wiped, and anybody's from now on."""
        for volume in self._world.api.objects(PersistentVolume):
            meta = volume.metadata
            if volume.status.phase not in ("Released", "Failed") or meta.deletion_timestamp is not None:
                continue
            self._rules.wiped(volume)
            guard = {"uid": meta.uid, "resourceVersion": meta.resource_version}
            annotations = {"pv.kubernetes.io/bound-by-controller": None}
            change = {"metadata": {**guard, "annotations": annotations}, "spec": {"claimRef": None}}
            await self._client.patch(PersistentVolume, meta.name, change)

    async def crash(self) -> None:
        if self._random.random() < 0.7:
            self._world.crash_after(self._random.randint(1, 8))
        else:
            await self._world.restart()

    async def break_watches(self) -> None:
        self._world.api.break_watches()

    async def live(self, number: int) -> None:
        for _ in range(number):
            try:
                await self._random.choice(self.doings)()
            except (NotFound, AlreadyExists, Conflict):
                continue  # others were faster
            await self._world.sleep(self._random.choice((0.0, 0.01, 0.3, 2.0, 20.0)))


def check_bound(world: World, *, scheduled: bool) -> None:
    """Nothing waits for what is there."""
    volumes = world.api.objects(PersistentVolume)
    for waiting in world.api.objects(PersistentVolumeClaim):
        if waiting.status.phase != "Pending" or waiting.metadata.deletion_timestamp is not None:
            continue
        fitting = [each for each in volumes if could_be_bound(waiting, each)]
        if waiting.spec.volume_name:
            fitting = [each for each in fitting if each.metadata.name == waiting.spec.volume_name]
        elif waiting.spec.storage_class_name in (LOCAL, MADE):
            assert SELECTED_NODE not in waiting.metadata.annotations
            fitting = [
                each for each in fitting if each.spec.claim_ref is not None or (scheduled and used(world, waiting))
            ]
        assert not fitting, f"{waiting.metadata.name} waits, and could have {fitting[0].metadata.name}"
        if scheduled and waiting.spec.storage_class_name == MADE and len(waiting.spec.access_modes) == 1:
            assert waiting.spec.volume_name or not used(world, waiting), f"nothing was made for {waiting.metadata.name}"


def used(world: World, found: PersistentVolumeClaim) -> bool:
    """By a pod that waits for a node."""
    return any(
        volume.persistent_volume_claim is not None
        and volume.persistent_volume_claim.claim_name == found.metadata.name
        and each.metadata.deletion_timestamp is None
        for each in world.api.objects(Pod)
        for volume in each.spec.volumes
    )


def life(seed: int, bindings: list[int], *, scheduled: bool) -> Callable[[World], Awaitable[None]]:
    async def body(world: World) -> None:
        rules = VolumeRules(world.api, scheduled=scheduled)
        world.check(rules)
        world.put(storage_class(LOCAL, NOBODY, volumeBindingMode="WaitForFirstConsumer"))
        await People(world, Random(f"people {seed}"), rules).live(50)
        world.api.heal()
        await world.settle()
        check_settled(world.api)
        check_bound(world, scheduled=scheduled)
        bindings.append(rules.bindings)
        before = len(world.written())
        await world.sleep(3 * 3600)
        assert world.written()[before:] == []

    return body


@seeds(40)
def test_volumes_converge_in_storms(seed: int) -> None:
    run_world(
        life(seed, [], scheduled=True),
        seed=seed,
        parts=[*PARTS, scheduler.parts],
        nodes=2,
        binds=False,
        faults=stormy(seed),
    )


@seeds(25)
def test_volumes_converge_where_somebody_else_schedules(seed: int) -> None:
    """Pods go anywhere, claims or not: the data is as safe."""
    run_world(life(seed, [], scheduled=False), seed=seed, parts=PARTS, nodes=2, faults=stormy(seed))


def test_much_is_bound_on_the_way() -> None:
    """That the storms above are about something."""
    bindings: list[int] = []
    for seed in range(10):
        run_world(
            life(seed, bindings, scheduled=True), seed=seed, parts=[*PARTS, scheduler.parts], nodes=2, binds=False
        )
    assert sum(bindings) > 15
