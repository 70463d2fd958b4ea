"""Founding and joining over real sockets: who starts together founds, who comes later joins."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from peers import Authorities, Peer, eventually, run, running
from ports import free_ports

from raftstore.disk import RealDisk
from raftstore.errors import InvalidRequest, MemberExists
from raftstore.identity import Identity, PeerIdentity, read_identity
from raftstore.raft import bootstrap as room
from raftstore.raft import founding_file, joining
from raftstore.raft.bootstrap import BootstrapConfig, Bootstrapped, bootstrap, settle
from raftstore.raft.credentials import Credentials
from raftstore.raft.engine import Configuration, Member, Message
from raftstore.raft.founding import FoundingTiming

#: For a list of which all are started: a machine that stands still for seconds is no reason to found without one.
ALL_COME = FoundingTiming(wait_for_all_s=20.0)


class Site:
    """Replicas of one list, each with a folder of its own."""

    def __init__(
        self, authorities: Authorities, folder: Path, names: int = 3, *, timing: FoundingTiming | None = None
    ) -> None:
        self.authorities, self.folder, self.timing = authorities, folder, timing
        self.list = {f"n{n + 1}": f"127.0.0.1:{port}" for n, port in enumerate(free_ports(names))}
        self.errors: list[BaseException] = []

    def disk(self, name: str) -> RealDisk:
        return RealDisk(self.folder / name)

    def credentials(self, identity: PeerIdentity) -> Credentials:
        return self.authorities.member(identity.member_id, cluster=identity.cluster_id)

    async def start(self, name: str, cluster: dict[str, str] | None = None) -> Bootstrapped:
        cluster = self.list if cluster is None else cluster
        config = BootstrapConfig(
            name=name,
            address=self.list[name],
            bind=("127.0.0.1", int(self.list[name].rpartition(":")[2])),
            initial_cluster=cluster,
        )
        return await bootstrap(
            config,
            disk=self.disk(name),
            credentials_for=self.credentials,
            report=self.errors.append,
            timing=self.timing,
        )

    def member(self, started: Bootstrapped, answerer: Callable[[PeerIdentity, Message], Awaitable[Message]]) -> Peer:
        """The replica once it runs: its peer port with an answerer."""
        own = started.configuration.member(started.identity.member_id)
        assert own is not None
        host, port = own.address.split(":")
        return Peer(
            own.id,
            self.credentials(started.identity.peer),
            cluster=started.identity.cluster_id,
            bind=(host, int(port)),
            answerer=answerer,
        )


@pytest.fixture
def site(authorities: Authorities, tmp_path: Path) -> Callable[..., Site]:
    return functools.partial(Site, authorities, tmp_path)


def test_three_empty_replicas_found_one_cluster(site: Callable[..., Site]) -> None:
    async def body() -> None:
        place = site(timing=ALL_COME)
        started = await asyncio.gather(*(place.start(name) for name in place.list))
        (document,) = {one.configuration for one in started}
        assert {member.name: member.address for member in document.members} == place.list
        assert {member.id for member in document.members} == {one.identity.member_id for one in started}
        assert len(document.voters) == 3
        assert place.errors == []

    run(body())


def test_a_replica_alone_founds_at_once_and_settles(site: Callable[..., Site]) -> None:
    async def body() -> None:
        place = site(1)
        started = await place.start("n1", {})
        assert [member.name for member in started.configuration.members] == ["n1"]
        settle(place.disk("n1"), started.identity)
        assert read_identity(place.disk("n1")) == started.identity
        assert founding_file.load(place.disk("n1")) is None

    run(body())


def test_a_crash_before_settling_repeats_the_same_identity(site: Callable[..., Site]) -> None:
    async def body() -> None:
        place = site(1)
        first = await place.start("n1")
        assert await place.start("n1") == first

    run(body())


def test_two_of_three_found_and_the_third_joins_through_the_leader(site: Callable[..., Site]) -> None:
    async def body() -> None:
        place = site()
        first, second = await asyncio.gather(place.start("n1"), place.start("n2"))
        document = first.configuration
        assert second.configuration == document
        assert sorted(member.name for member in document.members) == ["n1", "n2"]
        asked: list[str] = []

        async def follower(asker: PeerIdentity, question: Message) -> Message:
            assert asker.cluster_id == 0
            if question["type"].startswith("found."):
                return joining.exists(document)
            asked.append("follower")
            return joining.redirect(place.list["n2"])

        async def leader(asker: PeerIdentity, question: Message) -> Message:
            if question["type"].startswith("found."):
                return joining.exists(document)
            asked.append("leader")
            newcomer = joining.sender_of(question, asker)
            if len(asked) < 3:
                return joining.wait("joining")
            grown = (*document.members, Member(newcomer.id, newcomer.name, newcomer.address, learner=True))
            return joining.accepted(Configuration(document.cluster_id, grown))

        async with running(place.member(first, follower), place.member(second, leader)):
            third = await place.start("n3")
        own = third.configuration.member(third.identity.member_id)
        assert own is not None
        assert (own.learner, own.name, own.address) == (True, "n3", place.list["n3"])
        assert third.identity.cluster_id == document.cluster_id
        assert asked[0] == "follower"

    run(body())


def test_a_replica_that_lost_its_disk_comes_back_under_a_new_member_id(site: Callable[..., Site]) -> None:
    async def body() -> None:
        place = site(timing=ALL_COME)
        started = await asyncio.gather(*(place.start(name) for name in place.list))
        document = started[0].configuration
        for file in (place.folder / "n3").iterdir():
            file.unlink()
        requests: list[Member] = []

        async def leader(asker: PeerIdentity, question: Message) -> Message:
            if question["type"].startswith("found."):
                return joining.exists(document)
            requests.append(joining.sender_of(question, asker))
            kept = tuple(member for member in document.members if member.name != "n3")
            return joining.accepted(Configuration(document.cluster_id, (*kept, requests[0])))

        async with running(place.member(started[0], leader)):
            back = await place.start("n3")
        assert back.identity.member_id == requests[0].id != started[2].identity.member_id
        assert back.identity.cluster_id == document.cluster_id

    run(body())


def test_a_name_that_stays_taken_ends_with_a_named_error(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_CONFLICT_S", 0.3)

    async def body() -> None:
        place = site()
        started = await asyncio.gather(place.start("n1"), place.start("n2"))
        document = started[0].configuration

        async def leader(asker: PeerIdentity, question: Message) -> Message:
            if question["type"].startswith("found."):
                return joining.exists(document)
            return joining.wait("name 'n3' belongs to another", conflict=True)

        async with running(place.member(started[0], leader)):
            with pytest.raises(MemberExists, match="belongs to another"):
                await place.start("n3")

    run(body())


def test_a_refusal_for_good_and_a_wrong_list_are_named(site: Callable[..., Site]) -> None:
    async def body() -> None:
        place = site()
        started = await asyncio.gather(place.start("n1"), place.start("n2"))

        async def leader(asker: PeerIdentity, question: Message) -> Message:
            if question["type"].startswith("found."):
                return joining.exists(started[0].configuration)
            return joining.refused("no")

        async with running(place.member(started[0], leader)):
            with pytest.raises(InvalidRequest, match="refused this replica: no"):
                await place.start("n3")
        with pytest.raises(InvalidRequest, match="this replica is"):
            await place.start("n1", dict(place.list, n1="127.0.0.1:9"))

    run(body())


def test_a_full_disk_while_founding_is_an_error_and_nothing_is_promised(site: Callable[..., Site]) -> None:
    class FullDisk(RealDisk):
        def rename(self, old: str, new: str) -> None:
            raise OSError(28, "No space left on device")

    async def body() -> None:
        place = site()
        place.disk = lambda name: FullDisk(place.folder / name)  # type: ignore[method-assign]
        with pytest.raises(OSError, match="No space"):
            await place.start("n1")

    run(body())


def test_a_disk_that_fills_up_later_ends_the_founding_and_answers_nobody(site: Callable[..., Site]) -> None:
    """What could not be saved was promised to nobody, and must not be answered by a later message either."""

    class FillsUp(RealDisk):
        writes = 0

        def rename(self, old: str, new: str) -> None:
            FillsUp.writes += 1
            if FillsUp.writes == 2:
                raise OSError(28, "No space left on device")
            super().rename(old, new)

    async def body() -> None:
        place = site(timing=ALL_COME)
        plain = place.disk
        place.disk = lambda name: FillsUp(place.folder / name) if name == "n3" else plain(name)  # type: ignore[method-assign]
        failing = asyncio.create_task(place.start("n3"))  # not the first to propose: it fails while it answers
        others = [asyncio.create_task(place.start(name)) for name in ("n1", "n2")]
        with pytest.raises(OSError, match="No space"):
            await failing
        assert FillsUp.writes == 2, "nothing is saved, and so nothing said, after a failed write"
        first, second = await asyncio.gather(*others)
        assert first.configuration == second.configuration

    run(body())


def test_cancelling_a_bootstrap_leaves_nothing_behind(site: Callable[..., Site]) -> None:
    async def body() -> None:
        place = site()
        before = asyncio.all_tasks()
        waiting = asyncio.create_task(place.start("n1"))
        await eventually(lambda: (place.folder / "n1" / "founding").exists())
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asyncio.all_tasks() == before
        again = socket.create_server(("127.0.0.1", int(place.list["n1"].rpartition(":")[2])))
        again.close()

    run(body())


def test_identity_of_another_replica_is_never_overwritten(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    settle(disk, Identity(1, 2, "n1"))
    with pytest.raises(Exception, match="belongs to member"):
        settle(disk, Identity(1, 3, "n1"))
