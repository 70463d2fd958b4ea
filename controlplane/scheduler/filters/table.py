"""The table of filters, in Kubernetes' order: the first that speaks against a node is the one that is told."""

from __future__ import annotations

from . import (
    host_ports,
    node_affinity,
    node_name,
    pod_affinity,
    resources,
    taints,
    topology_spread,
    unschedulable,
    volumes,
)
from .filter import Filter

FILTERS: tuple[Filter, ...] = (
    Filter(name=unschedulable.NAME, check=unschedulable.check, by_pods=False),
    Filter(name=node_name.NAME, prepare=node_name.prepare),
    Filter(name=taints.NAME, check=taints.check, by_pods=False),
    Filter(name=node_affinity.NAME, check=node_affinity.check, concerns=node_affinity.concerns, by_pods=False),
    Filter(name=host_ports.NAME, check=host_ports.check, concerns=host_ports.concerns),
    Filter(name=resources.NAME, check=resources.check),
    Filter(name=volumes.NAME, prepare=volumes.prepare),
    Filter(name=topology_spread.NAME, prepare=topology_spread.prepare),
    Filter(name=pod_affinity.NAME, prepare=pod_affinity.prepare),
)
