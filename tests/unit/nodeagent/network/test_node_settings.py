"""What the node's kernel is told, and what is said of one that cannot be."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import pytest

from nodeagent.network.host import HostSettings
from nodeagent.network.links import Link, Route
from nodeagent.network.underlay import link_of, still_there

pytestmark = pytest.mark.usefixtures("no_firewall")
FORWARD, BRIDGED = "ipv4/ip_forward", "bridge/bridge-nf-call-iptables"


def settings(folder: Path, **values: str) -> Path:
    for name, value in {FORWARD: values.get("forward"), BRIDGED: values.get("bridged")}.items():
        if value is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(value + "\n", encoding="ascii")
    return folder


@pytest.fixture
def no_firewall(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own is none of a unit test's business."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "iptables").write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
    (folder / "iptables").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def host_settings(folder: Path) -> HostSettings:
    return HostSettings("n1", "10.244.0.0/16", settings=folder)


def ensured(folder: Path) -> bool:
    return asyncio.run(host_settings(folder).ensure())


def test_packets_are_passed_on_and_those_of_the_bridge_shown(tmp_path: Path) -> None:
    folder = settings(tmp_path, forward="0", bridged="0")
    assert ensured(folder)
    assert [(folder / name).read_text(encoding="ascii").strip() for name in (FORWARD, BRIDGED)] == ["1", "1"]


def test_what_is_right_is_not_written(tmp_path: Path) -> None:
    folder = settings(tmp_path, forward="1", bridged="1")
    for name in (FORWARD, BRIDGED):
        os.utime(folder / name, ns=(1, 1))
    assert ensured(folder)
    assert {(folder / name).stat().st_mtime_ns for name in (FORWARD, BRIDGED)} == {1}


def test_a_kernel_without_the_module_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # there is no modprobe that could help
    host = host_settings(settings(tmp_path, forward="1"))
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert not asyncio.run(host.ensure())
    (record,) = caplog.records
    assert "modprobe br_netfilter" in vars(record)["reason"]


def test_the_module_is_loaded_when_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = settings(tmp_path / "proc", forward="1")
    program = tmp_path / "modprobe"
    target = folder / BRIDGED
    program.write_text(f"#!/bin/sh\nmkdir -p {target.parent}; echo 0 > {target}; echo $1 > {tmp_path}/asked\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert ensured(folder)
    assert (tmp_path / "asked").read_text(encoding="ascii") == "br_netfilter\n"


def test_the_link_with_an_address_is_found() -> None:
    assert link_of("127.0.0.1").name == "lo"
    assert link_of("127.0.0.1").mtu > 1500
    assert link_of("203.0.113.77").name == ""


ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
kmini-services\t0000600A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t0002F40A\t020200C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (Route(network="10.96.0.0/16", link="kmini-services"), True),
        (Route(network="10.244.2.0/24", gateway="192.0.2.2"), True),
        (Route(network="10.244.2.0/24", gateway="192.0.2.3"), False),
        (Route(network="10.244.3.0/24", gateway="192.0.2.2"), False),
        (Link(name="lo"), True),
        (Link(name="kmini-none"), False),
    ],
)
@pytest.mark.skipif(sys.byteorder == "big", reason="the table has the machine's order of bytes")
def test_a_glance_shows_what_is_gone(tmp_path: Path, item: Link | Route, expected: bool) -> None:
    table = tmp_path / "route"
    table.write_text(ROUTES, encoding="ascii")
    assert still_there([item], table=table) is expected
