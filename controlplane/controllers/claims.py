"""Which objects are an owner's: it takes over what has no controller and fits its selector, and lets go of what it
controls but does not fit any more.

What must hold: no object has two controllers, and none is given to an owner that is about to go (it would be deleted
with it). So every patch names uid and version of the object that was looked at, and before the first adoption the
owner is read from the API: a cache may not know yet that its end was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.errors import NotFound
from apiserver.api.kinds import kind_of
from apiserver.api.meta import OwnerReference, TopObject
from apiserver.api.selectors import Labels, from_label_selector
from apiserver.client import Client
from apiserver.client.cache import Cache
from controlplane.runtime import Request
from controlplane.runtime.pace import Pace

from .writes import seen

T = TypeVar("T", bound=TopObject)

ORPHANS = "orphans"
BY_SELECTOR = "owners by one label that they select by"


def orphans(obj: TopObject) -> Iterable[str]:
    """Index ORPHANS: found under the namespace, when no owner controls it."""
    return () if controller_of(obj) else (obj.metadata.namespace,)


def controller_of(obj: TopObject) -> OwnerReference | None:
    """The owner that controls the object."""
    for owner in obj.metadata.owner_references:
        if owner.controller:
            return owner
    return None


def by_selector(owner: Deployment | ReplicaSet) -> Iterable[str]:
    """Index BY_SELECTOR: found under one label that its objects must have, or under none when it names none."""
    namespace, selector = owner.metadata.namespace, owner.spec.selector
    if selector is None:
        return ()
    return (_place(namespace, *min(selector.match_labels.items())) if selector.match_labels else _place(namespace),)


def _place(namespace: str, key: str = "", value: str = "") -> str:
    return f"{namespace}/{key}={value}"


def selecting(owners: Cache[Deployment] | Cache[ReplicaSet], obj: TopObject) -> Iterator[Request]:
    """The owners that would take the object over: of thousands only those are looked at that select by its labels."""
    meta = obj.metadata
    labels = meta.labels
    for place in (_place(meta.namespace), *(_place(meta.namespace, key, value) for key, value in labels.items())):
        for owner in owners.by_index(BY_SELECTOR, place):
            try:
                selector = from_label_selector(owner.spec.selector)
            except ValueError:
                continue  # its own reconciliation says so
            if selector.matches(labels):
                yield Request.of(owner)


def reference_to(owner: TopObject) -> OwnerReference:
    """What an object that `owner` controls says of it."""
    kind = kind_of(type(owner))
    return OwnerReference(
        api_version=kind.api_version,
        kind=kind.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


class Found(NamedTuple, Generic[T]):
    """What may be the owner's: `owned` names it as its controller, `orphans` have none."""

    owned: Iterable[T]
    orphans: Iterable[T]


class Claims(Generic[T]):
    """Of one owner in one reconciliation."""

    def __init__(self, client: Client, pace: Pace, owner: TopObject, selector: Labels, type_: type[T]) -> None:
        self._client = client
        self._pace = pace
        self._owner = owner
        self._selector = selector
        self._type = type_
        self._may: bool | None = None

    async def settle(self, found: Found[T]) -> list[T]:
        """What is the owner's from now on. Raises Conflict and NotFound when the cache is behind."""
        mine = []
        ending = self._owner.metadata.deletion_timestamp is not None
        for obj in found.owned:
            await self._pace.breathe()
            if self._fits(obj):
                mine.append(obj)
            elif not ending:
                await self._release(obj)
        for obj in found.orphans:
            await self._pace.breathe()
            if not ending and self._fits(obj) and obj.metadata.deletion_timestamp is None and await self._may_adopt():
                mine.append(await self._adopt(obj))
        return mine

    def _fits(self, obj: T) -> bool:
        return self._selector.matches(obj.metadata.labels)

    async def _may_adopt(self) -> bool:
        """The owner itself, as it is now; asked once."""
        if self._may is None:
            meta = self._owner.metadata
            try:
                live = await self._client.get(type(self._owner), meta.name, namespace=meta.namespace)
            except NotFound:
                self._may = False
            else:
                self._may = live.metadata.uid == meta.uid and live.metadata.deletion_timestamp is None
        return self._may

    async def _adopt(self, obj: T) -> T:
        return await self._set_owners(obj, [*obj.metadata.owner_references, reference_to(self._owner)])

    async def _release(self, obj: T) -> T:
        uid = self._owner.metadata.uid
        return await self._set_owners(obj, [owner for owner in obj.metadata.owner_references if owner.uid != uid])

    async def _set_owners(self, obj: T, owners: list[OwnerReference]) -> T:
        metadata: dict[str, Any] = {**seen(obj), "ownerReferences": msgspec.to_builtins(owners)}
        meta = obj.metadata
        return await self._client.patch(self._type, meta.name, {"metadata": metadata}, namespace=meta.namespace)
