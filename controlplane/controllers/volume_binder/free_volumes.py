"""The volumes that anybody may have, kept in order, so that a claim's volume is found without a look at all of them.

What is to be found is Kubernetes' choice (pv_controller's index by access modes): of the volumes of the class that
allow the wanted access modes those that allow least besides, and of these the smallest that is large enough.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Iterator
from typing import NamedTuple

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.quantity import value
from apiserver.api.selectors import EVERYTHING, from_label_selector
from apiserver.client import Change, Informer
from controlplane.runtime.pace import Pace
from controlplane.scheduler.volume_matching import STORAGE, class_of_claim, class_of_volume


class Sort(NamedTuple):
    """What volumes are exchangeable in, but for their size and labels."""

    storage_class: str
    volume_mode: str
    access_modes: tuple[str, ...]


class Place(NamedTuple):
    size: int  # bytes
    name: str


class FreeVolumes:
    """Follows the informer. One for a term."""

    def __init__(self, volumes: Informer[PersistentVolume], pace: Pace) -> None:
        self._volumes = volumes.cache
        self._pace = pace
        self._known: dict[str, tuple[Sort, Place]] = {}
        self._by_class: dict[str, dict[Sort, list[Place]]] = {}
        volumes.add_handler(self._changed)

    async def find(self, claim: PersistentVolumeClaim, *, taken: Container[str]) -> PersistentVolume | None:
        """`taken`: names of volumes that are being given to others."""
        labels = from_label_selector(claim.spec.selector) if claim.spec.selector else EVERYTHING
        for place in self._large_enough(claim):
            await self._pace.breathe()
            volume = self._volumes.get(place.name)
            if volume is None or not is_free(volume) or place.name in taken:
                continue
            if labels.matches(volume.metadata.labels):
                return volume
        return None

    def _large_enough(self, claim: PersistentVolumeClaim) -> Iterator[Place]:
        """The best first. What changes meanwhile may be missed or come twice."""
        smallest = Place(size_wanted(claim), "")
        wanted, mode = set(claim.spec.access_modes), claim.spec.volume_mode or "Filesystem"
        sorts = self._by_class.get(class_of_claim(claim), {})
        fitting = [each for each in sorts if each.volume_mode == mode and wanted.issubset(each.access_modes)]
        for sort in sorted(fitting, key=lambda each: (len(each.access_modes), each)):
            places = sorts.get(sort, [])
            yield from places[bisect_left(places, smallest) :]

    def _changed(self, change: Change[PersistentVolume]) -> None:
        volume = change.object
        name = volume.metadata.name
        new = (_sort(volume), Place(_size(volume), name)) if change.type != "deleted" and is_free(volume) else None
        old = self._known.get(name)
        if old == new:
            return
        if old is not None:
            self._remove(name, *old)
        if new is not None:
            self._known[name] = new
            sort, place = new
            insort(self._by_class.setdefault(sort.storage_class, {}).setdefault(sort, []), place)

    def _remove(self, name: str, sort: Sort, place: Place) -> None:
        del self._known[name]
        sorts = self._by_class[sort.storage_class]
        places = sorts[sort]
        del places[bisect_left(places, place)]
        if not places:
            del sorts[sort]
        if not sorts:
            del self._by_class[sort.storage_class]


def is_free(volume: PersistentVolume) -> bool:
    """Nobody has it, it is kept for nobody, and it stays."""
    return (
        volume.status.phase == "Available"
        and volume.spec.claim_ref is None
        and volume.metadata.deletion_timestamp is None
    )


def size_wanted(claim: PersistentVolumeClaim) -> int:
    return value(claim.spec.resources.requests.get(STORAGE, 0))


def _size(volume: PersistentVolume) -> int:
    return value(volume.spec.capacity.get(STORAGE, 0))


def _sort(volume: PersistentVolume) -> Sort:
    spec = volume.spec
    return Sort(class_of_volume(volume), spec.volume_mode or "Filesystem", tuple(sorted(spec.access_modes)))
