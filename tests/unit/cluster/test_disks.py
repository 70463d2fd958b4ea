"""Disks that can lose power: only the host's own ever does."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import msgspec
import pytest
from kmini.cluster import building, disks
from kmini.cluster.cgroups import Group
from kmini.cluster.daemons import Files
from kmini.cluster.state import ClusterState, plan_hosts
from kmini.errors import CommandError

SUBNET = IPv4Network("10.213.7.0/24")
STATE = ClusterState(
    id="0a1b2c3d",
    boot_id="boot",
    phase="up",
    subnet=str(SUBNET),
    tmpfs=False,
    images=True,
    hosts=plan_hosts(SUBNET, servers=1, nodes=0),
)


def test_a_disk_that_is_not_mounted_does_not_take_the_machines_own_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("kmini.cluster.disks.fcntl.ioctl", lambda _, number, *more: asked.append(number))
    files = Files(tmp_path)
    files.disk("s1").mkdir(parents=True)
    disks.lose_power(files, "s1")
    assert asked == []


def test_nothing_starts_without_its_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take the empty folder for a disk, and a server would vote as if it had never voted."""
    started: list[str] = []
    monkeypatch.setattr("kmini.cluster.building.processes.start", lambda name, **more: started.append(name))
    files = Files(tmp_path)
    files.disk("s1").mkdir(parents=True)
    with pytest.raises(CommandError, match="power-off s1"):
        building.start_daemon(STATE, STATE.host("s1"), files)
    assert started == []
    plain = msgspec.structs.replace(STATE, images=False)
    monkeypatch.setattr("kmini.cluster.building.group_of", lambda state, host: Group(tmp_path))
    building.start_daemon(plain, plain.host("s1"), files)
    assert started == ["server"]
