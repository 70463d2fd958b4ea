"""core/v1 Service: one stable address for a set of pods that comes and goes."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apiserver.api.base import Int32, IntOrString, Object, StringMap, always, merge_by
from apiserver.api.meta import Condition, TopObject


class ServicePort(Object):
    """A port a Service listens on, and where it leads.

    name: Name of the port, a DNS label; needed when there is more than one.
    protocol: TCP, UDP or SCTP.
    app_protocol: Protocol spoken on the port, a hint for those who route it.
    port: Port that clients connect to.
    target_port: Port of the pods, by number or by the name a container gives it; the same as port when left out.
    node_port: Port opened on every node for NodePort and LoadBalancer; chosen by the server when left out.
    """

    name: str = ""
    protocol: str = ""
    app_protocol: str | None = None
    port: Int32 = always(0)
    target_port: IntOrString | None = None
    node_port: Int32 = 0


class ClientIPConfig(Object):
    """How long a client address sticks to its pod.

    timeout_seconds: Seconds a client sticks to its pod; 1 to 86400.
    """

    timeout_seconds: Int32 | None = None


class SessionAffinityConfig(Object):
    """Settings of session affinity.

    client_ip: Settings of affinity by client address.
    """

    client_ip: ClientIPConfig | None = None


class ServiceSpec(Object):
    """The wish: which pods, at which address and ports.

    ports: Ports the Service listens on.
    selector: Labels of the pods that serve; without one somebody else writes the endpoints.
    cluster_ip: The virtual address; `None` is a headless Service. Chosen by the server when left out.
    cluster_ips: The virtual addresses, one per IP family; the first is clusterIP.
    type: ClusterIP, NodePort, LoadBalancer or ExternalName.
    external_ips: Further addresses that nodes take traffic for.
    session_affinity: ClientIP keeps a client at one pod; None does not.
    load_balancer_ip: Address wished for from the load balancer; old.
    load_balancer_source_ranges: Networks from which the load balancer lets clients in.
    external_name: DNS name that an ExternalName Service stands for.
    external_traffic_policy: Local sends traffic from outside to pods of the same node only; Cluster to any.
    health_check_node_port: Port on which nodes tell a load balancer whether they have a pod.
    publish_not_ready_addresses: Lists pods in DNS before they are ready.
    session_affinity_config: Settings of session affinity.
    ip_families: IPv4, IPv6 or both, in order of preference.
    ip_family_policy: SingleStack, PreferDualStack or RequireDualStack.
    allocate_load_balancer_node_ports: False when the load balancer needs no node ports.
    load_balancer_class: Which load balancer is meant; cannot be changed.
    internal_traffic_policy: Local sends traffic from inside to pods of the same node only; Cluster to any.
    traffic_distribution: How to choose among pods, as in PreferClose.
    """

    ports: Annotated[list[ServicePort], merge_by("port")] = []
    selector: StringMap = {}
    cluster_ip: str = ""
    cluster_ips: list[str] = []
    type: str = ""
    external_ips: list[str] = []
    session_affinity: str = ""
    load_balancer_ip: str = ""
    load_balancer_source_ranges: list[str] = []
    external_name: str = ""
    external_traffic_policy: str = ""
    health_check_node_port: Int32 = 0
    publish_not_ready_addresses: bool = False
    session_affinity_config: SessionAffinityConfig | None = None
    ip_families: list[str] = []
    ip_family_policy: str | None = None
    allocate_load_balancer_node_ports: bool | None = None
    load_balancer_class: str | None = None
    internal_traffic_policy: str | None = None
    traffic_distribution: str | None = None


class PortStatus(Object):
    """What became of a port at the load balancer.

    port: Number of the port.
    protocol: TCP, UDP or SCTP.
    error: Why the port does not work.
    """

    port: Int32 = always(0)
    protocol: str = always("")
    error: str | None = None


class LoadBalancerIngress(Object):
    """One way in through the load balancer.

    ip: Address of the way in.
    hostname: DNS name of the way in.
    ip_mode: VIP or Proxy: whether packets arrive with this very address.
    ports: What became of each port.
    """

    ip: str = ""
    hostname: str = ""
    ip_mode: str | None = None
    ports: list[PortStatus] = []


class LoadBalancerStatus(Object):
    """What the load balancer has set up.

    ingress: The ways in.
    """

    ingress: list[LoadBalancerIngress] = []


class ServiceStatus(Object):
    """What is there.

    load_balancer: What the load balancer has set up.
    conditions: State of the Service, aspect by aspect.
    """

    load_balancer: LoadBalancerStatus = msgspec.field(default_factory=LoadBalancerStatus)
    conditions: Annotated[list[Condition], merge_by("type")] = []


class Service(TopObject):
    """One stable address and name for a set of pods that comes and goes.

    spec: Which pods, at which address and ports.
    status: What is there.
    """

    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)
    status: ServiceStatus = msgspec.field(default_factory=ServiceStatus)
