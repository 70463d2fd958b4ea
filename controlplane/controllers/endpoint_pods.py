"""Which pods serve a Service, where, and on which ports: what Endpoints and EndpointSlices have in common. Pure.

A pod counts when it has an address and has not ended. Rules and names are those of Kubernetes' endpoints controllers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from apiserver.api.core.pod import Pod
from apiserver.api.core.references import ObjectReference
from apiserver.api.core.service import Service, ServicePort
from apiserver.api.names import is_ipv4

HEADLESS = "None"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ENDED = ("Succeeded", "Failed")


class Port(NamedTuple):
    """A port of the Service as one pod has it. Sorts as it is shown."""

    name: str
    protocol: str
    port: int
    app_protocol: str | None = None


def is_served_by_pods(service: Service) -> bool:
    """False where somebody else says where it leads: no selector, or the name of something outside."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


def address_of(pod: Pod) -> str:
    """Its first IPv4 address, "" while it has none."""
    for each in pod.status.pod_ips:
        if not is_ipv4(each.ip):  # no complaints
            return each.ip
    return pod.status.pod_ip if pod.status.pod_ip and not is_ipv4(pod.status.pod_ip) else ""


def is_ready(pod: Pod) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)


def is_terminating(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None


def serving_pods(service: Service, pods: Iterable[Pod]) -> Iterator[Pod]:
    selector = service.spec.selector
    for pod in pods:
        if selects(selector, pod.metadata.labels) and pod.status.phase not in ENDED and address_of(pod):
            yield pod


def ports_of(service: Service, pod: Pod) -> tuple[Port, ...]:
    """Those that the pod has: a port by name may lead to another number in each pod, or nowhere."""
    found = []
    for each in service.spec.ports:
        number = port_number(each, pod)
        if number is not None:
            found.append(Port(each.name, each.protocol or "TCP", number, each.app_protocol))
    return in_order(found)


def in_order(ports: Iterable[Port]) -> tuple[Port, ...]:
    return tuple(sorted(ports, key=lambda each: (each.name, each.protocol, each.port, each.app_protocol or "")))


def port_number(port: ServicePort, pod: Pod) -> int | None:
    target = port.target_port
    if not isinstance(target, str):
        return target or port.port
    sidecars = [each for each in pod.spec.init_containers if each.restart_policy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for each in container.ports:
            if each.name == target and (each.protocol or "TCP") == (port.protocol or "TCP"):
                return each.container_port
    return None


def is_headless(service: Service) -> bool:
    return service.spec.cluster_ip == HEADLESS


def hostname_of(service: Service, pod: Pod) -> str:
    """By which the pod is found under the Service's name, if it wants to be."""
    return pod.spec.hostname if pod.spec.subdomain == service.metadata.name else ""


def reference_to(pod: Pod) -> ObjectReference:
    meta = pod.metadata
    return ObjectReference(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid)
