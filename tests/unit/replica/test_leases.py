"""Lease clocks: only the leader's, a full time to live after a change or a pause, keep-alives confirmed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from replicas import Answer, Replicas, replicas

from raftstore.command import KIND_BATCH, RevokeLease, decode_batch
from raftstore.errors import LeaseExists, Timeout
from raftstore.model import LeaseResult, LeaseStatus, Put

TTL_S = 10


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Replicas]:
    with replicas(tmp_path, 3) as cluster:
        yield cluster


def grant(cluster: Replicas, ttl_s: int = TTL_S, member_id: int = 1, lease: int = 0) -> int:
    answer = Answer()
    cluster[member_id].lease_grant(lease, ttl_s, answer)
    cluster.runtime.run()
    assert isinstance(answer.value, LeaseResult), answer.value
    return answer.value.id


def keep_alive(cluster: Replicas, lease: int, member_id: int = 1) -> Answer:
    answer = Answer()
    cluster[member_id].keep_alive(lease, answer)
    cluster.runtime.run()
    return answer


def remaining_s(cluster: Replicas, lease: int, member_id: int = 1) -> int:
    answer = Answer()
    cluster[member_id].time_to_live(lease, True, answer)
    cluster.runtime.run()
    assert isinstance(answer.value, LeaseStatus), answer.value
    return answer.value.remaining_s


def alive(cluster: Replicas, lease: int) -> bool:
    return cluster[1].house.machine.lease(lease) is not None


def test_a_lease_ends_when_its_time_is_over_and_takes_its_keys_along(three: Replicas) -> None:
    lease = grant(three)
    three.execute(1, Put(b"k", b"v", lease))
    three.runtime.advance(TTL_S - 0.2)
    assert alive(three, lease)
    three.runtime.advance(0.5)
    assert not alive(three, lease)
    assert three.versions(b"k") == [0, 0, 0]
    assert three[1].metrics.leases_expired == 1


@pytest.mark.parametrize("member_id", [1, 2])
def test_a_keep_alive_on_any_replica_renews(three: Replicas, member_id: int) -> None:
    lease = grant(three, member_id=member_id)
    before = len(three.cluster.entries)
    for _ in range(5):
        three.runtime.advance(TTL_S - 1)
        assert keep_alive(three, lease, member_id).value.ttl == TTL_S
    assert alive(three, lease)
    assert len(three.cluster.entries) == before, "keep-alives are not logged"


def test_a_keep_alive_of_no_lease_says_so(three: Replicas) -> None:
    assert keep_alive(three, 12345).value.ttl == 0
    assert remaining_s(three, 12345) == -1


def test_the_time_left_is_the_leaders(three: Replicas) -> None:
    lease = grant(three)
    three.execute(1, Put(b"k", b"v", lease))
    three.runtime.advance(4.0)
    answer = Answer()
    three[3].time_to_live(lease, True, answer)
    three.runtime.run()
    assert answer.value == LeaseStatus(lease, TTL_S, 6, [b"k"])


def test_a_new_leader_gives_every_lease_a_full_time_to_live(three: Replicas) -> None:
    lease = grant(three)
    three.runtime.advance(TTL_S - 1)
    three.cluster.elect(2)
    three.runtime.advance(TTL_S - 1)
    assert alive(three, lease)
    three.runtime.advance(2)
    assert not alive(three, lease)
    assert three[2].metrics.leases_expired == 1
    assert three[1].metrics.leases_expired == 0


def test_a_leader_that_was_paused_gives_every_lease_a_full_time_to_live(three: Replicas) -> None:
    lease = grant(three)
    three.runtime.advance(TTL_S - 1)
    three.runtime.pause(60)
    assert alive(three, lease)
    three.runtime.advance(TTL_S - 1)
    assert alive(three, lease)
    three.runtime.advance(2)
    assert not alive(three, lease)


def test_a_short_stall_does_not_put_expiry_off(three: Replicas) -> None:
    lease = grant(three)
    for _ in range(int(TTL_S / 0.3) + 2):
        three.runtime.pause(0.3)
        three.runtime.run()
    three.runtime.advance(0.5)
    assert not alive(three, lease)


def test_a_keep_alive_needs_a_confirmed_leader(three: Replicas) -> None:
    lease = grant(three)
    three.cluster.cut.add(1)
    answer = Answer()
    three[1].keep_alive(lease, answer, 2.0)
    three.runtime.advance(3.0)
    assert isinstance(answer.value, Timeout)


def test_a_keep_alive_waits_for_the_revoke_on_its_way(three: Replicas) -> None:
    """The leader decided; answering "renewed" now would be a lie once the revoke is applied."""
    lease = grant(three)
    three.cluster.hold_commits = True
    three.runtime.advance(TTL_S + 0.5)
    answer = keep_alive(three, lease)
    assert not answer.given
    three.cluster.hold_commits = False
    three.cluster.commit()
    three.runtime.run()
    assert answer.value.ttl == 0


def test_a_revoke_decided_by_a_deposed_leader_is_not_sent_again(three: Replicas) -> None:
    lease = grant(three)
    three.cluster.hold_commits = True
    three.runtime.advance(TTL_S + 0.5)
    three.cluster.hold_commits = False
    three.cluster.elect(2, lose_tail=True)
    three.runtime.advance(TTL_S - 1)
    revokes = [
        request
        for entry in three.cluster.entries
        if entry.payload[0] == KIND_BATCH
        for request in decode_batch(entry.payload)
        if isinstance(request.command, RevokeLease)
    ]
    assert not revokes
    assert alive(three, lease)
    assert keep_alive(three, lease, 2).value.ttl == TTL_S


def test_expiry_comes_in_bounded_bursts(tmp_path: Path) -> None:
    with replicas(tmp_path, lease_revokes_per_tick=10) as one:
        leases = [grant(one) for _ in range(35)]
        one.cluster.hold_commits = True
        one.runtime.advance(TTL_S + 0.05)
        sizes = [0, one[1].metrics.leases_expired]
        for _ in range(4):
            one.runtime.advance(0.1)
            sizes.append(one[1].metrics.leases_expired)
        assert max(after - before for before, after in itertools.pairwise(sizes)) <= 10
        one.cluster.hold_commits = False
        one.cluster.commit()
        one.runtime.advance(1.0)
        assert not any(alive(one, lease) for lease in leases)


def test_a_time_to_live_is_no_less_than_an_election(three: Replicas) -> None:
    answer = Answer()
    three[1].lease_grant(0, 1, answer)
    three.runtime.run()
    assert answer.value.ttl == three.options.lease_ttl_s_min == 2


def test_an_id_is_given_once(three: Replicas) -> None:
    lease = grant(three)
    answer = Answer()
    three[2].lease_grant(lease, 5, answer)
    three.runtime.run()
    assert isinstance(answer.value, LeaseExists)


def test_leases_that_come_and_go_leave_nothing_behind(three: Replicas) -> None:
    from raftstore import leases as leases_module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases_module, "STALE_MARKS_MAX", 10)
        for _ in range(50):
            three.execute(1, RevokeLease(grant(three, 1_000_000)))
        three.runtime.advance(1.0)
        assert len(three[1].leases._due) <= 10
