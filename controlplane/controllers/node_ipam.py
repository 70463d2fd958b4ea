"""Gives every node its network for pods: `spec.podCIDRs`, one per IP family of the cluster's range.

The truth is in the nodes and nowhere else. What must hold: no network is given twice. There is one allocator (the
elected leader, one worker, fenced), it reads all nodes directly before it gives, and a node has its networks by one
write upon the version that was read. A network once given is the node's until the node is deleted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from apiserver.api.core.node import Node
from apiserver.api.errors import ApiError, Fenced
from apiserver.client import Change
from controlplane.runtime import DONE, Context, Part, Request, Result, Source, controller
from controlplane.runtime.options import Options

from .writes import guarded

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

COMPONENT = "cidrAllocator"
NOT_AVAILABLE = "CIDRNotAvailable"
NETWORKS_MAX = 65_536  # of one range, as in Kubernetes
EXHAUSTED_AGAIN_S = 60.0

#: There is one thing to do, whatever changed: look who has none.
ALL = Request("", "")


def parts(context: Context) -> list[Part]:
    allocator = Allocator(context)
    return [controller(context, "node-ipam", allocator, [Source(context.caches.nodes, concerns)])]


def concerns(change: Change[Node]) -> Iterable[Request]:
    """Nodes without a network, and those whose network has become free."""
    return (ALL,) if change.type == "deleted" or not networks_of(change.object) else ()


def networks_of(node: Node) -> list[str]:
    spec = node.spec
    return spec.pod_cidrs or ([spec.pod_cidr] if spec.pod_cidr else [])


class Range:
    """A cluster range cut into networks for nodes. Raises ValueError saying what is wrong with it."""

    def __init__(self, text: str, *, mask_v4: int, mask_v6: int) -> None:
        self.network: Network = ipaddress.ip_network(text.strip())
        mask = mask_v4 if self.network.version == 4 else mask_v6
        if not self.network.prefixlen <= mask <= self.network.max_prefixlen:
            raise ValueError(f"the cluster range {text} cannot be cut into networks of /{mask} for nodes")
        self.mask = mask
        self.size: int = min(1 << (mask - self.network.prefixlen), NETWORKS_MAX)
        self._step: int = 1 << (self.network.max_prefixlen - mask)
        self._next = 0

    def at(self, number: int) -> str:
        return f"{self.network.network_address + number * self._step}/{self.mask}"

    def numbers_in(self, networks: Iterable[Network]) -> set[int]:
        """Which of ours any of these touch; a node may have been given a larger or smaller one by hand."""
        first_of_all = int(self.network.network_address)
        found: set[int] = set()
        for network in networks:
            if network.version == self.network.version and network.overlaps(self.network):
                first = (int(network.network_address) - first_of_all) // self._step
                last = (int(network.broadcast_address) - first_of_all) // self._step
                found.update(range(max(first, 0), min(last, self.size - 1) + 1))
        return found

    def take(self, used: set[int]) -> int | None:
        """One that is free, going round: what has just become free is used last. It is in `used` then."""
        for step in range(self.size):
            number = (self._next + step) % self.size
            if number not in used:
                used.add(number)
                self._next = (number + 1) % self.size
                return number
        return None


class Allocator:
    """A Reconciler with one request, ALL."""

    def __init__(self, context: Context) -> None:
        options = context.options
        self._client = context.client
        self._recorder = context.recorder
        self._cache = context.caches.nodes.cache
        self._pace = context.pace
        self._ranges = ranges_of(options)

    async def reconcile(self, request: Request) -> Result:
        if all(networks_of(node) for node in self._cache):
            return DONE
        nodes = [node async for node in self._client.list(Node)]
        taken = [network for node in nodes for network in map(parsed, networks_of(node)) if network is not None]
        used = [each.numbers_in(taken) for each in self._ranges]
        without = [node for node in nodes if not networks_of(node) and node.metadata.deletion_timestamp is None]
        exhausted = False
        failure: ApiError | None = None
        for node in without:
            given = self._choose(used)
            if given:
                failure = await self._give(node, given) or failure
            else:
                exhausted = True
                self._tell(node)
            await self._pace.breathe()
        if failure is not None:
            raise failure  # so that we look again; one node that cannot be written keeps no other waiting
        return Result(requeue_after_s=EXHAUSTED_AGAIN_S) if exhausted else DONE

    def _choose(self, used: Sequence[set[int]]) -> list[str]:
        """One of every range, or nothing at all. What was chosen is used, even when the write fails: who knows."""
        found = []
        for each, numbers in zip(self._ranges, used, strict=True):
            number = each.take(numbers)
            if number is None:
                return []
            found.append(each.at(number))
        return found

    async def _give(self, node: Node, networks: Sequence[str]) -> ApiError | None:
        """What it failed with. Raises Fenced."""
        spec: dict[str, Any] = {"podCIDR": networks[0], "podCIDRs": list(networks)}
        try:
            await self._client.patch(Node, node.metadata.name, guarded(node, spec=spec))
        except Fenced:
            raise
        except ApiError as error:
            return error
        return None

    def _tell(self, node: Node) -> None:
        message = f"Node {node.metadata.name} status is now: {NOT_AVAILABLE}"
        self._recorder.event(node, "Normal", NOT_AVAILABLE, message, component=COMPONENT)


def ranges_of(options: Options) -> list[Range]:
    """What nodes get their networks from. Raises ValueError saying what is wrong with the cluster's range."""
    masks = {"mask_v4": options.node_cidr_mask_size, "mask_v6": options.node_cidr_mask_size_ipv6}
    return [Range(text, **masks) for text in options.cluster_cidr.split(",")]


def parsed(text: str) -> Network | None:
    """None for what is no network: the API lets none in, and one such node must not stop all others."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
