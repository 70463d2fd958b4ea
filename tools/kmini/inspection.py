"""What can be learned of a replica and its cluster from outside: for `kmini status` and `kmini doctor`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .client import EtcdClient
from .errors import CommandError
from .layout import Layout, Running

MEMBER_TIMEOUT_S = 3.0


class MemberFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One member: what the list says of it, and what it says itself when it can be asked."""

    id: str
    name: str
    peer_address: str
    client_address: str
    learner: bool
    leader: bool = False
    reachable: bool = False
    raft_index: int = 0
    applied_index: int = 0
    revision: int = 0
    version: str = ""
    size_bytes: int = 0
    problem: str = ""


class ClusterFacts(msgspec.Struct, frozen=True, kw_only=True):
    cluster_id: str
    member_id: str
    leader: str  # "" when none is known
    term: int
    revision: int
    size_bytes: int
    used_bytes: int
    problems: Sequence[str]
    members: Sequence[MemberFacts]

    @property
    def healthy(self) -> bool:
        return bool(self.leader) and not self.problems and all(member.reachable for member in self.members)

    @property
    def quorum(self) -> int:
        return sum(not member.learner for member in self.members) // 2 + 1

    @property
    def voters_reachable(self) -> int:
        return sum(member.reachable and not member.learner for member in self.members)


def look(layout: Layout, running: Running) -> ClusterFacts:
    """Ask the replica that runs here, and every member it lists. Raises CommandError when it does not answer."""
    if not running.etcd_port:
        raise CommandError(f"{running.name} runs with its etcd face off (--etcd-port 0): it cannot be asked")
    with EtcdClient(running.etcd_address, layout.pki) as client:
        status, members = client.status(), client.members()
    found = [_look_at(layout, member, status.header.member_id, running) for member in members.members]
    return ClusterFacts(
        cluster_id=f"{status.header.cluster_id:016x}",
        member_id=f"{status.header.member_id:016x}",
        leader=f"{status.leader:016x}" if status.leader else "",
        term=status.raftTerm,
        revision=status.header.revision,
        size_bytes=status.dbSize,
        used_bytes=status.dbSizeInUse,
        problems=[problem.strip() for problem in status.errors],
        members=sorted(found, key=lambda member: member.name),
    )


def _look_at(layout: Layout, member: object, own_id: int, running: Running) -> MemberFacts:
    from raftstore.etcd.gen import rpc_pb2 as pb

    assert isinstance(member, pb.Member)
    urls = [url.removeprefix("https://") for url in member.clientURLs]
    address = running.etcd_address if own_id == member.ID else next(iter(urls), "")
    known = MemberFacts(
        id=f"{member.ID:016x}",
        name=member.name,
        peer_address=next((url.removeprefix("https://") for url in member.peerURLs), ""),
        client_address=address,
        learner=member.isLearner,
    )
    if not address:
        return msgspec.structs.replace(known, problem="its client address is not known")
    try:
        with EtcdClient(address, layout.pki, timeout_s=MEMBER_TIMEOUT_S) as client:
            status = client.status()
    except CommandError as error:
        return msgspec.structs.replace(known, problem=str(error))
    return msgspec.structs.replace(
        known,
        reachable=True,
        leader=status.leader == member.ID,
        raft_index=status.raftIndex,
        applied_index=status.raftAppliedIndex,
        revision=status.header.revision,
        version=status.version,
        size_bytes=status.dbSize,
        problem="; ".join(problem.strip() for problem in status.errors),
    )
