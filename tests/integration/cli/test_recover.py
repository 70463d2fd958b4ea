"""`kmini recover`: the last replica of three goes on alone, and a single one with a damaged journal."""

from __future__ import annotations

import json
from pathlib import Path

from kmini.client import EtcdClient
from kmini_process import Server, kmini, running

from raftstore.backup import REVISION_STEP


def client(server: Server) -> EtcdClient:
    return EtcdClient(server.etcd_address, server.pki)


def newest_segment(server: Server) -> Path:
    """The journal file that holds what was written last."""
    files = [path for path in (server.data_dir / "raft").iterdir() if path.is_file() and path.stat().st_size > 100_000]
    return max(files, key=lambda path: path.stat().st_mtime_ns)


def flip(path: Path, needle: bytes) -> None:
    """Change one bit of the first place that holds `needle`."""
    content = bytearray(path.read_bytes())
    place = content.index(needle)
    content[place] ^= 1
    path.write_bytes(content)


def test_the_last_replica_of_three_goes_on_alone(tmp_path: Path) -> None:
    shared = tmp_path / "ca"
    assert kmini("pki", "init", "--ca-dir", shared).returncode == 0
    servers = [Server(name, tmp_path / name, "--ca-dir", shared) for name in ("n1", "n2", "n3")]
    listed = ",".join(f"{server.name}={server.peer_address}" for server in servers)
    for server in servers:
        server._extra += ["--initial-cluster", listed]
    with running(*servers):
        with client(servers[0]) as etcd:
            revision = etcd.put(b"k", b"kept").header.revision
            assert etcd.range(b"k").count == 1
        with client(servers[2]) as etcd:
            assert etcd.range(b"k").count == 1  # it has it
        before = servers[2].status()["cluster"]
    last = servers[2]
    preview = kmini("recover", "--data-dir", last.data_dir, "-o", "json")
    assert preview.returncode == 1
    assert json.loads(preview.stdout)["members"] == ["n1", "n2", "n3"]
    assert sorted(path.name for path in last.data_dir.iterdir() if "recover" in path.name) == []
    done = kmini("recover", "--data-dir", last.data_dir, "--accept-data-loss")
    assert done.returncode == 0, done.stderr
    with running(last):
        found = last.status()["cluster"]
        assert [member["name"] for member in found["members"]] == ["n3"]
        assert found["cluster_id"] != before["cluster_id"]
        with client(last) as etcd:
            assert etcd.range(b"k").kvs[0].value == b"kept"
            assert etcd.put(b"k", b"more").header.revision > revision + REVISION_STEP
    assert kmini("snapshot", "verify", *last.data_dir.glob("recovered-*.kmini")).returncode == 0


def test_a_single_replica_with_a_damaged_journal(tmp_path: Path) -> None:
    server = Server("n1", tmp_path / "n1")
    with running(server):
        with client(server) as etcd:
            for number in range(30):
                etcd.put(f"k{number:02}".encode(), f"value-{number:02}-".encode() * 200)
        server.kill()
    assert "ok     journal: " in kmini("doctor", "--data-dir", server.data_dir).stdout
    flip(newest_segment(server), b"value-15-")
    assert "BAD    journal: " in kmini("doctor", "--data-dir", server.data_dir).stdout
    refused = kmini("server", *server.arguments)
    assert refused.returncode == 1
    assert "kmini recover --accept-data-loss" in refused.stderr
    assert "offset" in refused.stderr
    done = kmini("recover", "--data-dir", server.data_dir, "--accept-data-loss")
    assert done.returncode == 0, done.stderr
    assert "damaged" in done.stdout
    with running(server), client(server) as etcd:
        kept = [kv.key for kv in etcd.range(b"k", b"l").kvs]
    assert kept == [f"k{number:02}".encode() for number in range(30)]  # the state file had what the journal lost
    (aside,) = server.data_dir.glob("raft.before-recover-*")
    assert (aside / "identity").exists()


def test_what_it_refuses(tmp_path: Path) -> None:
    empty = kmini("recover", "--data-dir", tmp_path / "nothing", "--accept-data-loss")
    assert empty.returncode == 1
    assert "no replica" in empty.stderr
    server = Server("n1", tmp_path / "n1")
    with running(server):
        done = kmini("recover", "--data-dir", server.data_dir, "--accept-data-loss")
    assert done.returncode == 1
    assert "stop it first" in done.stderr
