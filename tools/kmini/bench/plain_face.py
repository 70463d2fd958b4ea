"""Our etcd face without TLS and without rights, on loopback, for the benchmark only.

h2load has no client certificates, and the product's face serves nobody without one. So both sides are
measured over plain HTTP/2: etcd by its own flag, ours by this. Everything behind the handshake and the rule is
the product's code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import grpc

from raftstore.etcd import server
from raftstore.etcd.backend import Backend
from raftstore.etcd.identity import Gate, Identity, KeyRange

_ANYBODY = Identity(name="benchmark", groups=frozenset())


def _allowed(identity: Identity, rpc: str, keys: KeyRange | None) -> bool:
    return True


class _OpenGate(Gate):
    def identify(self, auth_context: Mapping[str, Iterable[bytes]]) -> Identity:
        return _ANYBODY


class _NoTls(server.TlsFiles, frozen=True):
    def credentials(self) -> grpc.ServerCredentials:
        return grpc.local_server_credentials(grpc.LocalConnectionType.LOCAL_TCP)


class PlainEtcdServer(server.EtcdServer):
    """Listens on 127.0.0.1 without TLS and lets everybody do everything."""

    def __init__(self, backend: Backend, port: int) -> None:
        nowhere = Path()
        tls = _NoTls(certificate=nowhere, key=nowhere, client_ca=nowhere)
        super().__init__(backend, authorize=_allowed, tls=tls, address=f"127.0.0.1:{port}")
        self._face.gate = _OpenGate(_allowed)
