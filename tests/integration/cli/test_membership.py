"""A cluster of one grows to three, and a replica that lost its disk comes back as another member."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from kmini.client import EtcdClient
from kmini_process import Server, eventually, kmini, running


def members_of(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.status()["cluster"]["members"]
    return found


def all_vote(server: Server, count: int) -> bool:
    found = members_of(server)
    return len(found) == count and all(member["reachable"] and not member["learner"] for member in found)


@pytest.mark.timeout(400)
def test_growth_and_a_lost_disk(tmp_path: Path) -> None:
    shared = tmp_path / "ca"
    assert kmini("pki", "init", "--ca-dir", shared).returncode == 0
    servers = [Server(name, tmp_path / name, "--ca-dir", shared) for name in ("n1", "n2", "n3")]
    for count, server in enumerate(servers, 1):
        listed = ",".join(f"{each.name}={each.peer_address}" for each in servers[:count])
        server._extra += ["--initial-cluster", listed]
    first, second, third = servers
    with running(first):
        with EtcdClient(first.etcd_address, first.pki) as etcd:
            etcd.put(b"k", b"v")
        with running(second), running(third):
            eventually(lambda: all_vote(first, 3), what="three voters", timeout_s=90)
            before = {member["name"]: member["id"] for member in members_of(first)}
            third.kill()
            shutil.rmtree(third.data_dir)
            third.start()
            third.wait_ready()
            eventually(lambda: all_vote(first, 3), what="three voters again", timeout_s=120)
            after = {member["name"]: member["id"] for member in members_of(first)}
            assert after["n3"] != before["n3"]  # a wiped voter under its old id could vote twice
            assert (after["n1"], after["n2"]) == (before["n1"], before["n2"])
            with EtcdClient(third.etcd_address, third.pki) as etcd:
                assert etcd.range(b"k").kvs[0].value == b"v"
