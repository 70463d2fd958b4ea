"""The network of this node as one thing: links and routes to other nodes, packet rules of Services, DNS for its pods.

The address that pods ask for names is the cluster address of `kube-system/kube-dns` itself. Each node has it on a link
of its own (links.py) and answers there, so that a question never leaves the node, needs no packet rule, and reaches us
too from the node's own processes and before the pods have a network.

What must hold: an informer that dies ends all of it, for a copy of the world that stands still must not be served;
anything else that fails is told and tried again, for as long as it takes.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from random import Random

from apiserver.api.cluster_network import DNS_SERVICE, NAMESPACE, ClusterNetwork
from apiserver.api.core.service import Service
from apiserver.client import Client, Informer
from apiserver.client.retry import Backoff
from nodeagent.side_work import side_work

from .backends import Backend, ServiceName
from .dns import DnsServer, Resolver
from .dns_forward import Forwarder, NodeResolvers
from .dns_records import Records
from .host import HostSettings
from .kernel import Kernel
from .memory import Memory
from .overlay import Overlay
from .proxy import Proxy, service_informer, slice_informer
from .routing import Routing, node_informer

log = logging.getLogger(__name__)

DNS_PORT = 53
RESOLVERS = Path("/etc/resolv.conf")
_AGAIN = Backoff(first_s=0.5, longest_s=30.0)


class NodeNetwork:
    """`run` until it is cancelled. All that the kernel was told stays when it ends: pods go on."""

    def __init__(
        self,
        client: Client,
        node: str,
        *,
        address: str,
        network: ClusterNetwork,
        overlay: Overlay,
        memory: Path,
        resolvers: Path = RESOLVERS,
    ) -> None:
        """`address`: the node's, by which others reach it. `memory`: a file for what is known of the cluster.
        `resolvers`: whom to ask for names of others."""
        self.network = network
        self._node = node
        self._random = Random()
        self._services, self._slices = service_informer(client), slice_informer(client)
        self._nodes = node_informer(client)
        self.memory = Memory(memory, self._services, self._slices, self._nodes)
        kernel = Kernel()
        self._host = HostSettings(node, network.cluster_cidr)
        self._routing = Routing(self._nodes, kernel, node=node, address=address, network=network, overlay=overlay)
        self._proxy = Proxy(
            self._services,
            self._slices,
            kernel,
            node=node,
            cluster_cidr=network.cluster_cidr,
            answered_here={ServiceName(NAMESPACE, DNS_SERVICE): Backend(network.dns_ip, DNS_PORT)},
        )
        self._records = Records(self._services, self._slices, domain=network.domain)
        self._resolvers = NodeResolvers(resolvers, own=[network.dns_ip])
        self._allowed = [network.cluster_cidr, network.dns_ip, "127.0.0.0/8", address]

    @property
    def services(self) -> Informer[Service]:
        """Of the whole cluster, without what only people read."""
        return self._services

    async def run(self) -> None:
        """Raises what ended an informer."""
        async with asyncio.TaskGroup() as group:
            for informer in (self._services, self._slices, self._nodes):
                group.create_task(informer.run())
            for work in (self._host.run(), self._routing.run(), self._proxy.run(), self._serve_names()):
                group.create_task(work)
            group.create_task(side_work("what was known last", self.memory.run)())

    async def _serve_names(self) -> None:
        await self._routing.applied.wait()
        forwarder = Forwarder(self._resolvers, clock=asyncio.get_running_loop().time)
        failures = 0
        try:
            while True:
                server = DnsServer(
                    Resolver(self._records, forwarder),
                    address=self.network.dns_ip,
                    port=DNS_PORT,
                    allowed=self._allowed,
                )
                try:
                    async with server:
                        log.info("names are answered", extra={"node": self._node, "address": self.network.dns_ip})
                        await asyncio.Event().wait()
                except OSError as error:
                    where = f"{self.network.dns_ip}:{DNS_PORT}"
                    log.error("pods get no names: cannot listen", extra={"address": where, "error": str(error)})
                await asyncio.sleep(_AGAIN.wait_s(failures, self._random))
                failures += 1
        finally:
            await forwarder.close()
