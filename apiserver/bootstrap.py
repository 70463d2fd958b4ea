"""What every cluster begins with: system namespaces, default roles, system priority classes.

Any replica may do it, several at once: what is there already is kept, but for default roles, which are brought up to
what this version needs without undoing what people did.
"""

from __future__ import annotations

import asyncio
from typing import Any

from apiserver.api.core.namespace import Namespace
from apiserver.api.errors import AlreadyExists
from apiserver.api.meta import ObjectMeta, TopObject
from apiserver.api.scheduling import PriorityClass
from apiserver.auth.default_roles import default_objects, reconcile
from apiserver.live import SYSTEM
from apiserver.registry.resource import Resource
from apiserver.registry.table import Table
from apiserver.storage import Storage, Stored, decode
from apiserver.verbs.call import Call
from apiserver.verbs.writing import Change, Writer

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_DESCRIPTION = "Used for system critical pods that must {what}."


class Bootstrap:
    """`run` returns once everything is there. Raises ApiError."""

    def __init__(self, storage: Storage, table: Table, writer: Writer) -> None:
        self._storage = storage
        self._table = table
        self._writer = writer

    async def run(self) -> None:
        await self._storage.linearize()
        await asyncio.gather(*(self._ensure(_namespace(name)) for name in NAMESPACES))
        await asyncio.gather(
            *(self._ensure(_priority(name, value)) for name, value in PRIORITIES.items()),
            *(self._ensure(obj) for objects in default_objects().values() for obj in objects),
        )

    async def _ensure(self, wanted: TopObject) -> None:
        resource = self._table.of_kind(wanted.api_version, wanted.kind)
        meta = wanted.metadata
        stored = self._storage.peek(resource, meta.namespace, meta.name)
        if stored is None:
            try:
                await self._writer.create(_call(resource, "create", meta), wanted)
                return
            except AlreadyExists:
                return  # another replica was faster, with the same
        if resource.group == "rbac.authorization.k8s.io":
            await self._bring_up(resource, wanted, decode(resource, stored))

    async def _bring_up(self, resource: Resource, wanted: Any, existing: Any) -> None:
        if reconcile(existing, wanted) is None:
            return

        def build(old: Any, _stored: Stored) -> Change:
            return Change(reconcile(old, wanted) or old, False)

        await self._writer.change(_call(resource, "update", wanted.metadata), build)


def _call(resource: Resource, verb: str, meta: ObjectMeta) -> Call:
    return Call(user=SYSTEM, resource=resource, stored=resource, verb=verb, namespace=meta.namespace, name=meta.name)


def _namespace(name: str) -> Namespace:
    return Namespace(api_version="v1", kind="Namespace", metadata=ObjectMeta(name=name))


def _priority(name: str, value: int) -> PriorityClass:
    what = "not be moved from their current node" if name == "system-node-critical" else "run in the cluster"
    return PriorityClass(
        api_version="scheduling.k8s.io/v1",
        kind="PriorityClass",
        metadata=ObjectMeta(name=name),
        value=value,
        description=_DESCRIPTION.format(what=what),
    )
