"""Services that share an address or a node port, or have an address from outside of the range: told to people.

The API server takes an address in its Service's own transaction, and mends keys that leaked (apiserver), so that this
never comes from requests. A store that was restored in parts, or written to behind the API server's back, may hold such
Services all the same. Which of them keeps the address is for people to say: nothing is changed here.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterator

from apiserver.api.core.service import Service
from controlplane.runtime import Context, Part

from .endpoint_pods import HEADLESS
from .periodic import Periodic

NAME = "service-repair"
COMPONENT = "ipallocator-repair-controller"
PORTS_COMPONENT = "portallocator-repair-controller"
EVERY_S = 180.0

log = logging.getLogger("controlplane.service_repair")


class ServiceRepair:
    """A Sweep over all Services. Each thing is told once in a term."""

    def __init__(self, context: Context) -> None:
        self._services = context.caches.services.cache
        self._recorder = context.recorder
        self._pace = context.pace
        self._network = ipaddress.ip_network(context.options.service_cidr)
        self._told: set[tuple[str, str]] = set()  # uid of the Service, what was said

    async def sweep(self) -> float:
        oldest_first = sorted(self._services, key=lambda each: (each.metadata.creation_timestamp or "", _name(each)))
        holders: dict[str, Service] = {}
        said: set[tuple[str, str]] = set()
        for service in oldest_first:
            await self._pace.breathe()
            for component, reason, message in self._wrong(service, holders):
                said.add((service.metadata.uid, message))
                if (service.metadata.uid, message) not in self._told:
                    self._recorder.event(service, "Warning", reason, message, component=component)
                    log.warning("the address of a Service is not its own", extra={"service": _name(service)})
        self._told = said
        return EVERY_S

    def _wrong(self, service: Service, holders: dict[str, Service]) -> Iterator[tuple[str, str, str]]:
        """Component, reason and message of everything that is."""
        address = service.spec.cluster_ip
        if address and address != HEADLESS:
            family = "IPv6" if ":" in address else "IPv4"
            if holders.setdefault(address, service) is not service:
                message = f"Cluster IP [{family}]: {address} was assigned to multiple services; please recreate service"
                yield COMPONENT, "ClusterIPAlreadyAllocated", message
            elif not self._is_inside(address):
                message = f"Cluster IP [{family}]: {address} is not within any configured Service CIDR; "
                yield COMPONENT, "ClusterIPOutOfRange", f"{message}please recreate service"
        for port in service.spec.ports:
            key = f"{port.protocol or 'TCP'}/{port.node_port}"
            if port.node_port and holders.setdefault(key, service) is not service:
                message = f"Port {port.node_port} was assigned to multiple services; please recreate service"
                yield PORTS_COMPONENT, "PortAlreadyAllocated", message

    def _is_inside(self, address: str) -> bool:
        try:
            return ipaddress.ip_address(address) in self._network
        except ValueError:
            return False


def _name(service: Service) -> str:
    return f"{service.metadata.namespace}/{service.metadata.name}"


def parts(context: Context) -> list[Part]:
    return [Periodic(context, NAME, ServiceRepair(context), [context.caches.services])]
