"""What it takes to open a store: who this replica is, where its files lie, who its peers are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from .errors import InvalidRequest
from .identity import PeerIdentity
from .options import ReplicaOptions
from .raft.addresses import split_address
from .raft.credentials import Credentials
from .raft.journal import JournalOptions

#: Gives the peer certificate of an identity; may make one. Called off the event loop.
CredentialsFor = Callable[[PeerIdentity], Credentials]


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`peers` is the initial cluster, name → host:port of the peer port, this replica included.

    Without `peers` and `address` the store is one replica that opens no port. With `address` alone it is one
    replica that others may be added to. Everything with a peer port needs `credentials_for`.
    """

    name: str
    data_dir: Path  # journal and snapshots are kept below it
    state_dir: Path | None = None  # the state file; may lie on tmpfs (default: data_dir/state)
    peers: Mapping[str, str] = {}
    address: str = ""  # host:port at which peers reach this replica (default: from `peers`)
    bind: str = ""  # host:port to listen on for peers (default: `address`)
    client_address: str = ""  # host:port of the etcd face, told to the other members
    credentials_for: CredentialsFor | None = None
    options: ReplicaOptions = ReplicaOptions()
    journal: JournalOptions = JournalOptions()

    @property
    def raft_folder(self) -> Path:
        return Path(self.data_dir) / "raft"

    @property
    def state_folder(self) -> Path:
        return Path(self.state_dir) if self.state_dir is not None else Path(self.data_dir) / "state"

    @property
    def own_address(self) -> str:
        return self.address or self.peers.get(self.name, "")

    def bind_to(self) -> tuple[str, int]:
        return split_address(self.bind or self.own_address)

    def check(self) -> None:
        """Raises InvalidRequest for settings that contradict each other."""
        if not self.name:
            raise InvalidRequest("a replica needs a name")
        if self.peers and self.name not in self.peers:
            raise InvalidRequest(f"the initial cluster does not hold this replica's name {self.name!r}")
        if self.own_address and self.credentials_for is None:
            raise InvalidRequest("a peer port needs credentials_for: peers know each other by their certificates")
        try:
            if self.own_address:
                self.bind_to()
        except ValueError as error:
            raise InvalidRequest(f"peer address of {self.name!r}: {error}") from error
