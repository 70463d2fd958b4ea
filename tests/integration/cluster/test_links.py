"""Cuts lose packets, and nothing but packets: in the direction that was named, until healed."""

from __future__ import annotations

import itertools
import sys

import pytest
from cluster_hosts import (
    HEAR_TCP,
    HEAR_UDP,
    LOST_AFTER_S,
    SAY_TCP,
    SAY_UDP,
    Talker,
    lost,
    lost_from_outside,
    ping,
    ping_from_outside,
    talking,
)
from kmini.cluster import OUTSIDE, Cluster, CommandError

PORT = 7000


def say(cluster: Cluster, host: str, other: str, text: str) -> None:
    done = cluster.run(host, [sys.executable, "-c", SAY_UDP, cluster.hosts[other].address, str(PORT), text])
    assert done.returncode == 0, done.stderr  # lost in silence: the sender sees no error


def test_all_hosts_reach_each_other_and_the_root_namespace(cluster: Cluster) -> None:
    for host, other in itertools.permutations(cluster.hosts, 2):
        assert ping(cluster, host, other)
    for name, found in cluster.hosts.items():
        assert ping_from_outside(found.address)
        assert ping(cluster, name, cluster.state.outside_address)


def test_a_partition_loses_both_ways_and_healing_ends_it_at_once(cluster: Cluster) -> None:
    cluster.partition("s1", "s2")
    assert lost(cluster, "s1", "s2")
    assert lost(cluster, "s2", "s1")
    assert ping(cluster, "s1", "s3")
    assert ping(cluster, "s2", "s3")
    cluster.heal()
    assert ping(cluster, "s1", "s2")
    assert ping(cluster, "s2", "s1")


def test_one_way_is_one_way(cluster: Cluster) -> None:
    with talking(cluster, "s1", HEAR_UDP, PORT) as first, talking(cluster, "s2", HEAR_UDP, PORT) as second:
        assert first.line() == second.line() == "listening"
        cluster.partition("s1", "s2", one_way=True)
        for text in ("one", "two", "three"):  # one that is on its way as the other end learns a MAC is no proof
            say(cluster, "s1", "s2", f"lost {text}")
            say(cluster, "s2", "s1", f"heard {text}")
            assert first.line() == f"heard {text}"
        assert second.line(LOST_AFTER_S) is None
        cluster.heal("s1", "s2")
        say(cluster, "s1", "s2", "again")
        assert second.line() == "again"


def test_one_way_holds_when_the_hosts_have_never_spoken(cluster: Cluster) -> None:
    """The receiver knows no MAC yet: it can still ask for one, and is answered."""
    flush = ["ip", "neighbour", "flush", "all"]
    for host in cluster.hosts:
        assert cluster.run(host, flush).returncode == 0
    cluster.partition("s1", "s3", one_way=True)
    with talking(cluster, "s1", HEAR_UDP, PORT) as heard:
        assert heard.line() == "listening"
        say(cluster, "s3", "s1", "hello")
        assert heard.line() == "hello"
    assert lost(cluster, "s3", "s1")  # the answer is what gets lost


def connection(cluster: Cluster) -> tuple[Talker, Talker]:
    """A TCP connection from s1 to s2: who hears and who says."""
    heard = Talker(cluster, "s2", HEAR_TCP, PORT)
    assert heard.line() == "listening"
    said = Talker(cluster, "s1", SAY_TCP, cluster.hosts["s2"].address, PORT)
    assert said.line() == heard.line() == "connected"
    return heard, said


@pytest.mark.parametrize("one_way", [False, True])
def test_an_established_connection_hangs_and_goes_on(cluster: Cluster, one_way: bool) -> None:
    heard, said = connection(cluster)
    try:
        said.say("before")
        assert (said.line(), heard.line()) == ("sent", "before")
        cluster.partition("s1", "s2", one_way=one_way)
        said.say("meanwhile")
        assert said.line() == "sent"  # the kernel took it, and sends it again and again
        assert heard.line(LOST_AFTER_S) is None
        assert said.running()  # neither end was told anything
        assert heard.running()
        cluster.heal()
        assert heard.line() == "meanwhile"
    finally:
        heard.end()
        said.end()


def test_the_root_namespace_can_be_cut_off_too(cluster: Cluster) -> None:
    address = cluster.hosts["s1"].address
    cluster.partition("s1", OUTSIDE)
    assert lost_from_outside(address)
    assert ping_from_outside(cluster.hosts["s2"].address)
    assert ping(cluster, "s2", "s1")
    cluster.heal(OUTSIDE)
    assert ping_from_outside(address)


def test_groups_and_partial_healing(cluster: Cluster) -> None:
    cluster.partition(["s1", "s2"], "s3")
    assert ping(cluster, "s1", "s2")
    cluster.heal("s1", "s3")
    assert ping(cluster, "s1", "s3")
    assert lost(cluster, "s2", "s3")
    cluster.partition("s1")
    cluster.heal("s2")
    assert {(cut.sender, cut.receiver) for cut in cluster.state.cuts} == {("s1", "s3"), ("s3", "s1")}


def test_cutting_and_healing_twice_is_cutting_and_healing_once(cluster: Cluster) -> None:
    for _ in range(2):
        cluster.isolate("s2")
        assert lost(cluster, "s2", "s1")
    for _ in range(2):
        cluster.heal()
        assert ping(cluster, "s2", "s1")
    assert cluster.state.cuts == ()


def test_a_cut_that_is_wrong_cuts_nothing(cluster: Cluster) -> None:
    with pytest.raises(CommandError, match="no host 's9'"):
        cluster.partition("s1", ["s2", "s9"])
    with pytest.raises(CommandError, match="from itself"):
        cluster.partition(["s1", "s2"], ["s2"])
    with pytest.raises(CommandError, match="no host 's9'"):
        cluster.heal("s9")
    assert cluster.state.cuts == ()
    assert ping(cluster, "s1", "s2")
