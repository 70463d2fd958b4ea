"""The thresholds of controllers and scheduler, with Kubernetes' defaults where it has them. Seconds end in `_s`."""

from __future__ import annotations

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One for the life of the process."""

    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    # node lifecycle
    node_grace_s: float = 40.0  # without a lease renewed: the node is taken for lost
    node_startup_grace_s: float = 60.0  # the same for a node that never said how it is
    node_monitor_period_s: float = 5.0
    node_eviction_rate: float = 0.1  # nodes of a zone that pods are driven from, a second
    secondary_node_eviction_rate: float = 0.01  # the same once most of a large zone is lost
    large_zone_nodes: int = 50  # a zone with more is large; one without loses no more once most of it is lost
    unhealthy_zone_threshold: float = 0.55  # share of lost nodes that is most of a zone
    node_cidr_mask_size: int = 24
    node_cidr_mask_size_ipv6: int = 64
    pod_gc_period_s: float = 20.0
    pod_gc_quarantine_s: float = 40.0  # a node must have been gone for so long before its pods go
    # what is kept for a while
    event_ttl_s: float = 3600.0
    terminated_pods_max: int = 12_500
    # scheduler
    scheduler_name: str = "default-scheduler"  # pods that name another one are left to it
    scheduler_percentage: int = 0  # of the nodes that will do, how many are enough; 0: by the size of the cluster
    scheduler_weights: dict[str, int] = {}
    volume_bind_timeout_s: float = 600.0  # a pod waits so long for its volumes before it looks for another node
