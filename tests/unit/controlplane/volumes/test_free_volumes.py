"""The index of free volumes finds what a look at all of them would find."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from controllers_world import seeds
from controllers_world_objects import claim, persistent_volume

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.quantity import value
from apiserver.client import Change
from apiserver.client.cache import Cache, Entry, Key
from controlplane.controllers.volume_binder.free_volumes import FreeVolumes
from controlplane.runtime.pace import Pace

MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany")
SIZES = ("1Gi", "2Gi", "1536Mi", "5Gi")


class Shown:
    """Of an informer what is needed here."""

    def __init__(self) -> None:
        self.cache: Cache[PersistentVolume] = Cache()
        self._handlers: list[Any] = []

    def add_handler(self, handler: Any) -> None:
        self._handlers.append(handler)

    def put(self, volume: PersistentVolume) -> None:
        key = Key("", volume.metadata.name)
        old = self.cache.entry(key)
        self.cache.put(key, Entry(volume, uid="", resource_version=""))
        change = Change("updated", volume, old.obj) if old is not None else Change("added", volume)
        self._tell(change)

    def remove(self, name: str) -> None:
        gone = self.cache.drop(Key("", name))
        if gone is not None:
            self._tell(Change("deleted", gone.obj, gone.obj))

    def _tell(self, change: Change[PersistentVolume]) -> None:
        for handler in self._handlers:
            handler(change)


def volume_by_chance(random: Random, name: str) -> PersistentVolume:
    fields: dict[str, Any] = {"storageClassName": random.choice(("", "fast"))}
    if random.random() < 0.2:
        fields["claimRef"] = {"namespace": "default", "name": "x"}
    if random.random() < 0.2:
        fields["volumeMode"] = "Block"
    labels = {"labels": {"tier": random.choice(("gold", "tin"))}}
    modes = random.sample(MODES, random.randint(1, 3))
    found = persistent_volume(name, random.choice(SIZES), modes=modes, metadata=labels, **fields)
    found.status.phase = random.choice(("Available", "Available", "Available", "Bound", "Released", "Pending"))
    return found


def claim_by_chance(random: Random) -> PersistentVolumeClaim:
    fields: dict[str, Any] = {"storageClassName": random.choice(("", "fast"))}
    if random.random() < 0.3:
        fields["selector"] = {"matchLabels": {"tier": "gold"}}
    return claim("data", random.choice(SIZES), modes=random.sample(MODES, random.randint(1, 2)), **fields)


def the_best(volumes: Cache[PersistentVolume], wanted: PersistentVolumeClaim, taken: set[str]) -> str:
    """Its name, found by a look at all."""
    spec, tier = wanted.spec, "gold" if wanted.spec.selector else None
    fitting = [
        (len(each.spec.access_modes), sorted(each.spec.access_modes), value(each.spec.capacity["storage"]), name)
        for each in volumes
        if (name := each.metadata.name) not in taken
        and each.status.phase == "Available"
        and each.spec.claim_ref is None
        and each.spec.storage_class_name == spec.storage_class_name
        and each.spec.volume_mode != "Block"
        and set(spec.access_modes) <= set(each.spec.access_modes)
        and value(each.spec.capacity["storage"]) >= value(spec.resources.requests["storage"])
        and (tier is None or each.metadata.labels["tier"] == tier)
    ]
    return min(fitting)[-1] if fitting else ""


@seeds(30)
def test_as_a_look_at_all(seed: int) -> None:
    random = Random(seed)
    shown = Shown()
    free = FreeVolumes(shown, Pace(lambda: 0.0))  # type: ignore[arg-type]

    async def body() -> None:
        for _ in range(300):
            name = f"volume-{random.randint(1, 25)}"
            if random.random() < 0.2:
                shown.remove(name)
            else:
                shown.put(volume_by_chance(random, name))
            wanted, taken = claim_by_chance(random), {f"volume-{random.randint(1, 25)}"}
            found = await free.find(wanted, taken=taken)
            assert (found.metadata.name if found is not None else "") == the_best(shown.cache, wanted, taken)

    asyncio.run(body())


def test_of_ten_thousand_few_are_looked_at() -> None:
    """And who has to look at many gives way to others."""
    looked_at: list[str] = []

    class Counting(Cache[PersistentVolume]):
        def get(self, name: str, *, namespace: str = "") -> PersistentVolume | None:
            looked_at.append(name)
            return super().get(name, namespace=namespace)

    shown = Shown()
    shown.cache = Counting()
    moments = iter(range(10**6))
    free = FreeVolumes(shown, Pace(lambda: float(next(moments))))  # type: ignore[arg-type]
    for number in range(10_000):
        volume = persistent_volume(f"volume-{number:05}", f"{number % 100 + 1}Gi", metadata={"labels": {"tier": "tin"}})
        volume.status.phase = "Available"
        shown.put(volume)

    async def body() -> None:
        found = await free.find(claim("data", "50Gi"), taken=())
        assert found is not None
        assert found.metadata.name == "volume-00049"
        assert len(looked_at) == 1
        others = 0

        async def other() -> None:
            nonlocal others
            while True:
                others += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        assert await free.find(claim("data", "50Gi", selector={"matchLabels": {"tier": "gold"}}), taken=()) is None
        task.cancel()
        assert others > 1000

    asyncio.run(body())
