"""A pod's names and resolver."""

from __future__ import annotations

import re

from apiserver.api.core.pod import PodDNSConfig, PodSpec
from apiserver.api.fields import Causes
from apiserver.api.names import is_dns_label, is_dns_subdomain, is_ip
from apiserver.api.validation import check

from .texts import one_of

DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
NAMESERVERS_MAX = 3
SEARCHES_MAX = 32
SEARCH_CHARACTERS_MAX = 2_048
_UNDERSCORED = r"[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?"
_search_re = re.compile(rf"{_UNDERSCORED}(\.{_UNDERSCORED})*")


def _search_domain(text: str) -> list[str]:
    """A subdomain that may have underscores, as names of services do."""
    return [] if _search_re.fullmatch(text) and len(text) <= 253 else is_dns_subdomain(text)


def _dns_config(config: PodDNSConfig, causes: Causes, path: str) -> None:
    if len(config.nameservers) > NAMESERVERS_MAX:
        rule = f"must not have more than {NAMESERVERS_MAX} nameservers"
        causes.invalid(f"{path}.nameservers", config.nameservers, rule)
    for index, address in enumerate(config.nameservers):
        check(is_ip, address, causes, f"{path}.nameservers[{index}]")
    if len(config.searches) > SEARCHES_MAX:
        causes.invalid(f"{path}.searches", config.searches, f"must not have more than {SEARCHES_MAX} search paths")
    if len(" ".join(config.searches)) > SEARCH_CHARACTERS_MAX:
        rule = f"must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        causes.invalid(f"{path}.searches", config.searches, rule)
    for index, domain in enumerate(config.searches):
        if domain != ".":
            check(_search_domain, domain.removesuffix("."), causes, f"{path}.searches[{index}]")
    for index, option in enumerate(config.options):
        if not option.name:
            causes.required(f"{path}.options[{index}]", "must not be empty")


def _dns(spec: PodSpec, causes: Causes, path: str) -> None:
    one_of(causes, f"{path}.dnsPolicy", spec.dns_policy, DNS_POLICIES)
    if spec.dns_policy == "None":
        if spec.dns_config is None:
            causes.required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not spec.dns_config.nameservers:
            rule = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            causes.required(f"{path}.dnsConfig.nameservers", rule)
            return
    if spec.dns_config:
        _dns_config(spec.dns_config, causes, f"{path}.dnsConfig")


def _host_network_ports(spec: PodSpec, causes: Causes, path: str, *, is_pod: bool) -> None:
    """In the node's network a port cannot be another one there; a template may leave it out."""
    for index, container in enumerate(spec.containers):
        for number, port in enumerate(container.ports):
            if (is_pod or port.host_port) and port.host_port != port.container_port:
                here = f"{path}.containers[{index}].ports[{number}].hostPort"
                causes.invalid(here, port.host_port, "must match `containerPort` when `hostNetwork` is true")


def validate_network(spec: PodSpec, causes: Causes, path: str, *, is_pod: bool) -> None:
    if spec.host_network:
        _host_network_ports(spec, causes, path, is_pod=is_pod)
    _dns(spec, causes, path)
    for name, value in (("hostname", spec.hostname), ("subdomain", spec.subdomain)):
        if value:
            check(is_dns_label, value, causes, f"{path}.{name}")
    for index, alias in enumerate(spec.host_aliases):
        here = f"{path}.hostAliases[{index}]"
        check(is_ip, alias.ip, causes, f"{here}.ip")
        for number, hostname in enumerate(alias.hostnames):
            check(is_dns_subdomain, hostname, causes, f"{here}.hostnames[{number}]")
