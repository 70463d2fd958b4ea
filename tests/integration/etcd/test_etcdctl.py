"""Debian's etcdctl against three replicas of ours: every command the contract names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from etcd_cluster import FacedCluster, faced_cluster
from etcd_peer import needs_etcdctl
from kmini_process import eventually

pytestmark = needs_etcdctl


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FacedCluster]:
    with faced_cluster(tmp_path_factory.mktemp("etcdctl"), 3) as cluster:

        def all_vote() -> bool:
            return not any(member.get("isLearner") for member in cluster.json("member", "list")["members"])

        eventually(all_vote, what="a vote for who came late to the founding")
        yield cluster


def test_put_get_del(cluster: FacedCluster) -> None:
    assert cluster.ok("put", "kv/a", "1") == "OK\n"
    assert cluster.ok("put", "kv/a", "2", "--prev-kv") == "OK\nkv/a\n1\n"
    cluster.ok("put", "kv/b", "3")
    assert cluster.ok("get", "kv/a") == "kv/a\n2\n"
    assert cluster.ok("get", "kv/", "--prefix", "--keys-only") == "kv/a\n\nkv/b\n\n"
    assert cluster.ok("get", "kv/a", "--print-value-only", "--consistency", "s") == "2\n"
    assert cluster.ok("get", "kv/", "--prefix", "--order", "DESCEND", "--sort-by", "VALUE", "--limit", "1") == (
        "kv/b\n3\n"
    )
    revision = cluster.json("get", "kv/a")["header"]["revision"]
    cluster.ok("put", "kv/a", "4")
    assert cluster.ok("get", "kv/a", "--rev", str(revision)) == "kv/a\n2\n"
    assert cluster.ok("del", "kv/", "--prefix") == "2\n"
    assert cluster.ok("get", "kv/", "--prefix") == ""


def test_txn(cluster: FacedCluster) -> None:
    script = 'value("txn/a") = "1"\n\nput txn/a 2\nget txn/a\n\nput txn/a 1\n\n'
    assert cluster.ok("txn", stdin=script) == "FAILURE\n\nOK\n"
    assert cluster.ok("txn", stdin=script) == "SUCCESS\n\nOK\n\ntxn/a\n2\n"
    twice = 'create("txn/b") = "0"\n\nput txn/b 1\nput txn/b 2\n\n\n'
    assert "duplicate key given in txn request" in cluster.fails("txn", stdin=twice)


def test_watch(cluster: FacedCluster) -> None:
    start = cluster.json("put", "watch/a", "1")["header"]["revision"]
    cluster.ok("put", "watch/b", "2")
    cluster.ok("del", "watch/a")
    with cluster.running("admin", "watch", "watch/", "--prefix", "--rev", str(start), "--prev-kv") as watch:
        past = ["PUT", "watch/a", "1", "PUT", "watch/b", "2", "DELETE", "watch/a", "1", "watch/a"]
        assert watch.lines(10) == past
        cluster.ok("put", "watch/c", "live")
        assert watch.lines(13) == [*past, "PUT", "watch/c", "live"]


def test_leases(cluster: FacedCluster) -> None:
    lease = cluster.ok("lease", "grant", "60").split()[1]
    cluster.ok("put", "lease/a", "1", "--lease", lease)
    assert cluster.ok("lease", "list").splitlines()[1:] == [lease]
    assert f"lease {lease} keepalived with TTL(60)" in cluster.ok("lease", "keep-alive", "--once", lease)
    left = cluster.ok("lease", "timetolive", lease, "--keys")
    assert left.startswith(f"lease {lease} granted with TTL(60s), remaining(")
    assert left.rstrip().endswith("attached keys([lease/a])")
    assert cluster.ok("lease", "revoke", lease) == f"lease {lease} revoked\n"
    assert cluster.ok("get", "lease/a") == ""
    assert "already expired" in cluster.ok("lease", "timetolive", lease)
    assert "requested lease not found" in cluster.fails("lease", "revoke", lease)
    assert "requested lease not found" in cluster.fails("put", "lease/a", "1", "--lease", lease)


def test_lock_and_elect(cluster: FacedCluster) -> None:
    assert cluster.ok("lock", "locks/a", "echo", "held") == "held\n"
    assert cluster.ok("get", "locks/", "--prefix") == ""
    with cluster.running("admin", "elect", "votes", "me") as candidate:
        key, value = candidate.lines(2)
        assert key.startswith("votes/")
        assert value == "me"
        with cluster.running("admin", "elect", "--listen", "votes") as listener:
            assert listener.lines(2) == [key, "me"]


def test_endpoints(cluster: FacedCluster) -> None:
    healthy = cluster.run("admin", "endpoint", "health")
    assert (healthy.stdout + healthy.stderr).count("is healthy") == 3
    statuses = cluster.json("endpoint", "status")
    assert len({status["Status"]["header"]["member_id"] for status in statuses}) == 3
    assert len({status["Status"]["leader"] for status in statuses}) == 1
    revisions: set[int] = set()
    while len(revisions) != 1:  # one may be a beat behind
        hashes = [found["HashKV"] for found in cluster.json("endpoint", "hashkv")]
        revisions = {found["header"]["revision"] for found in hashes}
    assert len({found["hash"] for found in hashes}) == 1


def test_member_list_and_move_leader(cluster: FacedCluster) -> None:
    listed = cluster.json("member", "list")["members"]
    assert sorted(member["name"] for member in listed) == ["n1", "n2", "n3"]
    assert {member["clientURLs"][0] for member in listed} == set(cluster.endpoints.values())
    leader = cluster.leader()
    target = next(member for member in listed if member["name"] != leader)
    moved = cluster.ok("move-leader", f"{target['ID']:x}")
    assert "Leadership transferred" in moved
    assert cluster.ok("put", "moved", "1") == "OK\n"
    assert cluster.leader() == target["name"]


def test_member_add_promote_remove(cluster: FacedCluster) -> None:
    added = cluster.ok("member", "add", "new", "--learner", "--peer-urls", "https://127.0.0.1:1")
    new = added.split()[1]
    assert f"{new}, unstarted, , https://127.0.0.1:1, , true" in cluster.ok("member", "list")
    refused = cluster.fails("member", "promote", new)
    assert "can only promote a learner member which is in sync with leader" in refused
    assert f"{new} removed" in cluster.ok("member", "remove", new)
    assert new not in cluster.ok("member", "list")
    assert "member not found" in cluster.fails("member", "remove", new)


def test_compaction(cluster: FacedCluster) -> None:
    revision = cluster.json("put", "compact/a", "1")["header"]["revision"]
    cluster.ok("put", "compact/a", "2")
    latest = cluster.json("put", "compact/a", "3")["header"]["revision"]
    assert cluster.ok("compaction", str(latest), "--physical") == f"compacted revision {latest}\n"
    compacted = "required revision has been compacted"
    assert compacted in cluster.fails("get", "compact/a", "--rev", str(revision))
    assert compacted in cluster.fails("compaction", str(revision))
    assert "required revision is a future revision" in cluster.fails("compaction", str(latest + 1_000))
    watching = cluster.run("admin", "watch", "compact/a", "--rev", str(revision))
    assert compacted in watching.stderr + watching.stdout


def test_alarms_and_defragmentation(cluster: FacedCluster) -> None:
    assert cluster.ok("alarm", "list") == ""
    assert cluster.ok("alarm", "disarm") == ""
    assert cluster.ok("defrag").count("Finished defragmenting") == 3


def test_snapshot_save(cluster: FacedCluster, tmp_path: Path) -> None:
    file = tmp_path / "copy"
    cluster.ok("snapshot", "save", str(file), endpoint=cluster.endpoints["n1"])
    data = file.read_bytes()
    assert len(data) % 512 == 32
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]


def test_rights(cluster: FacedCluster, tmp_path: Path) -> None:
    cluster.ok("put", "/registry/x", "1")
    assert cluster.ok("put", "rights/a", "1", user="user") == "OK\n"
    assert cluster.ok("get", "rights/", "--prefix", user="user") == "rights/a\n1\n"
    denied = "permission denied"
    for arguments in (
        ("get", "/registry/x"),
        ("put", "/registry/y", "1"),
        ("get", "", "--prefix"),
        ("get", "/", "--from-key"),
        ("del", "/registry", "--prefix"),
        ("compaction", "1"),
        ("alarm", "list"),
        ("defrag",),
        ("member", "add", "x", "--peer-urls", "https://127.0.0.1:1"),
        ("watch", "/registry/", "--prefix"),
    ):
        assert denied in cluster.fails(*arguments, user="user"), arguments
    copy = ("snapshot", "save", str(tmp_path / "copy"))
    assert denied in cluster.fails(*copy, user="user", endpoint=cluster.endpoints["n1"])
    for arguments in (("get", "rights/a"), ("put", "rights/a", "2"), ("member", "list")):
        assert denied in cluster.fails(*arguments, user="node"), arguments
    assert cluster.ok("get", "/registry/x") == "/registry/x\n1\n"
