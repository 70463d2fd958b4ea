"""What is bound to each node: a small record, written in the transaction that binds, frees or ends a pod.

No node can be given more than it has, whoever schedules: the binding's transaction compares the record, and what does
not fit is a Conflict. A pod counts from the moment it has a node until it is gone or finished. Pods that are created
with a node (static ones) count too, but are not refused: they are left to the node.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apiserver.api.errors import Conflict
from apiserver.api.pod_requests import CPU, amount, requests_of
from apiserver.effects.effect import Write
from apiserver.registry.resource import Resource
from apiserver.storage import OWN, Storage, decode, key_of
from raftstore import Compare

BOUND = OWN + b"bound/"
FORMAT = 1
_FINISHED = ("Succeeded", "Failed")


class Bound(msgspec.Struct, array_like=True):
    """`used` is by resource: cpu in millicores, everything else in its own unit; `pods` is their number."""

    format: int = FORMAT
    used: dict[str, int] = {}


def counted_node(pod: Any | None) -> str:
    """The node a pod counts for; "" for none."""
    if pod is None or not pod.spec.node_name or pod.status.phase in _FINISHED:
        return ""
    name: str = pod.spec.node_name
    return name


def record_key(node: str) -> bytes:
    return BOUND + node.encode()


class PodBound:
    """The effect of writes to pods on the records of nodes."""

    def __init__(self, storage: Storage, nodes: Resource) -> None:
        self._storage = storage
        self._nodes = nodes

    async def plan(self, write: Write) -> None:
        before, after = counted_node(write.old), counted_node(write.obj)
        if before == after:
            return
        if before:
            self._change(write, before, requests_of(write.old), -1)  # type: ignore[arg-type]  # it counted
        if after:
            record = self._change(write, after, requests_of(write.obj), +1)  # type: ignore[arg-type]
            if write.subresource == "binding":
                self._must_fit(write, after, record)

    def _change(self, write: Write, node: str, asked: dict[str, int], sign: int) -> Bound:
        key = record_key(node)
        found = self._storage.peek_key(key)
        record = msgspec.msgpack.decode(found.value, type=Bound) if found is not None else Bound()
        for name, number in asked.items():
            record.used[name] = record.used.get(name, 0) + sign * number
        record.used = {name: number for name, number in record.used.items() if number > 0}
        write.transaction.expect(key, found.mod_revision if found is not None else 0)
        if record.used:
            write.transaction.put(key, msgspec.msgpack.encode(record))
        elif found is not None:
            write.transaction.delete(key)
        return record

    def _must_fit(self, write: Write, node: str, record: Bound) -> None:
        """Raises Conflict naming what is short. The node's own key is compared: what it has is what was looked at."""
        key = key_of(self._nodes, "", node)
        found = self._storage.peek_key(key)
        if found is None:
            raise _refused(write, f'node "{node}" not found')
        write.transaction.compare.append(Compare.mod_revision(key) == found.mod_revision)
        allocatable = decode(self._nodes, self._storage.opened(key, found)).status.allocatable
        asked = requests_of(write.obj)  # type: ignore[arg-type]  # a binding has a pod
        for name in sorted(asked):
            has = amount(name, allocatable[name]) if name in allocatable else 0
            if asked[name] and record.used.get(name, 0) > has:
                unit = "m" if name == CPU else ""
                used = record.used[name] - asked[name]
                raise _refused(
                    write,
                    f"node {node} has not enough {name}: "
                    f"requested {asked[name]}{unit}, used {used}{unit}, capacity {has}{unit}",
                )


def _refused(write: Write, why: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on pods/binding "{write.name}": {why}', kind="pods", name=write.name
    )
