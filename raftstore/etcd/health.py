"""grpc.health.v1.Health: whether this replica serves, for load balancers and probes.

It knows the state of the replica, never of a key, so the rule on keys is not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc

from .face import Face
from .gen import health_pb2 as pb
from .identity import Identity
from .status import Refused, Status

SERVICES = frozenset({"", *(f"etcdserverpb.{name}" for name in ("KV", "Watch", "Lease", "Cluster", "Maintenance"))})
WATCH_INTERVAL_S = 1.0

_SERVING = pb.HealthCheckResponse.SERVING
_NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING


class HealthService:
    def __init__(self, face: Face) -> None:
        self._face = face
        self.stopping = False

    def _state(self) -> pb.HealthCheckResponse.ServingStatus:
        serves = bool(self._face.backend.leader) and not self.stopping
        return _SERVING if serves else _NOT_SERVING

    async def check(self, identity: Identity, message: pb.HealthCheckRequest) -> pb.HealthCheckResponse:
        """Raises Refused for a service that is not here."""
        if message.service not in SERVICES:
            raise Refused(Status(grpc.StatusCode.NOT_FOUND, "unknown service"))
        return pb.HealthCheckResponse(status=self._state())

    async def watch(self, identity: Identity, message: pb.HealthCheckRequest) -> AsyncIterator[pb.HealthCheckResponse]:
        """The state now and whenever it changes, until the client goes away."""
        last = None
        while True:
            state = self._state() if message.service in SERVICES else pb.HealthCheckResponse.SERVICE_UNKNOWN
            if state != last:
                yield pb.HealthCheckResponse(status=state)
                last = state
            await asyncio.sleep(WATCH_INTERVAL_S)
