"""How a link begins: what each side says of itself, and the checks it must pass.

Dialler: hello → acceptor: hello → the lower member id, which alone decides which of several connections is
the link: open. A hello is believed only as far as the certificate proves it; all else in it is bounded.
"""

from __future__ import annotations

from typing import NamedTuple

from ..identity import PeerIdentity
from .credentials import Refusal
from .engine import Message
from .frames import FORMAT_VERSION

KINDS_MAX = 1024
NAME_LENGTH_MAX = 256
_NUMBER_MAX = (1 << 63) - 1


class Hello(NamedTuple):
    identity: PeerIdentity
    name: str
    incarnation: int  # drawn anew at every start of the process
    generation: int  # counts the credentials it has used
    kinds: frozenset[str]  # command kinds it knows

    def message(self) -> Message:
        return {
            "type": "link.hello",
            "format": FORMAT_VERSION,
            "cluster": self.identity.cluster_id,
            "member": self.identity.member_id,
            "name": self.name,
            "incarnation": self.incarnation,
            "generation": self.generation,
            "kinds": sorted(self.kinds),
        }


def read_hello(message: Message, proven: PeerIdentity) -> Hello:
    """The hello of a peer whose certificate proves `proven`. Raises Refusal."""
    if message.get("format") != FORMAT_VERSION:
        raise Refusal(
            "unknown_format", f"peer speaks format {message.get('format')!r:.20}, this version {FORMAT_VERSION}"
        )
    if [message.get("cluster"), message.get("member")] != [*proven]:
        raise Refusal("bad_hello", f"hello names another replica than the certificate, {proven.uri}")
    name, kinds = message.get("name"), message.get("kinds")
    if type(name) is not str or len(name) > NAME_LENGTH_MAX:
        raise Refusal("bad_hello", "hello has no proper name")
    if type(kinds) is not list or len(kinds) > KINDS_MAX or any(type(kind) is not str for kind in kinds):
        raise Refusal("bad_hello", "hello has no proper kinds")
    return Hello(proven, name, number_in(message, "incarnation"), number_in(message, "generation"), frozenset(kinds))


def number_in(message: Message, field: str) -> int:
    """A non-negative number below 2**63. Raises Refusal."""
    value = message.get(field)
    if type(value) is not int or not 0 <= value <= _NUMBER_MAX:
        raise Refusal("bad_hello", f"{field} is no proper number")
    return value


def check_peer(proven: PeerIdentity, own: PeerIdentity, dialled: int) -> None:
    """Whether this certificate may hold a connection of ours at all. `dialled`: whom we called, 0 for a caller.

    A caller of cluster 0 passes: it may ask to found or to join. Raises Refusal.
    """
    if proven.cluster_id != own.cluster_id and (dialled or proven.cluster_id != 0):
        raise Refusal("wrong_cluster", f"{proven.uri} is not of cluster {own.cluster_id:016x}")
    if dialled and proven.member_id != dialled:
        raise Refusal("wrong_member", f"dialled member {dialled:016x}, {proven.uri} answered")
    if proven.member_id == own.member_id:
        raise Refusal("own_identity", f"{proven.uri} is this replica's own name")
