"""clusterIP and nodePort of Services: one key per address and port, taken in the transaction that creates the Service.

Two Services never have the same address, because both transactions would put its key and only one finds it free. What
a Service gives up, by deletion or by changing its type, is freed in the same transaction.
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
from collections.abc import Iterable
from typing import Any

from apiserver.api.errors import ServiceUnavailable
from apiserver.api.fields import Causes
from apiserver.effects.effect import DELETE, Write
from apiserver.registry.strategies.service_rules import NODE_PORTS
from apiserver.registry.strategies.services import HEADLESS
from apiserver.storage import OWN, Storage

ADDRESSES = OWN + b"addresses/"
PORTS = OWN + b"nodeports/"
RANDOM_TRIES = 16  # before the range is walked through
WALK_MAX = 65_536
_WITH_PORTS = ("NodePort", "LoadBalancer")


class ServiceAddresses:
    """The effect of writes to Services. `first` of the network is the API server's own Service's."""

    def __init__(self, storage: Storage, service_cidr: str) -> None:
        self._storage = storage
        self._network = ipaddress.ip_network(service_cidr)
        self._size = min(self._network.num_addresses - 2, 1 << 20)  # neither the network's address nor the last

    @property
    def first(self) -> str:
        return str(self._network[1])

    async def plan(self, write: Write) -> None:
        had = set() if write.old is None else keys_of(write.old)
        if write.verb == DELETE or write.obj is None:
            self._free(write, had)
            return
        await self._address(write, had)
        await self._ports(write, had)
        self._free(write, had - keys_of(write.obj))

    @staticmethod
    def _free(write: Write, keys: Iterable[bytes]) -> None:
        for key in sorted(keys):
            write.transaction.delete(key)

    def _take(self, write: Write, key: bytes) -> None:
        write.transaction.expect(key, 0)
        write.transaction.put(key, f"{write.namespace}/{write.name}".encode())

    # --- clusterIP ----------------------------------------------------------------------------------

    async def _taken(self, key: bytes) -> bool:
        """Whether somebody has it. Nobody is refused for what was freed already and is not known here yet."""
        if self._storage.peek_key(key) is None:
            return False
        await self._storage.linearize()
        return self._storage.peek_key(key) is not None

    async def _address(self, write: Write, had: set[bytes]) -> None:
        service: Any = write.obj
        spec = service.spec
        if spec.type == "ExternalName":
            spec.cluster_ip, spec.cluster_ips = "", []
            return
        wanted = spec.cluster_ip or (spec.cluster_ips[0] if spec.cluster_ips else "")
        if wanted == HEADLESS:
            spec.cluster_ip, spec.cluster_ips = HEADLESS, [HEADLESS]
            return
        if wanted:
            await self._check_wanted(write, wanted, had)
        else:
            wanted = self._free_address()
        spec.cluster_ip, spec.cluster_ips = wanted, [wanted]
        key = address_key(wanted)
        if key not in had:
            self._take(write, key)

    async def _check_wanted(self, write: Write, wanted: str, had: set[bytes]) -> None:
        key = address_key(wanted)
        if key in had:
            return
        try:
            inside = ipaddress.ip_address(wanted) in self._network
        except ValueError:
            inside = False
        causes = Causes()
        if not inside or wanted in (str(self._network[0]), str(self._network[-1])):
            detail = f"provided IP is not in the valid range. The range of valid IPs is {self._network}"
            causes.invalid("spec.clusterIPs", [wanted], f"failed to allocate IP {wanted}: {detail}")
        elif self._is_reserved(write, wanted) or await self._taken(key):
            causes.invalid(
                "spec.clusterIPs", [wanted], f"failed to allocate IP {wanted}: provided IP is already allocated"
            )
        if causes:
            raise causes.error(kind="Service", group="", name=write.name)

    def _is_reserved(self, write: Write, wanted: str) -> bool:
        """The first address is the API's own, from before its Service is there."""
        return wanted == self.first and (write.namespace, write.name) != ("default", "kubernetes")

    def _free_address(self) -> str:
        def candidate(place: int) -> str:
            return str(self._network[2 + place])  # [1] is default/kubernetes

        place = self._free_place(self._size - 1, lambda at: address_key(candidate(at)))
        if place is None:
            raise ServiceUnavailable(f"failed to allocate a serviceIP: range {self._network} is full")
        return candidate(place)

    def _free_place(self, size: int, key_of: Any) -> int | None:
        """A place whose key is not there as far as this replica knows; the transaction makes sure."""
        for _ in range(min(RANDOM_TRIES, size)):
            place = secrets.randbelow(size)
            if self._storage.peek_key(key_of(place)) is None:
                return place
        start = secrets.randbelow(size) if size > 0 else 0
        for step in range(min(size, WALK_MAX)):
            place = (start + step) % size
            if self._storage.peek_key(key_of(place)) is None:
                return place
        return None

    # --- nodePort -----------------------------------------------------------------------------------

    async def _ports(self, write: Write, had: set[bytes]) -> None:
        service: Any = write.obj
        spec = service.spec
        wants_ports = spec.type in _WITH_PORTS and not (
            spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is False
        )
        taken: set[bytes] = set()
        for number, port in enumerate(spec.ports):
            if not wants_ports and not port.node_port:
                continue
            if port.node_port:
                key = port_key(port.node_port, port.protocol)
                await self._check_port(write, number, port.node_port, key, had)
            else:
                key, port.node_port = self._free_port(port.protocol, taken)
            if key not in had and key not in taken:
                self._take(write, key)
            taken.add(key)

    async def _check_port(self, write: Write, number: int, wanted: int, key: bytes, had: set[bytes]) -> None:
        if key in had:
            return
        causes = Causes()
        path = f"spec.ports[{number}].nodePort"
        if wanted not in NODE_PORTS:
            valid = f"{NODE_PORTS[0]}-{NODE_PORTS[-1]}"
            causes.invalid(
                path, wanted, f"provided port is not in the valid range. The range of valid ports is {valid}"
            )
        elif await self._taken(key):
            causes.invalid(path, wanted, "provided port is already allocated")
        if causes:
            raise causes.error(kind="Service", group="", name=write.name)

    def _free_port(self, protocol: str, taken: set[bytes]) -> tuple[bytes, int]:
        def key_at(place: int) -> bytes:
            return port_key(NODE_PORTS[place], protocol)

        for _ in range(RANDOM_TRIES):
            place = self._free_place(len(NODE_PORTS), key_at)
            if place is None:
                break
            if key_at(place) not in taken:
                return key_at(place), NODE_PORTS[place]
        raise ServiceUnavailable("failed to allocate a nodePort: range is full")


def address_key(address: str) -> bytes:
    """One key per address, however it is written."""
    with contextlib.suppress(ValueError):  # what is none is refused by whoever takes it
        address = str(ipaddress.ip_address(address))
    return ADDRESSES + address.encode()


def port_key(port: int, protocol: str) -> bytes:
    return PORTS + f"{protocol or 'TCP'}/{port}".encode()


def keys_of(service: Any) -> set[bytes]:
    """The keys a Service holds."""
    spec = service.spec
    keys = {address_key(each) for each in (spec.cluster_ip,) if each and each != HEADLESS}
    return keys | {port_key(port.node_port, port.protocol) for port in spec.ports if port.node_port}
