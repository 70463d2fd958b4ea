"""From nothing and back: whatever happens in between, `down` leaves this machine as it was."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from cluster_hosts import lost, ping, traces
from kmini.cluster import Cluster, CommandError
from kmini.cluster.building import group_of
from kmini.cluster.state import read
from kmini_process import environment, eventually, kmini

#: Where to be killed: as soon as this is there. Later ones come later.
FORWARDS = Path("/proc/sys/net/ipv4/ip_forward")
STAGES = ["cluster.json", "pki/admin.crt", "hosts/s1", "logs/s1-server.log", "hosts/s1/kmini/run/server.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """With a blank in its name; whatever a test leaves in it is taken down."""
    folder = tmp_path / "a cluster"
    yield folder
    Cluster(folder).down()


def cluster_id(folder: Path) -> str:
    state = read(folder / "cluster.json")
    assert state is not None
    return state.id


def links_and_routes() -> set[str]:
    shown = [subprocess.run(["ip", "-o", *what], capture_output=True, text=True, check=True).stdout for what in SHOWN]
    return {" ".join(line.split()) for text in shown for line in text.splitlines()}


LINK_OF_A_CLUSTER = re.compile(r"\bkm[0-9a-f]{8}\b")  # ours, and those of others that run meanwhile
SHOWN = (["-br", "link"], ["-4", "address"], ["-4", "route", "show", "table", "all"], ["rule"], ["netns"])


@pytest.mark.parametrize("tmpfs", [False, True])
def test_down_leaves_nothing_and_up_goes_on_from_the_disks(folder: Path, tmpfs: bool) -> None:
    before = links_and_routes()
    with Cluster(folder, servers=2, tmpfs=tmpfs) as cluster:
        own = cluster_id(folder)
        assert traces(own, folder)
        changed = links_and_routes() - before
        assert any(cluster.state.link_name in line for line in changed)
        assert [line for line in changed if not LINK_OF_A_CLUSTER.search(line)] == []
    assert traces(own, folder) == []
    with pytest.raises(CommandError, match="no cluster runs"):
        cluster.leader()
    assert not cluster.down()

    assert (folder / "hosts" / "s1" / "kmini").exists() is not tmpfs
    with cluster:
        assert cluster_id(folder) == own
        assert ping(cluster, "s1", "s2")
    assert cluster.down(purge=True) is False
    assert not folder.exists()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Cluster, Cluster]]:
    """Two clusters, built at the same time."""
    clusters = (Cluster(tmp_path / "a", servers=1), Cluster(tmp_path / "b", servers=1))
    try:
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(Cluster.up, clusters)) == [True, True]
        yield clusters
    finally:
        for cluster in clusters:
            cluster.down()


def test_two_clusters_at_once_know_nothing_of_each_other(pair: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    one, other = pair
    assert one.state.subnet != other.state.subnet
    assert one.wait_leader() == other.wait_leader() == "s1"
    if FORWARDS.read_text().strip() == "0":  # else this machine passes on what hosts send each other
        assert lost(one, "s1", other.hosts["s1"].address)
    own = cluster_id(tmp_path / "a")
    one.down()
    assert traces(own, tmp_path / "a") == []
    other.wait_ready()
    assert other.wait_leader() == "s1"


@pytest.mark.parametrize("stage", STAGES)
def test_a_build_that_was_killed_is_removed_and_can_be_done_again(folder: Path, stage: str) -> None:
    command = [sys.executable, "-m", "kmini", "cluster", "up", "--servers", "3", "--tmpfs", "--dir", str(folder)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as building:
        eventually((folder / stage).exists, 120, stage)
        building.send_signal(signal.SIGKILL)
    own = cluster_id(folder)
    cluster = Cluster(folder, servers=1, tmpfs=True)
    cluster.down()
    eventually(lambda: traces(own, folder) == [], what="what was about to enter a host finds none and ends")

    assert cluster.up()
    assert cluster.wait_leader() == "s1"
    cluster.down()
    assert traces(own, folder) == []


def test_a_build_that_was_killed_can_be_done_again_without_down(folder: Path) -> None:
    command = [sys.executable, "-m", "kmini", "cluster", "up", "--servers", "3", "--tmpfs", "--dir", str(folder)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as building:
        eventually((folder / "logs" / "s2-server.log").exists, 120, "the second server")
        building.send_signal(signal.SIGKILL)
    with Cluster(folder, servers=1, tmpfs=True) as cluster:
        assert list(cluster.hosts) == ["s1"]
        assert len(group_of(cluster.state, "s1").processes()) == 1
        assert not group_of(cluster.state, "s1").path.with_name("s2").exists()


def test_an_interrupted_build_removes_itself(folder: Path) -> None:
    command = [sys.executable, "-m", "kmini", "cluster", "up", "--servers", "3", "--dir", str(folder)]
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    with subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, preexec_fn=listening
    ) as building:
        eventually((folder / "logs" / "s2-server.log").exists, 120, "the second server of three")
        building.send_signal(signal.SIGINT)
        _, errors = building.communicate(timeout=120)
    assert building.returncode == 130
    assert errors.decode().splitlines()[-1] == "error: interrupted"
    own = cluster_id(folder)
    eventually(lambda: traces(own, folder) == [], what="what was about to enter a host finds none and ends")


def test_a_server_that_does_not_start_is_one_error_and_leaves_nothing(folder: Path) -> None:
    cluster = Cluster(folder, servers=1, server_arguments=["--no-such-flag"])
    with pytest.raises(CommandError, match="server on s1 ended: No such option '--no-such-flag'"):
        cluster.up()
    assert traces(cluster_id(folder), folder) == []


def test_up_on_a_cluster_that_runs_changes_nothing(folder: Path) -> None:
    with Cluster(folder, servers=1) as cluster:
        before = cluster.state
        assert cluster.up() is False
        assert Cluster(folder, servers=1).up() is False
        assert cluster.state == before
        with pytest.raises(CommandError, match="a cluster of 1 servers and 0 nodes runs"):
            Cluster(folder, servers=3).up()
        assert cluster.state == before


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_was_removed_while_the_cluster_ran(folder: Path, again: bool) -> None:
    with Cluster(folder, servers=1) as cluster:
        own = cluster_id(folder)
        while folder.exists():
            shutil.rmtree(folder, ignore_errors=True)  # a server may make a file meanwhile
        if again:
            assert cluster.up()
            assert traces(own, folder / "nothing") == []
            assert cluster_id(folder) != own
        assert cluster.down()
        assert traces(own, folder) == []
        assert not cluster.down()


def test_two_commands_at_once_build_one_cluster(folder: Path) -> None:
    command = [sys.executable, "-m", "kmini", "cluster", "up", "--servers", "1", "--dir", str(folder)]
    both = [subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate(timeout=160)[0].splitlines()[0] for process in both)
    assert said == [f"the cluster in {folder} is ready", f"the cluster in {folder} runs already"]


def test_disks_of_other_servers_are_not_taken(folder: Path) -> None:
    with Cluster(folder, servers=1):
        pass
    with pytest.raises(CommandError, match="holds the data of 1 servers, not 2"):
        Cluster(folder, servers=2).up()


def test_addresses_that_somebody_else_has_by_now_are_not_taken(folder: Path, tmp_path: Path) -> None:
    """The servers on these disks know each other by them."""
    with Cluster(folder, servers=1) as cluster:
        subnet = cluster.state.subnet
    with Cluster(tmp_path / "other", servers=1, tmpfs=True) as other:
        if other.state.subnet == subnet:  # unless other clusters came and went on this machine meanwhile
            with pytest.raises(CommandError, match="which is in use now"):
                cluster.up()


def test_after_a_restart_of_the_machine_only_files_are_left(folder: Path) -> None:
    """The boot id in the file is another: that is all a command can see."""
    with Cluster(folder, servers=1) as cluster:
        path = cluster.files.state
        old = json.loads(path.read_text())
        path.write_text(json.dumps(old | {"boot_id": "another"}))
        with pytest.raises(CommandError, match="only files are left"):
            cluster.leader()
        assert kmini("cluster", "status", "--dir", folder).returncode == 1
        assert cluster.up()
        assert cluster.state.boot_id == old["boot_id"]
        assert cluster.state.subnet == old["subnet"]
        assert cluster.wait_leader() == "s1"


def test_down_finds_what_daemons_mounted_and_whoever_entered(folder: Path) -> None:
    """A mount in the host's folder, and a process that nobody wrote down."""
    with Cluster(folder, servers=1) as cluster:
        own = cluster_id(folder)
        target = cluster.hosts["s1"].disk / "more room"
        target.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "kmini", str(target)], check=True)
        group = group_of(cluster.state, "s1")
        with cluster.popen("s1", ["sleep", "600"]) as stray:
            eventually(lambda: len(group.processes()) == 2, what="the process to be in the host")
            cluster.down()
            assert stray.wait(60) == -signal.SIGKILL
        assert traces(own, folder) == []
        assert not os.path.ismount(target)
