"""Services, endpoints and endpoint slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .events import events_of, write_events
from .writer import NONE, UNSET, Writer, formatted_labels

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]
ENDPOINTS_MAX = 3


async def service(session: Session, writer: Writer, obj: JsonObject) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    writer.begin(obj)
    writer.marks(obj)
    writer.line(0, "Selector:", formatted_labels(spec.get("selector")))
    writer.line(0, "Type:", spec.get("type", ""))
    if spec.get("ipFamilyPolicy"):
        writer.line(0, "IP Family Policy:", spec["ipFamilyPolicy"])
    writer.line(0, "IP Families:", ",".join(spec.get("ipFamilies") or []) or NONE)
    writer.line(0, "IP:", spec.get("clusterIP", ""))
    writer.line(0, "IPs:", ",".join(spec.get("clusterIPs") or []) or NONE)
    if spec.get("externalIPs"):
        writer.line(0, "External IPs:", ",".join(spec["externalIPs"]))
    if spec.get("loadBalancerIP"):
        writer.line(0, "Desired LoadBalancer IP:", spec["loadBalancerIP"])
    if spec.get("externalName"):
        writer.line(0, "External Name:", spec["externalName"])
    ingress = (status.get("loadBalancer") or {}).get("ingress") or []
    if ingress:
        writer.line(
            0, "LoadBalancer Ingress:", ", ".join(str(each.get("ip") or each.get("hostname")) for each in ingress)
        )
    slices = await _slices(session, obj)
    for port in spec.get("ports") or []:
        _port(writer, port, slices)
    writer.line(0, "Session Affinity:", spec.get("sessionAffinity", ""))
    for title, field in (
        ("External Traffic Policy:", "externalTrafficPolicy"),
        ("Internal Traffic Policy:", "internalTrafficPolicy"),
        ("HealthCheck NodePort:", "healthCheckNodePort"),
    ):
        if spec.get(field):
            writer.line(0, title, spec[field])
    if spec.get("loadBalancerSourceRanges"):
        writer.line(0, "LoadBalancer Source Ranges:", ",".join(spec["loadBalancerSourceRanges"]))
    write_events(writer, await events_of(session, obj))


async def _slices(session: Session, obj: JsonObject) -> list[JsonObject]:
    metadata = obj["metadata"]
    resource = (await session.catalogue()).of_object("discovery.k8s.io/v1", "EndpointSlice")
    if resource is None:
        return []
    labels = f"kubernetes.io/service-name={metadata['name']}"
    return await session.api.list_(resource.kind, metadata["namespace"], labels=labels)


def _port(writer: Writer, port: JsonObject, slices: list[JsonObject]) -> None:
    protocol, name = port.get("protocol", "TCP"), port.get("name") or UNSET
    writer.line(0, "Port:", name, f"{port.get('port', 0)}/{protocol}")
    writer.line(0, "TargetPort:", f"{port.get('targetPort', 0)}/{protocol}")
    if port.get("nodePort"):
        writer.line(0, "NodePort:", name, f"{port['nodePort']}/{protocol}")
    writer.line(0, "Endpoints:", _ready(slices, port.get("name") or ""))


def _ready(slices: list[JsonObject], name: str) -> str:
    found = []
    for each in slices:
        numbers = [port.get("port") for port in each.get("ports") or [] if (port.get("name") or "") == name]
        for endpoint in each.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            for number in numbers:
                found += [_joined(address, number) for address in endpoint.get("addresses") or []]
    shown = ",".join(found[:ENDPOINTS_MAX])
    if len(found) > ENDPOINTS_MAX:
        shown += f" + {len(found) - ENDPOINTS_MAX} more..."
    return shown or NONE


def _joined(address: str, port: object) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


async def endpoints(session: Session, writer: Writer, obj: JsonObject) -> None:
    writer.begin(obj)
    writer.marks(obj)
    writer.line(0, "Subsets:")
    for subset in obj.get("subsets") or []:
        for title, field in (("Addresses:", "addresses"), ("NotReadyAddresses:", "notReadyAddresses")):
            shown = ",".join(each.get("ip", "") for each in subset.get(field) or [])
            writer.line(1, title, shown or NONE)
        ports = subset.get("ports") or []
        if ports:
            writer.line(1, "Ports:")
            _ports(writer, 2, ports)
        writer.blank()
    write_events(writer, await events_of(session, obj))


def _ports(writer: Writer, level: int, ports: list[JsonObject]) -> None:
    writer.line(level, "Name", "Port", "Protocol")
    writer.line(level, "----", "----", "--------")
    for port in ports:
        number = port.get("port")
        writer.line(level, port.get("name") or UNSET, UNSET if number is None else number, port.get("protocol", ""))


async def endpoint_slice(session: Session, writer: Writer, obj: JsonObject) -> None:
    writer.begin(obj)
    writer.marks(obj)
    writer.line(0, "AddressType:", obj.get("addressType", ""))
    ports = obj.get("ports") or []
    writer.line(0, "Ports:", *([] if ports else [UNSET]))
    if ports:
        _ports(writer, 1, ports)
    found = obj.get("endpoints") or []
    if not found:
        writer.line(0, "Endpoints:", NONE)
    else:
        writer.line(0, "Endpoints:")
        for each in found:
            _endpoint(writer, each)
    write_events(writer, await events_of(session, obj))


def _endpoint(writer: Writer, endpoint: JsonObject) -> None:
    addresses = ", ".join(endpoint.get("addresses") or []) or NONE
    writer.line(1, "- Addresses:", addresses)
    conditions = endpoint.get("conditions") or {}
    ready = conditions.get("ready")
    writer.line(2, "Conditions:")
    writer.line(3, "Ready:", UNSET if ready is None else str(ready).lower())
    writer.line(2, "Hostname:", endpoint.get("hostname") or UNSET)
    target = endpoint.get("targetRef")
    if target:
        writer.line(2, "TargetRef:", f"{target.get('kind', '')}/{target.get('name', '')}")
    writer.line(2, "NodeName:", endpoint.get("nodeName") or UNSET)
    writer.line(2, "Zone:", endpoint.get("zone") or UNSET)
    topology = endpoint.get("deprecatedTopology")
    if topology:
        writer.line(2, "Topology:")
        for key in sorted(topology):
            writer.line(3, f"{key}:", topology[key])
