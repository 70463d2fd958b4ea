"""The thresholds of controllers and scheduler, with Kubernetes' defaults where it has them. Seconds end in `_s`."""

from __future__ import annotations

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One for the life of the process."""

    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    # node lifecycle
    node_grace_s: float = 40.0  # without a lease renewed: the node is taken for lost
    # what is kept for a while
    event_ttl_s: float = 3600.0
    terminated_pods_max: int = 12_500
