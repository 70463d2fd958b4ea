"""Rights on the etcd face, as docs/contract.md promises them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kmini.access import USER_RPCS, authorize, touches_registry

from raftstore.etcd.identity import Identity, KeyRange

MASTER = Identity("admin", frozenset({"system:masters"}))
USER = Identity("app", frozenset({"kmini:etcd"}))
NODE = Identity("system:node:n1", frozenset({"system:nodes"}))
NOBODY = Identity("", frozenset())

OUTSIDE = KeyRange(b"app/1")
INSIDE = KeyRange(b"/registry/pods/default/a")
MASTERS_ONLY = [
    "KV.Compact",
    "Maintenance.Snapshot",
    "Maintenance.Alarm",
    "Maintenance.Defragment",
    "Maintenance.MoveLeader",
    "Cluster.MemberAdd",
    "Cluster.MemberRemove",
    "Cluster.MemberPromote",
    "Cluster.MemberUpdate",
]


@pytest.mark.parametrize("rpc", [*sorted(USER_RPCS), *MASTERS_ONLY])
@pytest.mark.parametrize("keys", [None, OUTSIDE, INSIDE])
def test_masters_may_do_everything(rpc: str, keys: KeyRange | None) -> None:
    assert authorize(MASTER, rpc, keys)


@pytest.mark.parametrize("rpc", MASTERS_ONLY)
@pytest.mark.parametrize("identity", [USER, NODE, NOBODY])
def test_only_masters_may_run_the_cluster(identity: Identity, rpc: str) -> None:
    assert not authorize(identity, rpc, None)


@pytest.mark.parametrize("rpc", ["KV.Range", "KV.Put", "KV.DeleteRange", "KV.Txn", "Watch.Watch"])
def test_etcd_users_keep_out_of_the_registry(rpc: str) -> None:
    assert authorize(USER, rpc, OUTSIDE)
    assert not authorize(USER, rpc, INSIDE)
    assert not authorize(USER, rpc, KeyRange(b"\0", b"\0"))


@pytest.mark.parametrize("identity", [NODE, NOBODY])
@pytest.mark.parametrize("rpc", sorted(USER_RPCS))
def test_everybody_else_may_do_nothing(identity: Identity, rpc: str) -> None:
    assert not authorize(identity, rpc, None)
    assert not authorize(identity, rpc, OUTSIDE)


def test_an_unknown_rpc_is_closed() -> None:
    assert not authorize(USER, "Maintenance.Downgrade", None)


keys = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.builds(lambda cut, tail: b"/registry/"[:cut] + tail, st.integers(1, 10), st.binary(max_size=3)),
)


@given(start=keys, end=st.one_of(st.just(b""), st.just(b"\0"), keys), tail=st.binary(max_size=4))
def test_a_range_that_holds_a_registry_key_is_seen(start: bytes, end: bytes, tail: bytes) -> None:
    key = b"/registry/" + tail
    holds = key == start if not end else start <= key and (end == b"\0" or key < end)
    if holds:
        assert touches_registry(KeyRange(start, end))


@pytest.mark.parametrize(
    ("start", "end"),
    [(b"a", b"z"), (b"/registry0", b"\0"), (b"/", b"/registry/"), (b"/registry", b""), (b"/a", b"/b")],
)
def test_ranges_beside_the_registry_are_free(start: bytes, end: bytes) -> None:
    assert not touches_registry(KeyRange(start, end))
