"""coordination.k8s.io/v1: Lease, which says who holds an office and since when."""

from __future__ import annotations

import msgspec

from .base import Int32, MicroTime, Object
from .meta import TopObject


class LeaseSpec(Object):
    """Who holds the lease, and for how long.

    holder_identity: Who holds it.
    lease_duration_seconds: Seconds after renewTime for which others must leave it alone.
    acquire_time: When the holder got it.
    renew_time: When the holder renewed it last.
    lease_transitions: How often it changed hands.
    strategy: How the next holder is chosen, when holders are elected together.
    preferred_holder: Who should get it next.
    """

    holder_identity: str | None = None
    lease_duration_seconds: Int32 | None = None
    acquire_time: MicroTime | None = None
    renew_time: MicroTime | None = None
    lease_transitions: Int32 | None = None
    strategy: str | None = None
    preferred_holder: str | None = None


class Lease(TopObject):
    """Says who holds an office and since when: leader election, and the heartbeat of nodes.

    spec: Who holds the lease, and for how long.
    """

    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)
