"""The default network's configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodeagent.network.cni import FILE_NAME, conflist, write_conflist


def test_a_bridge_with_addresses_of_the_node_and_host_ports(tmp_path: Path) -> None:
    made = conflist("10.244.3.0/24", leases=tmp_path, mtu=1450)
    bridge, portmap = made["plugins"]
    assert (bridge["type"], bridge["bridge"], bridge["mtu"], bridge["hairpinMode"]) == ("bridge", "kmini0", 1450, True)
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.3.0/24"}]]
    assert bridge["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}]
    assert bridge["ipam"]["dataDir"] == str(tmp_path)
    assert portmap == {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}


def test_ipv6_has_its_own_way_out(tmp_path: Path) -> None:
    assert conflist("fd00::/64", leases=tmp_path)["plugins"][0]["ipam"]["routes"] == [{"dst": "::/0"}]


def test_it_is_written_whole_and_only_when_it_is_new(tmp_path: Path) -> None:
    folder = tmp_path / "cni"
    assert write_conflist(folder, "10.244.3.0/24", leases=tmp_path)
    assert json.loads((folder / FILE_NAME).read_bytes()) == conflist("10.244.3.0/24", leases=tmp_path)
    assert not write_conflist(folder, "10.244.3.0/24", leases=tmp_path)
    assert write_conflist(folder, "10.244.4.0/24", leases=tmp_path)
    assert [each.name for each in folder.iterdir()] == [FILE_NAME]


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"10\.244"):
        write_conflist(tmp_path, "10.244.3.7/24", leases=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_somebody_elses_network_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README").touch()
    assert write_conflist(tmp_path, "10.244.3.0/24", leases=tmp_path / "leases")
    (tmp_path / FILE_NAME).unlink()
    (tmp_path / "20-other.conflist").touch()
    assert not write_conflist(tmp_path, "10.244.3.0/24", leases=tmp_path / "leases")
    assert not (tmp_path / FILE_NAME).exists()
