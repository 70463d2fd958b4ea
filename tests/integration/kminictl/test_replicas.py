"""`kminictl raft`, `top raft` and `doctor` against a real replica, with the administrator's certificate and without."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from kmini_process import Server, running
from kminictl_run import Result, run_kminictl
from ports import free_ports


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server("n1", tmp_path_factory.mktemp("replicas") / "n1", ports=free_ports(3))
    with running(one):
        yield one


def raft(server: Server, *words: str) -> Result:
    config = str(server.data_dir / "kubeconfig")
    return run_kminictl("raft", *words, "--kubeconfig", config, "--endpoints", server.etcd_address)


def test_who_leads_and_how_far_each_is(server: Server) -> None:
    code, text = raft(server, "status")
    assert code == 0, text
    headers, row = text.splitlines()
    assert headers.split() == ["NAME", "ID", "ROLE", "TERM", "INDEX", "APPLIED", "REVISION", "VERSION", "PROBLEM"]
    assert (row.split()[0], row.split()[2], row.split()[-1]) == ("n1", "leader", "<none>")
    (member,) = json.loads(raft(server, "members", "-o", "json").output)
    assert (member["name"], member["client"], member["role"]) == ("n1", server.etcd_address, "leader")
    assert member["peer"] == server.peer_address


def test_a_snapshot_is_whole_and_nobody_elses(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "snapshot.db"
    code, text = raft(server, "snapshot", str(file))
    assert code == 0, text
    assert text.startswith(f"{file.stat().st_size} bytes written to {file}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_size % 512 == 32, "whole pages and a sha256"
    assert [each.name for each in tmp_path.iterdir()] == ["snapshot.db"]


def test_history_is_forgotten_once(server: Server) -> None:
    code, text = raft(server, "compact")
    assert (code, text.split()[:2]) == (0, ["compacted", "revision"])
    again = raft(server, "compact", "1")
    assert again.exit_code == 1
    assert "has been compacted" in again.output


def test_members_that_are_not_there(server: Server) -> None:
    for verb in ("remove", "transfer"):
        assert raft(server, verb, "nope") == (1, "error: there is no replica 'nope' (there is: n1)\n")
    assert raft(server, "transfer", "n1") == (0, "replica n1 leads already\n")
    assert raft(server, "add", "nowhere").output == (
        "error: 'nowhere' is no address of a peer port: HOST:PORT is needed\n"
    )


def test_a_replica_that_is_added_can_be_taken_out(server: Server) -> None:
    code, text = raft(server, "add", "127.0.0.1:1")
    assert code == 0, text
    identity = text.split()[1]
    rows = {row.split()[1]: row for row in raft(server, "members").output.splitlines()[1:]}
    assert len(rows) == 2 or identity in " ".join(rows)
    assert raft(server, "remove", identity).exit_code == 0
    assert len(raft(server, "members").output.splitlines()) == 2


def test_who_is_no_administrator_gets_nothing(server: Server, tmp_path: Path) -> None:
    config = server.data_dir / "kubeconfig"
    token = tmp_path / "config"
    token.write_text(config.read_text(encoding="utf-8").replace("client-", "no-client-"), encoding="utf-8")
    code, text = run_kminictl("raft", "status", "--kubeconfig", str(token), "--endpoints", server.etcd_address)
    assert code == 1
    assert "this kubeconfig has none" in text


def test_no_face_is_said(server: Server) -> None:
    config = str(server.data_dir / "kubeconfig")
    code, text = run_kminictl("raft", "status", "--kubeconfig", config, "--endpoints", "127.0.0.1:1")
    assert code == 1
    assert text.startswith("error: the etcd face 127.0.0.1:1 cannot be reached: ")


def test_top_raft(server: Server) -> None:
    config = str(server.data_dir / "kubeconfig")
    code, text = run_kminictl("top", "raft", "--kubeconfig", config, "--endpoints", server.etcd_address)
    assert code == 0, text
    assert text.splitlines()[0].split() == ["NAME", "ROLE", "APPLIED", "BEHIND", "REVISION", "SIZE", "USED"]
    assert text.splitlines()[1].split()[:2] == ["n1", "leader"]


def test_the_doctor(server: Server) -> None:
    config = str(server.data_dir / "kubeconfig")
    words = ("doctor", "--kubeconfig", config, "--endpoints", server.etcd_address)
    code, text = run_kminictl(*words)
    assert code == 0, text
    assert "ok       replicas: 1 of 1 voters answer, 1 are needed\n" in text
    assert "warning  nodes: there are none\n         kmini token create" in text
    found = json.loads(run_kminictl(*words, "-o", "json").output)
    assert {each["check"] for each in found} >= {"server", "certificate", "nodes", "pods", "replicas"}
    levels = [each["level"] for each in found]
    assert levels == sorted(levels, key=["bad", "warning", "ok"].index), "the worst first"


def test_the_doctor_of_a_server_that_is_gone(server: Server, tmp_path: Path) -> None:
    config = str(server.data_dir / "kubeconfig")
    code, text = run_kminictl(
        "doctor", "--kubeconfig", config, "-s", "https://127.0.0.1:1", "--endpoints", "127.0.0.1:1"
    )
    assert code == 1
    assert text.startswith("bad      server: ")
