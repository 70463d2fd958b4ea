"""Whoever belongs to an object, asked of the API and not of the graph.

A watch may be behind. Before a finalizer goes that stands for "my dependents first" or "they shall live on without
me", everything that may name the object as its owner is read once: a dependent that nobody saw would be collected, or
outlive its owner. That costs a list of each kind's metadata in the object's namespace. Pods, of which there are most,
and ReplicaSets are asked for by the selector of the ReplicaSet or Deployment that they belong to.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

import msgspec

from apiserver.api.errors import InternalError
from apiserver.api.kinds import KINDS, Kind
from apiserver.api.meta import LabelSelector
from apiserver.api.selectors import from_label_selector
from apiserver.client import Client, ListOptions, metadata
from apiserver.client.metadata import Metadata
from controlplane.controllers.stored_kinds import POD
from controlplane.runtime.pace import Pace

from .graph import Node
from .monitors import PAGE_SIZE, collectable

_SELECTED = (POD, KINDS["apps", "ReplicaSet"])
_SELECTING = (KINDS["apps", "Deployment"], KINDS["apps", "ReplicaSet"])


class Found(NamedTuple):
    kind: Kind
    metadata: Metadata


class _Spec(msgspec.Struct):
    selector: LabelSelector | None = None


class _Selecting(msgspec.Struct):
    spec: _Spec = msgspec.field(default_factory=_Spec)


async def dependents(client: Client, owner: Node, pace: Pace) -> AsyncGenerator[Found, None]:
    """In no order. Raises ApiError."""
    labels = await _labels(client, owner)
    for kind in collectable():
        if owner.kind.namespaced and not kind.namespaced:
            continue  # what is not in a namespace cannot belong to what is
        options = ListOptions(labels=labels if kind in _SELECTED else "", limit=PAGE_SIZE)
        namespace = owner.namespace if owner.kind.namespaced else None
        async for each in _all(client, kind, namespace, options):
            await pace.breathe()
            if any(reference.uid == owner.uid for reference in each.owner_references):
                yield Found(kind, each)


async def _labels(client: Client, owner: Node) -> str:
    if owner.kind not in _SELECTING:
        return ""
    raw = await client.get_raw(owner.kind, owner.name, namespace=owner.namespace)
    try:
        selector = msgspec.json.decode(raw, type=_Selecting).spec.selector
    except msgspec.DecodeError as error:
        raise InternalError(f"the server's answer is no {owner.kind.kind}: {error}") from error
    return "" if selector is None else str(from_label_selector(selector))


async def _all(
    client: Client, kind: Kind, namespace: str | None, options: ListOptions
) -> AsyncGenerator[Metadata, None]:
    following = options
    while True:
        page = await metadata.list_page(client, kind, namespace=namespace, options=following)
        for each in page.items:
            yield each
        if not page.metadata.continue_:
            return
        following = msgspec.structs.replace(options, continue_=page.metadata.continue_)
