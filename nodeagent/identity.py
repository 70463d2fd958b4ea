"""Who an agent is: a key that never leaves its folder, and the certificate that the cluster gave for it.

    DIR/agent/ca.crt        the cluster CA, whose hash the join token named
    DIR/agent/client.key    the key that is asked for a certificate next; it becomes part of client.pem
    DIR/agent/client.pem    certificate and key in one file, so that a renewal replaces both at once
    DIR/agent/serving.*     the same of the node's own port
    DIR/agent/servers.json  servers learned from the cluster

Keys are ECDSA P-256, files with a key have mode 0600. Files are written whole and synced before they take a name.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import sys
from pathlib import Path
from typing import Literal

import msgspec

from apiserver.client import Access, Material

from .errors import BadIdentity
from .network.programs import run_program

USER_PREFIX = "system:node:"
GROUP = "system:nodes"
KEYS_WITHIN_S = 60.0
_FILE_BYTES_MAX = 1 << 20


class Purpose(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate is for: `stem` of its files, who signs it, and whether it carries the node's name as a name
    to connect to. Signers and usages are Kubernetes'."""

    stem: str
    signer: str
    usages: tuple[str, ...]
    names_node: bool = False


CLIENT = Purpose(
    stem="client", signer="kubernetes.io/kube-apiserver-client-kubelet", usages=("digital signature", "client auth")
)
SERVING = Purpose(
    stem="serving", signer="kubernetes.io/kubelet-serving", usages=("digital signature", "server auth"), names_node=True
)


Wish = Literal["look", "request", "accept"]


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """Of a certificate; seconds since the epoch."""

    begin: float
    end: float

    @property
    def due_at(self) -> float:
        """When to renew: at two thirds of its life."""
        return self.begin + (self.end - self.begin) * 2 / 3

    def is_over(self, now: float) -> bool:
        return now >= self.end


class KeysQuestion(msgspec.Struct, frozen=True, kw_only=True):
    wish: Wish
    node_name: str
    names_node: bool
    pair_file: str
    key_file: str
    certificate: str = ""  # to be accepted, in PEM


class KeysAnswer(msgspec.Struct, frozen=True, kw_only=True):
    problem: str = ""
    request: str = ""
    validity: Validity | None = None


class Identity:
    """Of one node. Methods raise BadIdentity naming the file."""

    def __init__(self, folder: Path, node_name: str, purpose: Purpose = CLIENT) -> None:
        self.folder = folder
        self.node_name = node_name
        self.purpose = purpose
        self.authority_file = folder / "ca.crt"
        self.servers_file = folder / "servers.json"
        self.pair_file = folder / f"{purpose.stem}.pem"
        self._key_file = folder / f"{purpose.stem}.key"
        self._looked: tuple[int, Validity | None] | None = None  # with the time of the file

    @property
    def user(self) -> str:
        return user_of(self.node_name)

    def access(self, servers: tuple[str, ...]) -> Access:
        """Files, so that a renewal is taken up by itself."""
        pair = Material(file=self.pair_file)
        return Access(servers=servers, authority=Material(file=self.authority_file), certificate=pair, key=pair)

    async def validity(self) -> Validity | None:
        """Of the certificate there is, of this node and with a key that fits; None before the first."""
        try:
            seen = self.pair_file.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadIdentity(f"cannot read {self.pair_file}: {error.strerror}") from error
        if self._looked is None or self._looked[0] != seen:
            self._looked = (seen, (await self._ask("look")).validity)
        return self._looked[1]

    async def new_request(self) -> str:
        """A certificate request in PEM, for the key of the last request that had no answer, or a new one.

        The key is on disk before anybody hears of it: an answer that comes after a crash finds it.
        """
        return (await self._ask("request")).request

    async def accept(self, certificate_pem: bytes) -> None:
        """The answer to the request: from now on it is who we are."""
        await self._ask("accept", certificate_pem.decode("ascii", errors="replace"))

    async def _ask(self, wish: Wish, certificate: str = "") -> KeysAnswer:
        """By a process of its own (keys.py). Raises AgentError."""
        printed = await run_program(
            (sys.executable, "-P", "-m", "nodeagent.keys"),
            given=msgspec.json.encode(self.question(wish, certificate)),
            timeout_s=KEYS_WITHIN_S,
            answer_max=_FILE_BYTES_MAX,
        )
        answer = msgspec.json.decode(printed, type=KeysAnswer)
        if answer.problem:
            raise BadIdentity(answer.problem)
        return answer

    def question(self, wish: Wish, certificate: str = "") -> KeysQuestion:
        return KeysQuestion(
            wish=wish,
            node_name=self.node_name,
            names_node=self.purpose.names_node,
            pair_file=str(self.pair_file),
            key_file=str(self._key_file),
            certificate=certificate,
        )

    def authority_hash(self) -> str | None:
        """Of the CA that was pinned when this node joined; None before."""
        raw = read_file(self.authority_file)
        if raw is None:
            return None
        try:
            return certificate_hash(raw)
        except ValueError as error:
            raise BadIdentity(f"{self.authority_file} holds no certificate: {error}") from None


def user_of(node_name: str) -> str:
    return USER_PREFIX + node_name


def certificate_hash(pem: bytes) -> str:
    """Hex SHA-256 of the certificate in DER, as join tokens name a CA. Raises ValueError."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode("ascii").strip())).hexdigest()


def write_file(path: Path, data: bytes, *, secret: bool = False) -> None:
    """Whole or not at all, on disk before it has the name. Raises BadIdentity."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if secret else 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise BadIdentity(f"cannot write {path}: {error.strerror}") from error


def read_file(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadIdentity(f"cannot read {path}: {error.strerror}") from error
