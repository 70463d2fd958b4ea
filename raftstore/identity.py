"""Who a replica is: cluster, member id and name; and how a peer certificate says so.

`DIR/raft/identity` is the one place where a replica's own identity is kept. It is written once, after the
journal of that identity exists, and never changed: a replica that lost its disk gets a new member id, for
a wiped voter under its old id could vote twice. Peer certificates carry the same identity as a URI SAN,
`kmini://<cluster id>/member/<member id>`, both as 16 hex digits. Cluster 0 is a replica that belongs to
no cluster yet.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

import msgspec

from .disk import Disk, opened
from .errors import IntegrityError, UnknownFormat

FORMAT_VERSION = 1
FILE_NAME = "identity"
FILE_BYTES_MAX = 4096
ID_MAX = (1 << 63) - 1
NO_CLUSTER = 0

_URI = re.compile(r"kmini://([0-9a-f]{16})/member/([0-9a-f]{16})")


class PeerIdentity(NamedTuple):
    """What a peer certificate proves."""

    cluster_id: int  # NO_CLUSTER: not a member of any cluster yet
    member_id: int

    @property
    def uri(self) -> str:
        return f"kmini://{self.cluster_id:016x}/member/{self.member_id:016x}"

    @classmethod
    def parse(cls, uri: str) -> PeerIdentity:
        """Raises ValueError for anything but the exact form."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise ValueError(f"not a member's name: {uri!r:.100}")
        cluster_id, member_id = int(match[1], 16), int(match[2], 16)
        if cluster_id > ID_MAX or not 0 < member_id <= ID_MAX:
            raise ValueError(f"ids are numbers in [1, 2**63): {uri!r}")
        return cls(cluster_id, member_id)


class Identity(msgspec.Struct, frozen=True):
    """The identity of this replica, as its data directory keeps it."""

    cluster_id: int
    member_id: int
    name: str

    @property
    def peer(self) -> PeerIdentity:
        return PeerIdentity(self.cluster_id, self.member_id)


def read_identity(disk: Disk) -> Identity | None:
    """The identity kept in this folder; None when there is none.

    Raises UnknownFormat for another version's file and IntegrityError for one that does not parse.
    """
    if not disk.exists(FILE_NAME):
        return None
    with opened(disk, FILE_NAME) as file:
        raw = file.read_at(0, min(file.size(), FILE_BYTES_MAX))
    try:
        fields = json.loads(raw)
        version = fields["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(_bad_file("does not parse")) from error
    if version != FORMAT_VERSION:
        raise UnknownFormat(
            f"file {FILE_NAME} has format {version!r}, this version reads {FORMAT_VERSION}: upgrade this replica first"
        )
    try:
        identity = Identity(int(fields["cluster_id"], 16), int(fields["member_id"], 16), fields["name"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(_bad_file("lacks a field")) from error
    _check(identity)
    return identity


def write_identity(disk: Disk, identity: Identity) -> None:
    """Keep the identity, durably, mode 0600. Blocking; raises OSError, and IntegrityError when another is kept."""
    _check(identity)
    present = read_identity(disk)
    if present is not None and present != identity:
        raise IntegrityError(
            f"this folder belongs to member {present.peer.uri} ({present.name}), not {identity.peer.uri}"
        )
    fields = {
        "format": FORMAT_VERSION,
        "cluster_id": f"{identity.cluster_id:016x}",
        "member_id": f"{identity.member_id:016x}",
        "name": identity.name,
    }
    replace_file(disk, FILE_NAME, json.dumps(fields).encode() + b"\n")


def replace_file(disk: Disk, name: str, content: bytes) -> None:
    """Write a small file whole or not at all, and durably."""
    unfinished = name + ".new"
    with opened(disk, unfinished, create=True) as file:
        file.truncate(0)
        file.write_at(0, content)
        file.sync()
    disk.rename(unfinished, name)
    disk.sync_folder()


def _check(identity: Identity) -> None:
    ids = (identity.cluster_id, identity.member_id)
    if not all(0 < number <= ID_MAX for number in ids) or type(identity.name) is not str or not identity.name:
        raise IntegrityError(_bad_file("holds an id outside [1, 2**63) or no name"))


def _bad_file(what: str) -> str:
    return (
        f"file {FILE_NAME} {what}: restore the data directory from a backup, or remove it whole so that "
        "this replica joins again under a new member id"
    )
