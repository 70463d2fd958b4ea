"""What happens to real server processes while a load runs: the leader, a follower or all killed, the leader stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kmini.client import EtcdClient
from kmini.errors import CommandError
from kmini_process import Server, cluster_of, eventually, running

PROGRESS_TIMEOUT_S = 90.0
STOPPED_S = 2.0  # longer than an election


def leader_of(servers: Sequence[Server]) -> Server:
    """The one that says of itself that it leads."""

    def found() -> Server | None:
        for server in servers:
            with EtcdClient(server.etcd_address, server.pki, timeout_s=2.0) as etcd:
                try:
                    status = etcd.status()
                except CommandError:
                    continue
                if status.leader and status.leader == status.header.member_id:
                    return server
        return None

    leader: Server = eventually(found, what="a leader")
    return leader


@contextmanager
def voters(folder: Path, *, controllers: str = "none") -> Iterator[list[Server]]:
    """Three servers that are ready and all have a vote: one that came late to the founding begins as a learner."""
    servers = cluster_of(folder, "n1", "n2", "n3", controllers=controllers)

    def everybody() -> bool:
        with EtcdClient(servers[0].etcd_address, servers[0].pki, timeout_s=2.0) as etcd:
            try:
                members = etcd.members().members
            except CommandError:
                return False
            return len(members) == len(servers) and not any(member.isLearner for member in members)

    with running(*servers):
        eventually(everybody, what="a vote for each")
        yield servers


def progress(done: Callable[[], int], more: int, what: str) -> None:
    """Return once `done` has grown by so much."""
    before = done()
    eventually(lambda: done() > before + more, PROGRESS_TIMEOUT_S, what)


def lasting(seconds: float) -> None:
    """A fault that lasts: long enough for requests to run into it, and for others to take over."""
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > until, seconds * 2, "the end of the fault")


def kill_leader(servers: Sequence[Server], done: Callable[[], int]) -> None:
    _kill(leader_of(servers), done)


def kill_follower(servers: Sequence[Server], done: Callable[[], int]) -> None:
    leader = leader_of(servers)
    _kill(next(server for server in servers if server is not leader), done)


def _kill(server: Server, done: Callable[[], int]) -> None:
    server.kill()
    progress(done, 30, "progress without it")
    server.start()
    server.wait_ready()


def stop_leader(servers: Sequence[Server], done: Callable[[], int]) -> None:
    """It stands still while another is elected, and wakes up believing that it leads."""
    leader = leader_of(servers)
    leader.send(signal.SIGSTOP)
    try:
        lasting(STOPPED_S)
        progress(done, 30, "progress without it")
    finally:
        leader.send(signal.SIGCONT)


def kill_all(servers: Sequence[Server], done: Callable[[], int]) -> None:
    """What was acknowledged is on disks, or it was not acknowledged."""
    for server in servers:
        server.kill()
    for server in servers:
        server.start()
    for server in servers:
        server.wait_ready()


#: The first three are what a short run has.
FAULTS = (kill_leader, stop_leader, kill_all, kill_follower)
