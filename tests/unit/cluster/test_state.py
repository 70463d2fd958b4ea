"""What a cluster's file says, and what is refused."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from ipaddress import IPv4Network
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kmini.cluster import state as states
from kmini.cluster.state import OUTSIDE, ClusterState, Cut, HostState, Process, locked, plan_hosts, read, write
from kmini.errors import CommandError

SUBNET = IPv4Network("10.213.7.0/24")


def some_state(**changes: object) -> ClusterState:
    state = ClusterState(
        id="0a1b2c3d",
        boot_id="boot",
        phase="up",
        subnet=str(SUBNET),
        tmpfs=False,
        hosts=plan_hosts(SUBNET, servers=3, nodes=2),
    )
    return msgspec.structs.replace(state, **changes)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    assert read(path) is None
    host = msgspec.structs.replace(some_state().hosts[0], processes=(Process(name="server", pid=7, start_ticks=9),))
    state = some_state(cuts=(Cut(sender="s1", receiver=OUTSIDE),), server_arguments=("--x",)).with_host(host)
    write(path, some_state())
    write(path, state)
    assert read(path) == state
    assert [entry.name for entry in tmp_path.iterdir()] == ["cluster.json"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a cluster's state"),
        (b"{}", "is not a cluster's state"),
        (b"\xff", "is not a cluster's state"),
        (b"[" * 100_000, "is not a cluster's state"),
        (b'{"format": 1}', "missing required field `id`"),
        (b'{"format": 2, "id": 7}', "has format 2; this kmini knows format 1"),
        (msgspec.json.encode(some_state(id="")), "is not a cluster's state"),
        (msgspec.json.encode(some_state(id="../../..")), "is not a cluster's state"),
        (msgspec.json.encode(some_state(hosts=[HostState(name="../x", role="node", address="")])), r"hosts\[0\].name"),
    ],
)
def test_what_is_no_state(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "cluster.json"
    path.write_bytes(content)
    with pytest.raises(CommandError, match=says):
        read(path)


def test_what_somebody_else_wrote_names_nothing_for_root_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cluster.json"
    write(path, some_state())
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(CommandError, match="belongs to another user"):
        read(path)


def test_a_file_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot read"):
        read(tmp_path)
    with pytest.raises(CommandError, match="cannot write"):
        write(tmp_path / "no" / "cluster.json", some_state())


@given(st.data())
def test_a_damaged_file_is_one_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(msgspec.json.encode(some_state()))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(content)
    with contextlib.suppress(CommandError):
        assert isinstance(read(path), ClusterState)


def test_hosts_and_their_addresses() -> None:
    hosts = {host.name: (host.role, host.address) for host in plan_hosts(SUBNET, servers=3, nodes=2)}
    assert hosts == {
        "s1": ("server", "10.213.7.11"),
        "s2": ("server", "10.213.7.12"),
        "s3": ("server", "10.213.7.13"),
        "n1": ("node", "10.213.7.101"),
        "n2": ("node", "10.213.7.102"),
    }
    assert some_state().address_of(OUTSIDE) == "10.213.7.1"


@given(st.integers(1, states.SERVERS_MAX), st.integers(0, states.NODES_MAX))
def test_no_address_is_given_twice(servers: int, nodes: int) -> None:
    hosts = plan_hosts(SUBNET, servers=servers, nodes=nodes)
    addresses = {host.address for host in hosts} | {some_state().outside_address}
    assert len(addresses) == servers + nodes + 1
    assert len({host.name for host in hosts}) == servers + nodes
    assert addresses <= set(map(str, SUBNET.hosts()))


@pytest.mark.parametrize(("servers", "nodes"), [(0, 0), (10, 0), (-1, 0), (3, 101), (3, -1)])
def test_how_many_there_may_be(servers: int, nodes: int) -> None:
    with pytest.raises(CommandError, match=r"a cluster has \d to \d+"):
        plan_hosts(SUBNET, servers=servers, nodes=nodes)


def test_a_host_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(CommandError, match="no host 'x': the hosts are s1, s2, s3, n1, n2"):
        some_state().host("x")


def test_names_the_kernel_takes() -> None:
    state = some_state(id=states.new_id())
    assert len(state.link_name) <= 15
    assert state.id in state.group_name


def test_one_holds_the_lock_and_others_wait(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", []
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(path):
            held.set()
            release.wait(10)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    with pytest.raises(CommandError, match="another command holds"), locked(path, timeout_s=0.0):
        pass
    release.set()
    with locked(path):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_whose_file_was_removed_is_none(tmp_path: Path) -> None:
    """Who waited for it must not think that he holds what the next one cannot see."""
    path = tmp_path / "lock"
    with locked(path):
        path.unlink()
        with locked(path, timeout_s=0.0):
            assert path.exists()
    with pytest.raises(CommandError, match="cannot write"), locked(tmp_path / "no" / "lock"):
        pass


def test_the_file_is_for_people_too() -> None:
    assert json.loads(msgspec.json.encode(some_state()))["hosts"][0]["name"] == "s1"
