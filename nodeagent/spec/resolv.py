"""How a pod resolves names: the cluster's DNS or the node's, as its policy says, and what its spec adds.

Bounds are Kubernetes': what is beyond them is left out, and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from apiserver.api.cluster_network import ClusterNetwork
from apiserver.api.core.pod import Pod, PodDNSConfig
from nodeagent.runtime.interface import Dns

SERVERS_MAX = 3
SEARCHES_MAX = 32
SEARCH_CHARACTERS_MAX = 2048
CLUSTER_FIRST, CLUSTER_FIRST_WITH_HOST_NET, NONE = "ClusterFirst", "ClusterFirstWithHostNet", "None"
#: Names of the cluster have up to five dots, and are tried under its domains first.
_CLUSTER_OPTIONS = ("ndots:5",)


class Resolution(msgspec.Struct, frozen=True):
    """`left_out`: what people should know."""

    dns: Dns
    left_out: Sequence[str] = ()


def parse_resolv_conf(text: str) -> Dns:
    """As resolv.conf(5): the last `search` counts, options add up; what is not understood is passed over."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        match words[0]:
            case "nameserver":
                servers.append(words[1])
            case "search":
                searches = [each.rstrip(".") or "." for each in words[1:]]
            case "options":
                options += words[1:]
    return Dns(servers=servers, searches=searches, options=options)


def resolution_of(pod: Pod, network: ClusterNetwork, node: Dns) -> Resolution:
    """`node`: the node's own."""
    base = _of_policy(pod, network, node)
    more = pod.spec.dns_config or PodDNSConfig()
    servers, lost_servers = _bounded_servers(_once([*base.servers, *more.nameservers]))
    searches, lost_searches = _bounded_searches(_once([*base.searches, *more.searches]))
    options = _merged_options(base.options, more)
    left_out = []
    if lost_servers:
        words = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is:"
        left_out.append(f"{words} {' '.join(servers)}")
    if lost_searches:
        words = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is:"
        left_out.append(f"{words} {' '.join(searches)}")
    return Resolution(Dns(servers=servers, searches=searches, options=options), left_out)


def _of_policy(pod: Pod, network: ClusterNetwork, node: Dns) -> Dns:
    policy = pod.spec.dns_policy or CLUSTER_FIRST
    if policy == NONE:
        return Dns()
    of_cluster = policy == CLUSTER_FIRST_WITH_HOST_NET or (policy == CLUSTER_FIRST and not pod.spec.host_network)
    if not of_cluster:
        return node
    domain = network.domain
    searches = [f"{pod.metadata.namespace}.svc.{domain}", f"svc.{domain}", domain]
    return Dns(servers=[network.dns_ip], searches=[*searches, *node.searches], options=_CLUSTER_OPTIONS)


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _bounded_servers(servers: list[str]) -> tuple[list[str], bool]:
    return servers[:SERVERS_MAX], len(servers) > SERVERS_MAX


def _bounded_searches(searches: list[str]) -> tuple[list[str], bool]:
    kept, length = [], -1  # no space before the first
    for each in searches[:SEARCHES_MAX]:
        length += 1 + len(each)
        if length > SEARCH_CHARACTERS_MAX:
            break
        kept.append(each)
    return kept, len(kept) < len(searches)


def _merged_options(options: Iterable[str], more: PodDNSConfig) -> list[str]:
    """The pod's win, by name."""
    found = {each.partition(":")[0]: each for each in options}
    for option in more.options:
        if option.name:
            found[option.name] = f"{option.name}:{option.value}" if option.value else option.name
    return list(found.values())
