"""Where requests for pods, nodes and services go: from the objects to an address, in Kubernetes' words when it fails.

A name may carry a scheme and a port: `name`, `name:port`, `scheme:name:port`. An agent is reached over TLS at an
address its Node says, and proves the node's *name*: an address is what a node claims of itself, and could be anybody's.
Pods and Services are reached as Kubernetes does, without anything that could prove who asks or answers, and never at
an address that would lead back into the server's own machine.
"""

from __future__ import annotations

import ipaddress
import random
import ssl
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from apiserver.admission.plugin import Lookup
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.discovery import EndpointSlice
from apiserver.api.errors import BadRequest, NotFound, ServiceUnavailable
from apiserver.http.node_options import port_number
from apiserver.http.tunnel import Place

AGENT_PORT = 10250
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_ADDRESS_TYPES = ("InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "Hostname")


class Named(NamedTuple):
    """`scheme:name:port`, taken apart; what was left out is ""."""

    scheme: str
    name: str
    port: str


def split_name(text: str, what: str) -> Named:
    """Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 1:
        named = Named("", parts[0], "")
    elif len(parts) == 2:
        named = Named("", parts[0], parts[1])
    else:
        named = Named(parts[0], parts[1], ":".join(parts[2:]))
    if not named.name or named.scheme not in ("", "http", "https") or ":" in named.port:
        raise BadRequest(f'invalid {what} request "{text[:300]}"')
    return named


def is_proxyable(address: str) -> bool:
    """Whether the server may connect there for a client: nothing that is the server itself, or its link's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    parsed = mapped if mapped is not None else parsed
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified)


class Places:
    """Finds them."""

    def __init__(self, lookup: Lookup, agent_tls: Callable[[], ssl.SSLContext]) -> None:
        self._lookup = lookup
        self._agent_tls = agent_tls

    async def pod(self, namespace: str, name: str) -> Pod:
        """Raises NotFound."""
        found: Pod | None = await self._lookup.get("pods", namespace, name, linearizable=True)
        if found is None:
            raise _not_found("pods", name)
        return found

    async def agent(self, node_name: str) -> Place:
        """The agent of a node. Raises NotFound, ServiceUnavailable."""
        node: Node | None = await self._lookup.get("nodes", "", node_name, linearizable=True)
        if node is None:
            raise _not_found("nodes", node_name)
        port = node.status.daemon_endpoints.kubelet_endpoint.port or AGENT_PORT
        return Place(_address_of(node), port, self._agent_tls(), node_name)

    async def node(self, text: str) -> Place:
        """For `nodes/{text}/proxy`: the agent, or another port of the node."""
        named = split_name(text, "node")
        agent = await self.agent(named.name)
        if named.port in ("", str(agent.port)):
            return agent
        return self._plain(named.scheme, agent.host, self._port(named.port), "node", named.name)

    async def of_pod(self, namespace: str, text: str) -> Place:
        """For `pods/{text}/proxy`. Without a port it is the first one a container names."""
        named = split_name(text, "pod")
        pod = await self.pod(namespace, named.name)
        ports = [port.container_port for container in pod.spec.containers for port in container.ports]
        default = ports[0] if ports else 443 if named.scheme == "https" else 80
        address = pod.status.pod_ips[0].ip if pod.status.pod_ips else pod.status.pod_ip
        if not address:
            raise ServiceUnavailable(f'pod "{named.name}" has no address yet')
        port = self._port(named.port) if named.port else default
        return self._plain(named.scheme, address, port, "pod", named.name)

    async def of_service(self, namespace: str, text: str) -> Place:
        """For `services/{text}/proxy`: any endpoint that is ready."""
        named = split_name(text, "service")
        service: Service | None = await self._lookup.get("services", namespace, named.name, linearizable=True)
        if service is None:
            raise _not_found("services", named.name)
        port_name = _port_name(service, named)
        slices = await self._lookup.list("discovery.k8s.io/endpointslices", namespace)
        found = _ready(slices, named.name, port_name)
        if not found:
            raise ServiceUnavailable(f'no endpoints available for service "{text}"')
        address, port = random.choice(found)
        return self._plain(named.scheme, address, port, "service", named.name)

    @staticmethod
    def _plain(scheme: str, address: str, port: int, what: str, name: str) -> Place:
        """Raises BadRequest for an address nobody is taken to."""
        if not is_proxyable(address):
            raise BadRequest(f'{what} "{name}" is at {address}: address not allowed')
        return Place(address, port, unverified_tls() if scheme == "https" else None)

    @staticmethod
    def _port(text: str) -> int:
        port = port_number(text)
        if port is None:
            raise BadRequest(f"the port must be a number between 1 and 65535, not {text[:32]!r}")
        return port


def unverified_tls() -> ssl.SSLContext:
    """For pods and Services, whose certificates nobody here could judge; the server shows none of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def container_of(pod: Pod, wanted: str) -> str:
    """The container a request means. Raises BadRequest."""
    name = pod.metadata.name
    kinds: list[tuple[str, list[str]]] = [
        ("", [each.name for each in pod.spec.containers]),
        (" or one of the init containers", [each.name for each in pod.spec.init_containers]),
        (" or one of the ephemeral containers", [each.name for each in pod.spec.ephemeral_containers]),
    ]
    if wanted:
        if not any(wanted in names for _, names in kinds):
            raise BadRequest(f"container {wanted[:253]} is not valid for pod {name}")
        return wanted
    containers = kinds[0][1]
    if len(containers) == 1:
        return containers[0]
    message = f"a container name must be specified for pod {name}"
    if containers:
        message += f", choose one of: [{' '.join(containers)}]"
        message += "".join(f"{text}: [{' '.join(names)}]" for text, names in kinds[1:] if names)
    raise BadRequest(message)


def host_of(pod: Pod) -> str:
    """The node a pod is on. Raises BadRequest."""
    if not pod.spec.node_name:
        raise BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
    return pod.spec.node_name


def _address_of(node: Node) -> str:
    """Raises ServiceUnavailable."""
    for kind in _ADDRESS_TYPES:
        for address in node.status.addresses:
            if address.type == kind and address.address:
                return address.address
    raise ServiceUnavailable(f'node "{node.metadata.name}" has said no address yet: its agent cannot be reached')


def _port_name(service: Service, named: Named) -> str:
    """The name of the Service's port that is meant. Raises ServiceUnavailable."""
    number = port_number(named.port)
    for port in service.spec.ports:
        if number == port.port if number is not None else (port.name == named.port):
            return port.name
    if not named.port and len(service.spec.ports) == 1:
        return service.spec.ports[0].name
    raise ServiceUnavailable(f'no service port "{named.port[:64]}" found for service "{named.name}"')


def _ready(slices: Sequence[Any], service: str, port_name: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for each in slices:
        assert isinstance(each, EndpointSlice)
        if each.metadata.labels.get(SERVICE_NAME_LABEL) != service:
            continue
        ports = [port.port for port in each.ports if (port.name or "") == port_name and port.port]
        for endpoint in each.endpoints:
            if endpoint.conditions.ready is not False and endpoint.addresses:
                found += [(endpoint.addresses[0], port) for port in ports if port is not None]
    return found


def _not_found(plural: str, name: str) -> NotFound:
    return NotFound(f'{plural} "{name}" not found', kind=plural, name=name)
