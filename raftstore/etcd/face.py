"""What all services of the etcd face share: the store, the rule, and response headers."""

from __future__ import annotations

from .backend import Backend
from .gen import rpc_pb2 as pb
from .identity import Gate
from .wire import Headers

#: The etcd release whose interface this is; clients choose features by it.
ETCD_VERSION = "3.5.13"


class Face:
    def __init__(self, backend: Backend, gate: Gate) -> None:
        self.backend = backend
        self.gate = gate
        self._headers = Headers(backend.cluster_id, backend.member_id)

    def header(self, revision: int) -> bytes:
        """A response's header field, encoded, for answers that `wire` writes."""
        return self._headers.field(revision, self.backend.term)

    def header_message(self, revision: int | None = None) -> pb.ResponseHeader:
        """A header for generated responses; the store's revision where the answer has none of its own."""
        return pb.ResponseHeader(
            cluster_id=self.backend.cluster_id,
            member_id=self.backend.member_id,
            revision=self.backend.revision if revision is None else revision,
            raft_term=self.backend.term,
        )
