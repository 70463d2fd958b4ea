"""Hosts that lose power: what was not synced is gone, the kernel's network and boot id too, and nothing else."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_hosts import lost, missing, ping, traces
from kmini.cluster import Cluster, CommandError
from kmini.cluster.disks import check_programs

WRITE = """
import os, sys
folder = sys.argv[1]
with open(os.path.join(folder, "synced"), "wb") as file:
    file.write(b"x" * 100_000)
    file.flush()
    os.fsync(file.fileno())
entry = os.open(folder, os.O_RDONLY)
os.fsync(entry)
with open(os.path.join(folder, "unsynced"), "wb") as file:
    file.write(b"y" * 100_000)
"""
BOOT_ID = "/proc/sys/kernel/random/boot_id"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := missing():
        pytest.skip(reason)
    try:
        check_programs()
    except CommandError as error:
        pytest.skip(str(error))
    with Cluster(tmp_path_factory.mktemp("power"), servers=3, tmpfs=True, images=True) as cluster:
        yield cluster


def test_what_was_not_synced_is_lost(cluster: Cluster) -> None:
    disk = cluster.hosts["s1"].disk
    assert cluster.run("s1", [sys.executable, "-c", WRITE, str(disk)]).returncode == 0
    assert (disk / "unsynced").stat().st_size == 100_000
    cluster.power_off("s1")
    assert (disk / "synced").read_bytes() == b"x" * 100_000
    assert not (disk / "unsynced").exists() or (disk / "unsynced").stat().st_size == 0
    cluster.start("s1")
    cluster.wait_ready("s1")
    assert cluster.wait_leader()


def test_the_host_has_booted_anew(cluster: Cluster) -> None:
    before = cluster.state.host("s2").boot_id
    assert cluster.run("s2", ["ip", "link", "add", "made", "type", "bridge"]).returncode == 0
    cluster.partition("s2", "s3", one_way=True)
    cluster.power_off("s2")
    assert cluster.state.host("s2").processes == ()
    assert cluster.run("s2", ["ip", "link", "show", "made"]).returncode != 0
    assert lost(cluster, "s2", "s3"), "the cut is the network's, not the host's"
    assert ping(cluster, "s2", "s1")
    cluster.heal()
    assert ping(cluster, "s2", "s3")
    cluster.start("s2")
    cluster.wait_ready("s2")
    state = cluster.state.host("s2")
    assert state.boot_id not in ("", before)
    (server,) = state.processes
    with open(f"/proc/{server.pid}/root{BOOT_ID}", encoding="ascii") as file:
        assert file.read().strip() == state.boot_id
    with open(BOOT_ID, encoding="ascii") as file:
        assert file.read().strip() != state.boot_id


def test_nobody_else_hears_a_word(cluster: Cluster) -> None:
    """Connections are not closed: the others find out by silence."""
    leader = cluster.wait_leader()
    cluster.power_off(leader)
    assert cluster.wait_leader(other_than=leader) != leader
    cluster.start(leader)
    cluster.wait_ready(leader)


def test_a_loss_of_power_that_was_broken_off_is_done_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half way the host has no disk: neither the machine's own may go instead, nor a server begin with an empty one."""
    device, ioctl = os.stat(cluster.files.hosts).st_dev, fcntl.ioctl

    def of_its_own(descriptor: int, *more: Any) -> Any:
        assert os.fstat(descriptor).st_dev != device
        return ioctl(descriptor, *more)

    def broken_off(*_: Any) -> None:
        raise CommandError("broken off")

    monkeypatch.setattr("kmini.cluster.disks.fcntl.ioctl", of_its_own)
    for step in ("kmini.cluster.network._plug_in", "kmini.cluster.disks.mount"):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(step, broken_off)
            with pytest.raises(CommandError, match="broken off"):
                cluster.power_off("s3")
        with pytest.raises(CommandError, match="power-off s3"):
            cluster.start("s3")
    cluster.power_off("s3")
    assert os.path.ismount(cluster.hosts["s3"].disk)
    cluster.start("s3")
    cluster.wait_ready("s3")


def test_disks_without_images_lose_nothing(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> None:
    folder = tmp_path_factory.mktemp("plain")
    with Cluster(folder, servers=1, tmpfs=True) as plain, pytest.raises(CommandError, match="--images"):
        plain.power_off("s1")


def test_images_are_gone_with_the_cluster(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> None:
    folder = tmp_path_factory.mktemp("gone")
    made = Cluster(folder, servers=1, tmpfs=True, images=True)
    with made:
        cluster_id = made.state.id
    assert traces(cluster_id, folder) == []
    made.down(purge=True)
    assert not folder.exists()


def test_images_keep_their_data_without_tmpfs(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> None:
    folder = tmp_path_factory.mktemp("kept")
    first = Cluster(folder, servers=1, images=True)
    with first:
        disk = first.hosts["s1"].disk
        (disk / "mine").write_text("here")
    assert not os.path.exists(disk / "mine"), "it is on the image, which is not mounted"
    with pytest.raises(CommandError, match="as before"):
        Cluster(folder, servers=1).up()
    with Cluster(folder, servers=1, images=True):
        assert (disk / "mine").read_text() == "here"
    first.down(purge=True)
