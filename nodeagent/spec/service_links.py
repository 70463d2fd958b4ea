"""Variables that tell a container of the Services of its namespace, as Kubernetes (and docker's links before) named
them, and of `kubernetes`, through which it reaches the API.

Only Services that were there before the container: whoever wants more asks the DNS.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from apiserver.api.core.service import Service

MASTER_NAMESPACE, MASTER_SERVICE = "default", "kubernetes"
_HEADLESS = "None"


def service_variables(services: Iterable[Service], namespace: str, *, linked: bool) -> dict[str, str]:
    """`linked`: all of the namespace, and not `kubernetes` alone."""
    chosen: dict[str, Service] = {}
    for each in services:
        meta = each.metadata
        if each.spec.cluster_ip in ("", _HEADLESS) or each.spec.type == "ExternalName":
            continue
        master = (meta.namespace, meta.name) == (MASTER_NAMESPACE, MASTER_SERVICE)
        if meta.namespace == namespace and (linked or master):
            chosen[meta.name] = each
        elif master:
            chosen.setdefault(meta.name, each)
    found: dict[str, str] = {}
    for name in sorted(chosen):
        found |= _variables(chosen[name])
    return found


def _variables(service: Service) -> dict[str, str]:
    prefix = service.metadata.name.upper().replace("-", "_")
    address, ports = service.spec.cluster_ip, service.spec.ports
    found = {f"{prefix}_SERVICE_HOST": address}
    if not ports:
        return found
    found[f"{prefix}_SERVICE_PORT"] = str(ports[0].port)
    for port in ports:
        if port.name:
            found[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    for index, port in enumerate(ports):
        protocol = port.protocol or "TCP"
        url = f"{protocol.lower()}://{_with_port(address, port.port)}"
        if index == 0:
            found[f"{prefix}_PORT"] = url
        each = f"{prefix}_PORT_{port.port}_{protocol.upper()}"
        found |= {
            each: url,
            f"{each}_PROTO": protocol.lower(),
            f"{each}_PORT": str(port.port),
            f"{each}_ADDR": address,
        }
    return found


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ipaddress.ip_address(address).version == 6 else f"{address}:{port}"
