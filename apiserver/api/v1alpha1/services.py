"""v1alpha1: Service, one lasting address for pods that come and go."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apiserver.api.base import Int32, IntOrString, Object, StringMap, always, merge_by
from apiserver.api.meta import TopObject


class ServicePort(Object):
    """A port of a Service.

    name: Name of the port; needed when there are several.
    protocol: TCP (when left out), UDP or SCTP.
    port: Number under which the Service answers.
    target_port: Number or name of the pods' port; the same number when left out.
    node_port: Number under which every node answers; found by the server when left out, for type NodePort.
    """

    name: str = ""
    protocol: str = ""
    port: Int32 = always(0)
    target_port: IntOrString | None = None
    node_port: Int32 = 0


class ServiceSpec(Object):
    """Which pods answer, and under which ports.

    type: ClusterIP (when left out), NodePort, LoadBalancer or ExternalName.
    selector: Labels of the pods that answer.
    ports: Ports of the Service.
    """

    type: str = ""
    selector: StringMap = {}
    ports: Annotated[list[ServicePort], merge_by("port")] = []


class ServiceStatus(Object):
    """What the server found for a Service.

    cluster_ip: Address of the Service; None for one that has no address of its own.
    """

    cluster_ip: str = ""


class Service(TopObject):
    """One lasting address and name for pods that come and go.

    spec: Which pods answer, and under which ports.
    status: What the server found for it.
    """

    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)
    status: ServiceStatus = msgspec.field(default_factory=ServiceStatus)
