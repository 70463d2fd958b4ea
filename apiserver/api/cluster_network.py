"""What all nodes must know alike of the cluster's network: ConfigMap `kube-system/kmini-cluster`.

Servers write it once, when the cluster begins; nodes read it. So no flag of a node has to repeat a server's.
"""

from __future__ import annotations

import ipaddress

import msgspec

from .core.config import ConfigMap
from .meta import ObjectMeta

NAMESPACE, NAME = "kube-system", "kmini-cluster"
#: Whose cluster address is the DNS of pods.
DNS_SERVICE = "kube-dns"
_DNS_PLACE = 10  # in the network of Services, as everywhere
_FIELDS = {
    "dns_ip": "clusterDNS",
    "domain": "clusterDomain",
    "cluster_cidr": "clusterCIDR",
    "service_cidr": "serviceCIDR",
}


class ClusterNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """`dns_ip`: what pods ask for names; `domain`: such as cluster.local; `cluster_cidr`: where all pods are;
    `service_cidr`: where the addresses of Services are."""

    dns_ip: str
    domain: str
    cluster_cidr: str
    service_cidr: str


def dns_address(service_cidr: str) -> str:
    """The address meant for the DNS. Raises ValueError for what is no network."""
    network = ipaddress.ip_network(service_cidr)
    return str(network[min(_DNS_PLACE, max(network.num_addresses - 2, 0))])


def to_config_map(network: ClusterNetwork) -> ConfigMap:
    return ConfigMap(
        api_version="v1",
        kind="ConfigMap",
        metadata=ObjectMeta(name=NAME, namespace=NAMESPACE),
        data={key: getattr(network, field) for field, key in _FIELDS.items()},
    )


def from_config_map(found: ConfigMap) -> ClusterNetwork:
    """Raises ValueError that names what is missing or wrong."""
    missing = [key for key in _FIELDS.values() if not found.data.get(key)]
    if missing:
        raise ValueError(f"ConfigMap {NAMESPACE}/{NAME} says nothing of {', '.join(missing)}")
    network = ClusterNetwork(**{field: found.data[key] for field, key in _FIELDS.items()})
    try:
        ipaddress.ip_address(network.dns_ip)
        ipaddress.ip_network(network.cluster_cidr)
        ipaddress.ip_network(network.service_cidr)
    except ValueError as error:
        raise ValueError(f"ConfigMap {NAMESPACE}/{NAME}: {error}") from error
    return network
