"""What a cluster costs that does nothing: processor and bytes written, with controllers and without, leases or not.

Three servers one after another on the same number of nodes: without controllers; with them, but for node lifecycle,
which would take the nodes for lost as nobody renews their leases; and with all of them while the benchmark renews each
node's lease every 10 s, as agents do. What controllers cost is the difference between the second and the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

import msgspec

from . import sched_work as work
from .api_access import Hands
from .sched_server import SchedServer, create_all, prepare

LEASE_EVERY_S = 10.0
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_DAY_S = 86_400.0

MakeServer = Callable[[], AbstractAsyncContextManager[SchedServer]]


class Cost(msgspec.Struct, frozen=True):
    """`cpu`: share of a core. Bytes a day: `written` by the kernel's count of the process (process.written_bytes says
    how that is too much), `journal` by how the journal grew."""

    cpu: float
    written: float
    journal: float


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of a core and bytes a day, as `Cost`."""

    cpu_controllers: float
    cpu_without_leases: float
    written_without_leases: float
    journal_without_leases: float
    cpu_with_leases: float
    written_with_leases: float
    journal_with_leases: float


async def measure(make: MakeServer, nodes: int, idle_s: float, settle_s: float) -> Idle:
    alone = await _cost(make, "none", nodes, idle_s, settle_s)
    quiet = await _cost(make, "in-process,-node-lifecycle", nodes, idle_s, settle_s)
    renewed = await _cost(make, "in-process", nodes, idle_s, settle_s, leases=True)
    return Idle(
        cpu_controllers=max(0.0, quiet.cpu - alone.cpu),
        cpu_without_leases=quiet.cpu,
        written_without_leases=quiet.written,
        journal_without_leases=quiet.journal,
        cpu_with_leases=renewed.cpu,
        written_with_leases=renewed.written,
        journal_with_leases=renewed.journal,
    )


async def _cost(
    make: MakeServer, controllers: str, nodes: int, idle_s: float, settle_s: float, *, leases: bool = False
) -> Cost:
    async with make() as server:
        await server.start(controllers)
        async with server.admin() as admin, asyncio.TaskGroup() as group:
            await prepare(admin)
            await create_all(admin, "/api/v1/nodes", map(work.node, range(nodes)))
            renewing = [group.create_task(_renew(admin, number, nodes)) for number in range(nodes if leases else 0)]
            await asyncio.sleep(settle_s)
            before = _counted(server)
            await asyncio.sleep(idle_s)
            cpu_s, written, journal = (now - then for now, then in zip(_counted(server), before, strict=True))
            a_day = _DAY_S / idle_s
            cost = Cost(cpu_s / idle_s, written * a_day, journal * a_day)
            for task in renewing:
                task.cancel()
        return cost


def _counted(server: SchedServer) -> tuple[float, int, int]:
    return server.cpu_s(), server.written_bytes(), server.journal_bytes()


async def _renew(admin: Hands, number: int, nodes: int) -> None:
    """A node's lease, made and then renewed for ever; nodes take turns."""
    name = work.node(number)["metadata"]["name"]
    lease: dict[str, Any] = {"metadata": {"name": name}}
    lease["spec"] = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": _now()}
    lease = await admin.send("POST", _LEASES, lease)
    await asyncio.sleep(LEASE_EVERY_S * number / nodes)
    while True:
        lease["spec"]["renewTime"] = _now()
        lease = await admin.send("PUT", f"{_LEASES}/{name}", lease)
        await asyncio.sleep(LEASE_EVERY_S)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
