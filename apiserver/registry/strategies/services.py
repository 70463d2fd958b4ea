"""Service: defaults, what follows from its type, and what an update keeps when a client leaves it out.

Addresses and node ports are given out in the transaction that writes the Service, after these rules: here they may
still be missing. A cluster has one family of addresses, IPv4; what asks for another is refused.
"""

from __future__ import annotations

import ipaddress

from apiserver.api.core.service import ClientIPConfig, Service, ServiceSpec, SessionAffinityConfig
from apiserver.api.fields import Causes
from apiserver.api.names import NameRule, is_dns1035_label
from apiserver.registry.strategy import Strategy

from .service_rules import validate_service, validate_service_change

CLUSTER_IP, NODE_PORT, LOAD_BALANCER, EXTERNAL_NAME = "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"
HEADLESS = "None"
AFFINITY_SECONDS = 3 * 60 * 60


def is_headless(spec: ServiceSpec) -> bool:
    return spec.cluster_ip == HEADLESS or spec.cluster_ips == [HEADLESS]


def needs_cluster_ip(spec: ServiceSpec) -> bool:
    """Whether the Service has an address, be it `None`."""
    return spec.type != EXTERNAL_NAME


def needs_node_port(spec: ServiceSpec) -> bool:
    """Whether each port gets a port on the nodes."""
    if spec.type == LOAD_BALANCER:
        return spec.allocate_load_balancer_node_ports is not False
    return spec.type == NODE_PORT


def needs_health_check_node_port(spec: ServiceSpec) -> bool:
    return spec.type == LOAD_BALANCER and spec.external_traffic_policy == "Local"


def is_reachable_from_outside(spec: ServiceSpec) -> bool:
    return spec.type in (NODE_PORT, LOAD_BALANCER) or (spec.type == CLUSTER_IP and bool(spec.external_ips))


class ServiceStrategy(Strategy[Service]):
    name_rule: NameRule = staticmethod(is_dns1035_label)
    allow_create_on_update = True
    returns_deleted = True

    def prepare_update(self, obj: Service, old: Service) -> None:
        """Allocated values that were left out are kept; those that the new type has no use for go."""
        new, was = obj.spec, old.spec
        given_families = list(new.ip_families)
        self.default(obj)
        _keep_allocated(new, was)
        _follow_cluster_ip(new, was)
        if new.type != EXTERNAL_NAME and was.ip_families and not given_families:
            new.ip_families, new.ip_family_policy = list(was.ip_families), new.ip_family_policy or was.ip_family_policy
        _drop_what_does_not_apply(new, was)

    def default(self, obj: Service) -> None:
        spec = obj.spec
        spec.type = spec.type or CLUSTER_IP
        _default_affinity(spec)
        for port in spec.ports:
            port.protocol = port.protocol or "TCP"
            if port.target_port in (None, 0, ""):
                port.target_port = port.port
        if is_reachable_from_outside(spec) and not spec.external_traffic_policy:
            spec.external_traffic_policy = "Cluster"
        if spec.internal_traffic_policy is None and spec.type in (CLUSTER_IP, NODE_PORT, LOAD_BALANCER):
            spec.internal_traffic_policy = "Cluster"
        if spec.allocate_load_balancer_node_ports is None and spec.type == LOAD_BALANCER:
            spec.allocate_load_balancer_node_ports = True
        if spec.cluster_ip and not spec.cluster_ips:
            spec.cluster_ips = [spec.cluster_ip]
        if spec.type != EXTERNAL_NAME:
            _default_families(spec)
        for ingress in obj.status.load_balancer.ingress:
            if ingress.ip and ingress.ip_mode is None:
                ingress.ip_mode = "VIP"

    def validate(self, obj: Service, causes: Causes) -> None:
        validate_service(obj.spec, causes, "spec")

    def validate_update(self, obj: Service, old: Service, causes: Causes) -> None:
        validate_service_change(obj.spec, old.spec, causes, "spec")


SERVICE = ServiceStrategy()


def _default_affinity(spec: ServiceSpec) -> None:
    spec.session_affinity = spec.session_affinity or "None"
    if spec.session_affinity == "None":
        spec.session_affinity_config = None
    if spec.session_affinity == "ClientIP":
        config = spec.session_affinity_config or SessionAffinityConfig()
        if config.client_ip is None or config.client_ip.timeout_seconds is None:
            config.client_ip = ClientIPConfig(timeout_seconds=AFFINITY_SECONDS)
        spec.session_affinity_config = config


def _default_families(spec: ServiceSpec) -> None:
    """Families follow from addresses that were given, else the cluster has only one to offer."""
    nobody_selects = is_headless(spec) and not spec.selector
    if nobody_selects:
        # Whoever writes the endpoints may have addresses of both families, whatever the cluster has.
        spec.ip_family_policy = spec.ip_family_policy or "RequireDualStack"
        spec.ip_families = spec.ip_families or ["IPv4"]
        if len(spec.ip_families) == 1 and spec.ip_family_policy != "SingleStack":
            spec.ip_families = [*spec.ip_families, "IPv6" if spec.ip_families == ["IPv4"] else "IPv4"]
        return
    spec.ip_family_policy = spec.ip_family_policy or "SingleStack"
    if not spec.ip_families:
        spec.ip_families = _families_of(spec.cluster_ips) or ["IPv4"]


def _families_of(addresses: list[str]) -> list[str]:
    families = []
    for address in addresses:
        try:
            families.append(f"IPv{ipaddress.ip_address(address).version}")
        except ValueError:
            return []
    return families


# --- updates --------------------------------------------------------------------------------------------


def _keep_allocated(new: ServiceSpec, old: ServiceSpec) -> None:
    """A client that writes what it wrote at first must not lose the address and ports it was given since."""
    if needs_cluster_ip(new) and needs_cluster_ip(old):
        new.cluster_ip = new.cluster_ip or old.cluster_ip
        if not new.cluster_ips and new.cluster_ip == old.cluster_ip:
            new.cluster_ips = list(old.cluster_ips)
    if needs_node_port(new) and needs_node_port(old):
        taken = {port.node_port for port in new.ports if port.node_port}
        known = {(port.protocol, port.port): port.node_port for port in old.ports}
        for port in new.ports:
            before = known.get((port.protocol, port.port), 0)
            if not port.node_port and before not in taken:
                port.node_port = before
                taken.add(before)
    if needs_health_check_node_port(new) and needs_health_check_node_port(old):
        new.health_check_node_port = new.health_check_node_port or old.health_check_node_port


def _follow_cluster_ip(new: ServiceSpec, old: ServiceSpec) -> None:
    """clusterIPs follows clusterIP when only that was changed: older clients know no other."""
    if new.cluster_ip != old.cluster_ip and new.cluster_ips == old.cluster_ips:
        new.cluster_ips = [new.cluster_ip, *new.cluster_ips[1:]] if new.cluster_ip else []


def _drop_what_does_not_apply(new: ServiceSpec, old: ServiceSpec) -> None:
    """Of what the server or a default once set, when the type changed and the client did not touch it."""
    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        if (new.cluster_ip, new.cluster_ips) == (old.cluster_ip, old.cluster_ips):
            new.cluster_ip, new.cluster_ips = "", []
        if new.ip_families == old.ip_families:
            new.ip_families = []
        if new.ip_family_policy == old.ip_family_policy:
            new.ip_family_policy = None
    if needs_node_port(old) and not needs_node_port(new):
        same = [port.node_port for port in new.ports] == [port.node_port for port in old.ports]
        for port in new.ports if same else ():
            port.node_port = 0
    checked = needs_health_check_node_port(old) and not needs_health_check_node_port(new)
    if checked and new.health_check_node_port == old.health_check_node_port:
        new.health_check_node_port = 0
    if old.type == LOAD_BALANCER != new.type:
        if new.allocate_load_balancer_node_ports == old.allocate_load_balancer_node_ports:
            new.allocate_load_balancer_node_ports = None
        if new.load_balancer_class == old.load_balancer_class:
            new.load_balancer_class = None
    shut = is_reachable_from_outside(old) and not is_reachable_from_outside(new)
    if shut and new.external_traffic_policy == old.external_traffic_policy:
        new.external_traffic_policy = ""
