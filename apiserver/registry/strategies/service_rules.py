"""What a Service must look like, and how it may change: the rules of core/v1, in Kubernetes' words.

Defaults have been filled in before. `path` is where the spec stands.
"""

from __future__ import annotations

import ipaddress

from apiserver.api.core.service import ServicePort, ServiceSpec
from apiserver.api.fields import Causes
from apiserver.api.names import is_cidr, is_dns_label, is_dns_subdomain, is_ip, is_port_name, is_qualified_name
from apiserver.api.validation import check, validate_labels

from .endpoints import PROTOCOLS, validate_port_number, validate_reachable
from .pod_validation.texts import one_of, one_of_or_absent

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
FAMILIES = ("IPv4", "IPv6")
POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
NODE_PORTS = range(30_000, 32_768)
AGENT_PORT = 10_250
AFFINITY_SECONDS_MAX = 86_400
_UNCHANGED = "may not change once set"


def validate_service(spec: ServiceSpec, causes: Causes, path: str) -> None:
    """The rules of a whole spec."""
    headless = spec.cluster_ips == ["None"]
    if not spec.ports and not headless and spec.type != "ExternalName":
        causes.required(f"{path}.ports")
    one_of(causes, f"{path}.type", spec.type, TYPES)
    _validate_type(spec, causes, path, headless=headless)
    _validate_ports(spec, causes, path)
    validate_labels(spec.selector, causes, f"{path}.selector")
    _validate_affinity(spec, causes, path)
    if spec.type != "ExternalName":
        _validate_addresses(spec, causes, path)
    for index, address in enumerate(spec.external_ips):
        check(is_ip, address, causes, f"{path}.externalIPs[{index}]")
        if not is_ip(address):
            validate_reachable(address, causes, f"{path}.externalIPs[{index}]")
    _validate_load_balancer(spec, causes, path)
    _validate_traffic(spec, causes, path)


def validate_service_change(new: ServiceSpec, old: ServiceSpec, causes: Causes, path: str) -> None:
    """The rules of the change alone."""
    if new.type == old.type == "LoadBalancer" and new.load_balancer_class != old.load_balancer_class:
        causes.invalid(f"{path}.loadBalancerClass", new.load_balancer_class, _UNCHANGED)
    if "ExternalName" in (new.type, old.type):
        return
    if new.cluster_ips != ["None"] or old.cluster_ips != ["None"]:
        _validate_kept(new.cluster_ips, old.cluster_ips, new, causes, f"{path}.clusterIPs", "primary clusterIP")
        _validate_kept(new.ip_families, old.ip_families, new, causes, f"{path}.ipFamilies", "primary ipFamily")


def _validate_kept(new: list[str], old: list[str], spec: ServiceSpec, causes: Causes, path: str, first: str) -> None:
    """A second value may come and go; what stays does not change."""
    for index, (after, before) in enumerate(zip(new, old, strict=False)):
        if after != before:
            causes.invalid(f"{path}[{index}]", new, _UNCHANGED)
    if old and not new:
        causes.invalid(f"{path}[0]", new, f"{first} can not be unset")
    if len(old) == 2 and len(new) == 1 and spec.ip_family_policy != "SingleStack":
        causes.invalid(
            f"{path.rpartition('.')[0]}.ipFamilyPolicy",
            spec.ip_family_policy,
            f"must be set to 'SingleStack' when releasing the secondary {path.rpartition('.')[2].removesuffix('s')}",
        )


def _validate_type(spec: ServiceSpec, causes: Causes, path: str, *, headless: bool) -> None:
    if spec.type in ("LoadBalancer", "NodePort") and headless:
        causes.invalid(f"{path}.clusterIPs[0]", "None", f"may not be set to 'None' for {spec.type} services")
    if spec.type == "LoadBalancer":
        for index, port in enumerate(spec.ports):
            if port.port == AGENT_PORT:
                rule = f"may not expose port {AGENT_PORT} externally since it is used by kubelet"
                causes.invalid(f"{path}.ports[{index}]", port.port, rule)
    if spec.type == "ExternalName":
        for name, value in (
            ("clusterIPs", spec.cluster_ips),
            ("ipFamilies", spec.ip_families),
            ("ipFamilyPolicy", spec.ip_family_policy),
        ):
            if value:
                causes.forbidden(f"{path}.{name}", "may not be set for ExternalName services")
        name = spec.external_name.removesuffix(".")
        if name:
            check(is_dns_subdomain, name, causes, f"{path}.externalName")
        else:
            causes.required(f"{path}.externalName")


# --- ports ----------------------------------------------------------------------------------------------


def _validate_ports(spec: ServiceSpec, causes: Causes, path: str) -> None:
    names: set[str] = set()
    ports: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(spec.ports):
        at = f"{path}.ports[{index}]"
        _validate_port(port, causes, at, name_required=len(spec.ports) > 1)
        if port.name and port.name in names:
            causes.duplicate(f"{at}.name", port.name)
        names.add(port.name)
        if (port.protocol, port.port) in ports:
            causes.duplicate(at, ServicePort(protocol=port.protocol, port=port.port))
        ports.add((port.protocol, port.port))
        if port.node_port:
            _validate_node_port(port, spec.type, causes, f"{at}.nodePort")
            if (port.protocol, port.node_port) in node_ports:
                causes.duplicate(f"{at}.nodePort", port.node_port)
            node_ports.add((port.protocol, port.node_port))


def _validate_port(port: ServicePort, causes: Causes, path: str, *, name_required: bool) -> None:
    if port.name:
        check(is_dns_label, port.name, causes, f"{path}.name")
    elif name_required:
        causes.required(f"{path}.name")
    validate_port_number(port.port, causes, f"{path}.port")
    one_of(causes, f"{path}.protocol", port.protocol, PROTOCOLS)
    if isinstance(port.target_port, str):
        check(is_port_name, port.target_port, causes, f"{path}.targetPort")
    else:
        validate_port_number(port.target_port or 0, causes, f"{path}.targetPort")
    if port.app_protocol is not None:
        check(is_qualified_name, port.app_protocol, causes, f"{path}.appProtocol")


def _validate_node_port(port: ServicePort, type_: str, causes: Causes, path: str) -> None:
    if type_ == "ClusterIP":
        causes.forbidden(path, "may not be used when `type` is 'ClusterIP'")
    elif port.node_port not in NODE_PORTS:
        causes.invalid(
            path,
            port.node_port,
            f"provided port is not in the valid range. The range of valid ports is {NODE_PORTS[0]}-{NODE_PORTS[-1]}",
        )


def _validate_affinity(spec: ServiceSpec, causes: Causes, path: str) -> None:
    one_of(causes, f"{path}.sessionAffinity", spec.session_affinity, ("ClientIP", "None"))
    config = spec.session_affinity_config
    client_ip = config.client_ip if config is not None else None
    seconds = client_ip.timeout_seconds if client_ip is not None else None
    if seconds is not None and not 0 < seconds <= AFFINITY_SECONDS_MAX:
        at = f"{path}.sessionAffinityConfig.clientIP.timeoutSeconds"
        causes.invalid(at, seconds, f"must be greater than 0 and less than {AFFINITY_SECONDS_MAX}")


# --- addresses ------------------------------------------------------------------------------------------


def _validate_addresses(spec: ServiceSpec, causes: Causes, path: str) -> None:
    at = f"{path}.clusterIPs"
    if spec.cluster_ip:
        if spec.cluster_ips[:1] != [spec.cluster_ip]:
            causes.invalid(at, spec.cluster_ips, "first value must match `clusterIP`")
    elif spec.cluster_ips:
        causes.invalid(at, spec.cluster_ips, "must be empty when `clusterIP` is not specified")
    one_of_or_absent(causes, f"{path}.ipFamilyPolicy", spec.ip_family_policy, POLICIES)
    _validate_families(spec, causes, path)
    if len(spec.cluster_ips) > 1 and spec.cluster_ips[0] == "None":
        causes.invalid(at, spec.cluster_ips, "'None' must be the first and only value")
        return
    if len(spec.cluster_ips) > 2:
        causes.invalid(at, spec.cluster_ips, "may only hold up to 2 values")
    if spec.cluster_ips != ["None"]:
        _validate_cluster_ips(spec, causes, at)


def _validate_families(spec: ServiceSpec, causes: Causes, path: str) -> None:
    nobody_selects = spec.cluster_ips == ["None"] and not spec.selector
    for index, family in enumerate(spec.ip_families):
        at = f"{path}.ipFamilies[{index}]"
        if family not in FAMILIES:
            causes.not_supported(at, family, FAMILIES)
        elif family in spec.ip_families[:index]:
            causes.duplicate(at, family)
        elif family != "IPv4" and not nobody_selects:
            causes.invalid(at, family, "not configured on this cluster")
    if nobody_selects:
        return
    at = f"{path}.ipFamilyPolicy"
    if spec.ip_family_policy == "RequireDualStack":
        causes.invalid(at, spec.ip_family_policy, "this cluster is not configured for dual-stack services")
    elif spec.ip_family_policy == "SingleStack":
        for name, values in (("ipFamilies", spec.ip_families), ("clusterIPs", spec.cluster_ips)):
            if len(values) == 2:
                rule = f"must be RequireDualStack or PreferDualStack when multiple '{name}' are specified"
                causes.invalid(at, spec.ip_family_policy, rule)


def _validate_cluster_ips(spec: ServiceSpec, causes: Causes, path: str) -> None:
    found = len(causes.found)
    for index, address in enumerate(spec.cluster_ips):
        check(is_ip, address, causes, f"{path}[{index}]")
    if len(causes.found) > found:
        return
    families = [f"IPv{ipaddress.ip_address(address).version}" for address in spec.cluster_ips]
    if len(set(families)) < len(families):
        causes.invalid(path, spec.cluster_ips, "may specify no more than one IP for each IP family")
        return
    for index, (found_family, family) in enumerate(zip(families, spec.ip_families, strict=False)):
        if found_family != family and family in FAMILIES:
            rule = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            causes.invalid(f"{path}[{index}]", spec.cluster_ips[index], rule)


# --- traffic --------------------------------------------------------------------------------------------


def _validate_load_balancer(spec: ServiceSpec, causes: Causes, path: str) -> None:
    only = "may only be used when `type` is 'LoadBalancer'"
    balanced = spec.type == "LoadBalancer"
    if spec.load_balancer_source_ranges and not balanced:
        causes.forbidden(f"{path}.loadBalancerSourceRanges", only)
    for index, network in enumerate(spec.load_balancer_source_ranges):
        check(is_cidr, network.strip(), causes, f"{path}.loadBalancerSourceRanges[{index}]")
    if spec.allocate_load_balancer_node_ports is not None and not balanced:
        causes.forbidden(f"{path}.allocateLoadBalancerNodePorts", only)
    if spec.load_balancer_class is not None:
        if balanced:
            check(is_qualified_name, spec.load_balancer_class, causes, f"{path}.loadBalancerClass")
        else:
            causes.forbidden(f"{path}.loadBalancerClass", only)


def _validate_traffic(spec: ServiceSpec, causes: Causes, path: str) -> None:
    outside = spec.type in ("NodePort", "LoadBalancer") or (spec.type == "ClusterIP" and bool(spec.external_ips))
    external = spec.external_traffic_policy
    if outside:
        one_of(causes, f"{path}.externalTrafficPolicy", external, ("Cluster", "Local"))
    elif external:
        rule = "may only be set for externally-accessible services"
        causes.invalid(f"{path}.externalTrafficPolicy", external, rule)
    port = spec.health_check_node_port
    if port and not (spec.type == "LoadBalancer" and external == "Local"):
        rule = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        causes.invalid(f"{path}.healthCheckNodePort", port, rule)
    elif port:
        validate_port_number(port, causes, f"{path}.healthCheckNodePort")
    one_of_or_absent(causes, f"{path}.internalTrafficPolicy", spec.internal_traffic_policy, ("Cluster", "Local"))
    one_of_or_absent(causes, f"{path}.trafficDistribution", spec.traffic_distribution, ("PreferClose",))
