"""Services and EndpointSlices in few words."""

from __future__ import annotations

from typing import Any

from apiserver.api.core.service import Service, ServicePort, ServiceSpec
from apiserver.api.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from apiserver.api.meta import ObjectMeta


def service(
    name: str,
    *,
    namespace: str = "default",
    cluster_ip: str = "10.96.0.5",
    node_port: int = 0,
    port: int = 80,
    protocol: str = "TCP",
    ports: list[ServicePort] | None = None,
    **spec: Any,
) -> Service:
    spec.setdefault("type", "NodePort" if node_port else "ClusterIP")
    return Service(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=ServiceSpec(
            cluster_ip=cluster_ip,
            ports=ports or [ServicePort(port=port, protocol=protocol, node_port=node_port)],
            **spec,
        ),
    )


def endpoint(address: str, *, node: str = "n1", hostname: str | None = None, **conditions: Any) -> Endpoint:
    return Endpoint(addresses=[address], node_name=node, hostname=hostname, conditions=EndpointConditions(**conditions))


def piece(
    service_name: str,
    *endpoints: Endpoint,
    name: str = "",
    namespace: str = "default",
    port: int = 8080,
    port_name: str = "",
    protocol: str = "TCP",
) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(
            name=name or f"{service_name}-1",
            namespace=namespace,
            labels={"kubernetes.io/service-name": service_name},
        ),
        address_type="IPv4",
        endpoints=list(endpoints),
        ports=[EndpointPort(name=port_name, port=port, protocol=protocol)],
    )
