"""Keeps the node's links and routes as the cluster's Nodes say (overlay.py): by a child when something is to change,
and by a look of our own whether it is still there, for others take routes away (a link that went down and came back, a
network manager).

What must hold: nothing is removed before the API has shown all Nodes, a memory of them will not do; all stays as it is
when the agent ends, and a new one changes nothing that is right; what one node is refused holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from random import Random

import msgspec

from apiserver.api.cluster_network import ClusterNetwork
from apiserver.api.core.node import Node
from apiserver.client import Change, Client, Informer
from apiserver.client.retry import Backoff

from .kernel import Kernel
from .links import Item, Orders
from .overlay import Overlay, Own, overlay_items, places, pod_network, services_items, trimmed
from .programs import ProgramFailed
from .underlay import link_of, still_there

log = logging.getLogger(__name__)

_AGAIN = Backoff(first_s=1.0, longest_s=60.0)


class RoutingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    batch_s: float = 0.2  # Nodes that come together are one change
    look_s: float = 10.0
    check_s: float = 300.0  # how often the child compares everything


def node_informer(client: Client) -> Informer[Node]:
    return Informer(client, Node, trim=trimmed)


class Routing:
    """`run` until it is cancelled; the informer is run by whoever made it."""

    def __init__(
        self,
        nodes: Informer[Node],
        kernel: Kernel,
        *,
        node: str,
        address: str,
        network: ClusterNetwork,
        overlay: Overlay,
        options: RoutingOptions | None = None,
        random: Random | None = None,
        there: Callable[[Sequence[Item]], bool] = still_there,
    ) -> None:
        """`address`: the node's, by which others reach it. `there`: whether what was made still is, at a glance."""
        self.applied = asyncio.Event()  # the address of the DNS is there
        self._nodes = nodes
        self._kernel = kernel
        self._node = node
        self._address = address
        self._network = network
        self._overlay = overlay
        self._options = options or RoutingOptions()
        self._random = random or Random()
        self._there = there
        self._changed = asyncio.Event()
        self._made: Orders | None = None  # what the kernel took, all of it
        self._refused: list[str] = []
        self._checked_at = float("-inf")
        nodes.add_handler(self._notice)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep())
            group.create_task(self._when_synced())

    def _notice(self, change: Change[Node]) -> None:
        if change.old is None or change.type == "deleted" or _parts(change.object) != _parts(change.old):
            self._changed.set()

    async def _when_synced(self) -> None:
        await self._nodes.synced.wait()
        self._changed.set()

    async def _keep(self) -> None:
        failures = 0
        while True:
            self._changed.clear()
            fine = await self._arrange()
            failures = 0 if fine else failures + 1
            await self._wait(self._options.look_s if fine else _AGAIN.wait_s(failures, self._random))

    async def _wait(self, longest_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._changed.wait()
            await asyncio.sleep(self._options.batch_s)

    async def _arrange(self) -> bool:
        """Whether all is as it shall be."""
        now = asyncio.get_running_loop().time()
        try:
            orders = self._orders()
            due = now - self._checked_at >= self._options.check_s
            if orders == self._made and not due and self._there(orders.items):
                return True
            report = await self._kernel.arrange(orders)
        except (ProgramFailed, OSError) as error:
            log.warning("links and routes were not made", extra={"node": self._node, "error": str(error)})
            return False
        self._checked_at = now
        if report.done:
            log.info("links and routes were changed", extra={"node": self._node, "changes": report.done})
        if report.failed and report.failed != self._refused:
            log.warning("links and routes were refused", extra={"node": self._node, "refused": report.failed})
        self._refused = report.failed
        self._made = None if report.failed else orders
        if not any(each.startswith(("put link", "put address", "replace link")) for each in report.failed):
            self.applied.set()
        return not report.failed

    def _orders(self) -> Orders:
        """Raises OSError."""
        known = self._nodes.cache.get(self._node)
        pods = pod_network(known, self._network) if known is not None else None
        own = Own(self._node, self._address, link_of(self._address), pods)
        items = services_items(own, self._network)
        if self._nodes.known.is_set():
            items += overlay_items(self._overlay, places(self._nodes.cache, own, self._network), own)
        return Orders(items=items, removing=self._nodes.synced.is_set())


def _parts(node: Node) -> tuple[object, ...]:
    return node.spec.pod_cidr, node.spec.pod_cidrs, node.status.addresses
