"""How keys reach another machine: what a joining replica or agent is given, and how it is sealed on the way.

Three exchanges, each one request and one answer in JSON on the API port, pure functions of bytes here:

    POST /kmini/v1/join       a server token     → the shared keys and the member list       (`hand_out`)
    POST /kmini/v1/node       an agent token     → a client certificate for one node         (`admit_node`)
    POST /kmini/v1/keys/ring  a replica's certificate → the key ring, when it is newer       (`hand_out_ring`)

Keys travel sealed to a key that the asker made for this one request: X25519, HKDF-SHA256 over both public keys, then
AES-256-GCM. TLS, pinned by the CA's hash, is what proves who answers; the seal keeps keys out of whatever sees the
plain HTTP body: a proxy, a trace, an access log. What must hold: shared keys go only to a caller with a server
token or a replica's certificate, and they are never part of an error, a log line, the log or a snapshot.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from apiserver.api.errors import BadRequest, Conflict, Forbidden, ServiceUnavailable
from apiserver.api.names import is_dns_label, is_dns_subdomain

from . import keyring, pki, signing
from .join_token import ROLE_GROUPS
from .keyring import KeyRing
from .pki import KeyPair
from .user import NODE_USER_PREFIX, User

PATH_CA = "/kmini/v1/ca"  # GET, open to all: the cluster CA in PEM, which a join token's hash pins
PATH_JOIN = "/kmini/v1/join"
PATH_NODE = "/kmini/v1/node"
FORMAT_VERSION = 1
REQUEST_BYTES_MAX = 64 * 1024
ANSWER_BYTES_MAX = 1024 * 1024
NONCE_BYTES = 12
PURPOSE_JOIN = b"join"
PURPOSE_RING = b"ring"
_INFO = b"kmini keys v1\0"

T = TypeVar("T")


class KeysRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`public_key`: the asker's X25519 key for this request. `generation` and `digest`: of the ring it has."""

    format: int
    name: str
    public_key: bytes
    generation: int = 0
    digest: str = ""


class KeysAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Sealed to the request's key; without a public key there is nothing newer to give."""

    format: int = FORMAT_VERSION
    public_key: bytes = b""
    nonce: bytes = b""
    sealed: bytes = b""


class SharedKeys(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a joining replica needs: files of DIR/pki by name, and name → host:port of each member's peer port."""

    files: dict[str, bytes]
    members: dict[str, str]

    def __repr__(self) -> str:
        return f"SharedKeys(members={self.members!r})"


class NodeRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`request`: PKCS #10 in PEM for `system:node:<nodeName>` in group `system:nodes`."""

    format: int
    node_name: str
    request: str


class NodeAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """PEM both."""

    format: int = FORMAT_VERSION
    certificate: str
    ca: str


# --- the side that asks -------------------------------------------------------------------------------------


class Asking:
    """One request and the private key its answer is sealed to. Good for one answer."""

    def __init__(self, name: str, *, purpose: bytes, ring: KeyRing | None = None) -> None:
        """`name` of the replica that asks. `ring`: the one it has, when it asks for a newer one."""
        self._key = X25519PrivateKey.generate()
        self._purpose = purpose
        self.body = msgspec.json.encode(
            KeysRequest(
                format=FORMAT_VERSION,
                name=name,
                public_key=self._key.public_key().public_bytes_raw(),
                generation=ring.generation if ring else 0,
                digest=ring.digest if ring else "",
            )
        )

    def open(self, answer: bytes) -> bytes | None:
        """What was sealed for us; None when there is nothing newer. Raises ValueError, which shows no secret."""
        found = _decode(answer, KeysAnswer, limit=ANSWER_BYTES_MAX)
        if not found.public_key:
            return None
        own = self._key.public_key().public_bytes_raw()
        try:
            secret = self._key.exchange(X25519PublicKey.from_public_bytes(found.public_key))
            return _cipher(secret, own, found.public_key, self._purpose).decrypt(
                found.nonce, found.sealed, self._purpose
            )
        except (InvalidTag, ValueError):
            raise ValueError("the answer was not sealed to the key of this request") from None


def receive(asking: Asking, answer: bytes) -> SharedKeys:
    """The answer to `join`. Raises ValueError."""
    plain = asking.open(answer)
    if plain is None:
        raise ValueError("the answer holds no keys")
    shared = _decode(plain, SharedKeys, limit=ANSWER_BYTES_MAX)
    missing = set(pki.SHARED_FILES) - set(shared.files)
    if missing:
        raise ValueError(f"the answer lacks {sorted(missing)[0]}")
    return shared


def receive_ring(asking: Asking, answer: bytes) -> KeyRing | None:
    """The answer to `keys/ring`: a newer ring or None. Raises ValueError."""
    plain = asking.open(answer)
    return None if plain is None else keyring.decode(plain)


def accept(shared: SharedKeys, folder: Path, ca_hash: str) -> None:
    """Write the keys into DIR/pki, keys first. Raises ValueError for another CA than the pinned one, PkiError, OSError.

    A folder that holds other authorities is another cluster's and is left as it is.
    """
    if pki.certificate_hash(shared.files["ca.crt"]) != ca_hash:
        raise ValueError("the keys are not of the cluster whose CA the token names")
    for name in ("ca.crt", "peer-ca.crt"):
        if (folder / name).exists() and (folder / name).read_bytes() != shared.files[name]:
            raise ValueError(f"{folder / name} is another cluster's: use an empty data directory")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in sorted(pki.SHARED_FILES, key=lambda name: name.endswith(".crt")):
        pki.write_file(folder / name, shared.files[name], secret=not name.endswith(".crt"))
    pki.check_shared(folder)


# --- the side that answers ------------------------------------------------------------------------------------


def hand_out(request: bytes, caller: User, folder: Path, members: Mapping[str, str]) -> bytes:
    """Answer `join`: the shared keys of `folder` (DIR/pki), sealed. Blocking.

    Raises Forbidden for a caller without a server token, BadRequest, ServiceUnavailable, PkiError, OSError.
    """
    check_role(caller, "server")
    asked = _keys_request(request)
    if not all(members.values()):
        raise ServiceUnavailable("this cluster cannot be joined: its only replica has no peer port")
    pki.check_shared(folder)
    files = {name: (folder / name).read_bytes() for name in pki.SHARED_FILES}
    return _seal(asked, msgspec.json.encode(SharedKeys(files=files, members=dict(members))), PURPOSE_JOIN)


def hand_out_ring(request: bytes, caller: User, ring: KeyRing) -> bytes:
    """Answer `keys/ring`: the ring, sealed, if it is newer than the asker's. Raises Forbidden, BadRequest."""
    if pki.SERVER_GROUP not in caller.groups:
        raise Forbidden(f'"{caller.name}" may not have the key ring: that takes the certificate of a replica')
    asked = _keys_request(request)
    if (asked.generation, asked.digest) >= ring.order:
        return msgspec.json.encode(KeysAnswer())
    return _seal(asked, ring.encode(), PURPOSE_RING)


def admit_node(request: bytes, caller: User, authority: KeyPair, *, node_exists: bool) -> bytes:
    """Answer `node`: sign the agent's client certificate.

    `node_exists`: there is a Node object of that name already. Then the name is taken: its agent renews by itself, and
    a token must not be enough to become another machine. Raises Forbidden, BadRequest, Conflict.
    """
    check_role(caller, "agent")
    asked = _node_request(request)
    try:
        wanted = signing.parse_request(asked.request.encode())
        if wanted.common_name != NODE_USER_PREFIX + asked.node_name:
            raise ValueError(f"the subject's common name must be {NODE_USER_PREFIX}{asked.node_name}")
        if node_exists:
            raise Conflict(
                f"node {asked.node_name} exists: an agent with that name holds its certificate; "
                "delete the Node to let another machine have the name"
            )
        usages = ("digital signature", "client auth")
        certificate = signing.sign_request(wanted, authority, signer=signing.KUBELET_CLIENT, usages=usages)
    except ValueError as error:
        raise BadRequest(f"request: {error}") from None
    return msgspec.json.encode(NodeAnswer(certificate=certificate, ca=authority.certificate_pem.decode()))


def check_role(caller: User, role: str) -> None:
    """Whether the caller holds a token of this role. Raises Forbidden."""
    if ROLE_GROUPS[role] not in caller.groups:
        given = "get the shared keys" if role == "server" else "join as a node"
        raise Forbidden(f'"{caller.name}" may not {given}: that takes a token of role {role}')


def node_name_of(request: bytes) -> str:
    """The node a `node` request is for. Raises BadRequest."""
    return _node_request(request).node_name


def _node_request(body: bytes) -> NodeRequest:
    asked = _request(body, NodeRequest)
    problems = is_dns_subdomain(asked.node_name)
    if problems:
        raise BadRequest(f"nodeName: {problems[0]}")
    return asked


def _keys_request(body: bytes) -> KeysRequest:
    asked = _request(body, KeysRequest)
    problems = is_dns_label(asked.name)
    if problems:
        raise BadRequest(f"name: {problems[0]}")
    if len(asked.public_key) != 32:
        raise BadRequest("publicKey: must be 32 bytes of X25519 in base64")
    return asked


def _request(body: bytes, kind: type[T]) -> T:
    try:
        return _decode(body, kind, limit=REQUEST_BYTES_MAX)
    except ValueError as error:
        raise BadRequest(f"the body of the request: {error}") from None


def _seal(asked: KeysRequest, plain: bytes, purpose: bytes) -> bytes:
    key, nonce = X25519PrivateKey.generate(), os.urandom(NONCE_BYTES)
    own = key.public_key().public_bytes_raw()
    try:
        secret = key.exchange(X25519PublicKey.from_public_bytes(asked.public_key))
    except ValueError:
        raise BadRequest("publicKey: not a key that can be sealed to") from None
    sealed = _cipher(secret, asked.public_key, own, purpose).encrypt(nonce, plain, purpose)
    return msgspec.json.encode(KeysAnswer(public_key=own, nonce=nonce, sealed=sealed))


def _cipher(secret: bytes, asker: bytes, answerer: bytes, purpose: bytes) -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), 32, salt=asker + answerer, info=_INFO + purpose).derive(secret))


def _decode(body: bytes, kind: type[T], *, limit: int) -> T:
    """Raises ValueError."""
    if len(body) > limit:
        raise ValueError(f"longer than {limit} bytes")
    try:
        found = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    version = getattr(found, "format", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise ValueError(f"format {version}, this version knows {FORMAT_VERSION}")
    return found
