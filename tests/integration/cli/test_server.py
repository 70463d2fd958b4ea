"""`kmini server` as a process: one replica and three, signals, kill -9, and what it refuses."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kmini.client import EtcdClient
from kmini_process import Server, cluster_of, eventually, kmini, running
from ports import free_ports
from server_faults import leader_of


def client(server: Server) -> EtcdClient:
    return EtcdClient(server.etcd_address, server.pki)


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Server]:
    server = Server("n1", tmp_path / "n1")
    with running(server):
        yield server


def test_one_replica_keeps_its_data_over_kill_9(single: Server) -> None:
    with client(single) as etcd:
        written = [etcd.put(f"k{number}".encode(), b"v").header.revision for number in range(20)]
    assert written == sorted(set(written))
    before = single.status()["cluster"]
    single.kill()
    single.start()
    single.wait_ready()
    with client(single) as etcd:
        got = etcd.range(b"k", b"l")
    assert len(got.kvs) == 20
    assert {kv.mod_revision for kv in got.kvs} == set(written)
    after = single.status()["cluster"]
    assert (after["cluster_id"], after["member_id"]) == (before["cluster_id"], before["member_id"])


def test_sigterm_ends_it_cleanly(single: Server) -> None:
    assert single.terminate() == 0
    assert single.status_code() == 1


def test_a_second_sigterm_ends_it_at_once_and_loses_nothing(tmp_path: Path) -> None:
    servers = cluster_of(tmp_path, "n1", "n2", "n3")
    with running(*servers):
        with client(servers[0]) as etcd:
            etcd.put(b"k", b"v")
        for server in servers:
            server.send(signal.SIGTERM)
            server.send(signal.SIGTERM)
        # the last: its work was done already, and nobody listened any more
        assert {server.wait() for server in servers} <= {0, 128 + signal.SIGTERM, -signal.SIGTERM}
        for server in servers:
            server.start()
        for server in servers:
            server.wait_ready()
        with client(servers[1]) as etcd:
            assert etcd.range(b"k").kvs[0].value == b"v"


def test_a_second_server_on_the_directory_is_refused(single: Server) -> None:
    other = Server("n1", single.data_dir)
    done = kmini("server", *other.arguments)
    assert done.returncode == 1
    assert f"process {single.pid}" in done.stderr
    with client(single) as etcd:
        assert etcd.put(b"k", b"v").header.revision > 0


@pytest.mark.parametrize("flag", ["--peer-port", "--etcd-port", "--api-port"])
def test_a_port_that_is_taken_is_named(single: Server, tmp_path: Path, flag: str) -> None:
    taken = {"--peer-port": single.peer_port, "--etcd-port": single.etcd_port, "--api-port": single.api_port}[flag]
    other = Server("n2", tmp_path / "n2")
    done = kmini("server", *other.arguments, flag, taken)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert str(taken) in errors[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--name"),
        (["--name", "No"], "not a name"),
        (["--name", "n1", "--peer-port", "99999"], "99999"),
        (["--name", "n1", "--bind", "localhost"], "localhost"),
        (["--name", "n1", "--peer-port", "7", "--etcd-port", "7"], "must differ"),
        (["--name", "n1", "--initial-cluster", "n2=127.0.0.1:1"], "--name n1"),
        (["--name", "n1", "--initial-cluster", "n1"], "name=host:port"),
        (["--name", "n1", "--snapshot-every", "often"], "not a duration"),
        (["--name", "n1", "--service-cidr", "10.0.0.0/33"], "service-cidr"),
        (["--name", "n1", "--log-format", "xml"], "xml"),
    ],
)
def test_bad_flags_are_bad_usage(tmp_path: Path, arguments: list[str], word: str) -> None:
    done = kmini("server", "--data-dir", tmp_path / "data", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert word in done.stderr
    assert not (tmp_path / "data").exists()


def test_replicas_need_shared_keys(tmp_path: Path) -> None:
    one, two = free_ports(2)
    cluster = f"n1=127.0.0.1:{one},n2=127.0.0.1:{two}"
    server = Server("n1", tmp_path / "n1", "--initial-cluster", cluster, ports=[one, *free_ports(2)])
    done = kmini("server", *server.arguments)
    assert done.returncode == 1
    assert "kmini pki init" in done.stderr


def test_sigterm_ends_a_server_that_waits_for_its_peers(tmp_path: Path) -> None:
    first, *_others = cluster_of(tmp_path, "n1", "n2", "n3")
    try:
        first.start()
        eventually(lambda: "waiting for a majority" in first.log, what="the server says what it waits for")
        assert first.terminate() == 0
    finally:
        first.end()


def test_three_replicas_found_a_cluster_and_survive_their_leader(tmp_path: Path) -> None:
    servers = cluster_of(tmp_path, "n1", "n2", "n3")
    with running(*servers):
        facts = eventually(
            lambda: (found := servers[0].status()["cluster"]) and len(found["members"]) == 3 and found,
            what="three members",
            timeout_s=60,
        )
        assert {server.status()["cluster"]["cluster_id"] for server in servers} == {facts["cluster_id"]}
        with client(servers[0]) as etcd:
            etcd.put(b"k", b"one")
        for server in servers:
            with client(server) as etcd:
                assert etcd.range(b"k").kvs[0].value == b"one"  # linearizable on every replica
        leader = leader_of(servers)
        others = [server for server in servers if server is not leader]
        assert leader.terminate() == 0
        assert "leadership handed over" in leader.log
        with client(others[0]) as etcd:
            etcd.put(b"k", b"two")
        with client(others[1]) as etcd:
            assert etcd.range(b"k").kvs[0].value == b"two"
        status = kmini("status", "--data-dir", others[0].data_dir)
        assert status.returncode == 1  # one member is missing, and it says which
        assert leader.name in status.stdout
        leader.start()
        leader.wait_ready()
        with client(leader) as etcd:
            assert etcd.range(b"k").kvs[0].value == b"two"


def test_a_leader_killed_while_written_to_loses_nothing_acknowledged(tmp_path: Path) -> None:
    servers = cluster_of(tmp_path, "n1", "n2", "n3")
    with running(*servers):
        leader = leader_of(servers)
        others = [server for server in servers if server is not leader]
        acknowledged = []
        with client(leader) as etcd:
            for number in range(50):
                etcd.put(f"a{number:03}".encode(), b"v")
                acknowledged.append(f"a{number:03}".encode())
        leader.send(signal.SIGKILL)
        with client(others[0]) as etcd:
            etcd.put(b"b", b"after")
            assert [kv.key for kv in etcd.range(b"a", b"b").kvs] == acknowledged
        leader.wait()
