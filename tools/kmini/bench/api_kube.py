"""The other peer, where the machine has it: one real kube-apiserver before the three members of etcd.

It is asked the same as we are, by the same loads. It gets our certificates and its own defaults for everything else;
no controllers run beside either side.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from .api_access import Access, hands
from .process import Daemon, Memory, free_ports, memory
from .side import WorkNotDone

PROGRAM = "kube-apiserver"
_READY_TIMEOUT_S = 90.0
_POLL_S = 0.02
_STOP_S = 20.0


def found() -> Path | None:
    """The kube-apiserver on PATH, if there is one; nothing installs it."""
    path = shutil.which(PROGRAM)
    return Path(path) if path else None


def _write_public(key: Path, public: Path) -> None:
    """The public half of a private key, which is what kube-apiserver verifies with."""
    half = serialization.load_pem_private_key(key.read_bytes(), password=None).public_key()
    public.write_bytes(half.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def version(program: Path) -> str:
    """As it says it, or "unknown" for a build that does not know."""
    output = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout
    return output.strip().rpartition(" ")[2]


class KubeApi:
    """`pki` is one of our servers' folders: ca.crt, admin.crt, server.crt, sa.key and the keys that go with them."""

    def __init__(self, program: Path, pki: Path, etcd_ports: Sequence[int]) -> None:
        self._program = program
        self._pki = pki
        self._etcd = ",".join(f"http://127.0.0.1:{port}" for port in etcd_ports)
        self._port = 0
        self._daemon: Daemon | None = None

    @property
    def base(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def authority(self) -> Path:
        return self._pki / "ca.crt"

    @property
    def admin_certificate(self) -> tuple[Path, Path]:
        return self._pki / "admin.crt", self._pki / "admin.key"

    def access(self, token: str) -> Access:
        return Access(base=self.base, authority=self.authority, token=token)

    async def start(self, folder: Path) -> float:
        """Seconds until it was ready."""
        pki = self._pki
        self._port = free_ports(1)[0]
        public = folder / "sa.pub"
        await asyncio.to_thread(_write_public, pki / "sa.key", public)
        options = {
            "etcd-servers": self._etcd,
            "bind-address": "127.0.0.1",
            "secure-port": str(self._port),
            "cert-dir": str(folder),
            "tls-cert-file": str(pki / "server.crt"),
            "tls-private-key-file": str(pki / "server.key"),
            "client-ca-file": str(pki / "ca.crt"),
            "authorization-mode": "Node,RBAC",
            "service-account-key-file": str(public),
            "service-account-signing-key-file": str(pki / "sa.key"),
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-cluster-ip-range": "10.96.0.0/16",
            "endpoint-reconciler-type": "none",  # it would refuse to announce an address of loopback
        }
        command = [str(self._program), *(f"--{name}={value}" for name, value in options.items())]
        begin = time.monotonic()
        self._daemon = Daemon(PROGRAM, command, folder / "kube-apiserver.log")
        while not await self._ready():
            self._daemon.check()
            if time.monotonic() > begin + _READY_TIMEOUT_S:
                raise TimeoutError(f"{PROGRAM} was not ready in {_READY_TIMEOUT_S:g} s")
            await asyncio.sleep(_POLL_S)
        return time.monotonic() - begin

    async def _ready(self) -> bool:
        try:
            async with hands(self.base, self.authority, certificate=self.admin_certificate) as admin:
                await admin.send("GET", "/readyz")
        except (OSError, WorkNotDone):
            return False
        return True

    def memory(self) -> Memory:
        assert self._daemon is not None, "it was started"
        return memory(self._daemon.pid)

    async def stop(self) -> None:
        """May be called twice, and before it was started."""
        if self._daemon is not None:
            await self._daemon.stop(_STOP_S)
