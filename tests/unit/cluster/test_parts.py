"""Subnets, mounts, processes, command lines, cuts: what needs no root."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kmini.cluster import access, enter, processes, report
from kmini.cluster.cluster import Cluster, _is_between
from kmini.cluster.daemons import Files, command_line
from kmini.cluster.namespaces import mounts_under
from kmini.cluster.network import POOLS, choose_subnet
from kmini.cluster.state import OUTSIDE, ClusterState, Cut, HostState, Process, plan_hosts
from kmini.commands.cluster import cluster as command_group
from kmini.errors import CommandError

SUBNET = IPv4Network("10.213.7.0/24")
STATE = ClusterState(
    id="0a1b2c3d",
    boot_id="boot",
    phase="up",
    subnet=str(SUBNET),
    tmpfs=False,
    hosts=plan_hosts(SUBNET, servers=2, nodes=1),
    server_arguments=("--snapshot-every", "0"),
)

networks = st.builds(
    lambda address, length: IPv4Network((address, length), strict=False),
    st.ip_addresses(v=4).map(int),
    st.integers(8, 32),
)
near = st.builds(
    lambda pool, offset, length: IPv4Network((int(pool.network_address) + offset, length), strict=False),
    st.sampled_from(POOLS),
    st.integers(0, 1 << 16),
    st.integers(14, 32),
)


# --- subnets ------------------------------------------------------------------------------------------


@given(st.lists(networks | near, max_size=20))
def test_a_chosen_subnet_overlaps_nothing(taken: list[IPv4Network]) -> None:
    try:
        subnet = choose_subnet(taken)
    except CommandError:
        assert all(any(pool.overlaps(other) for other in taken) for pool in POOLS)
        return
    assert subnet.prefixlen == 24
    assert subnet.is_private
    assert not any(subnet.overlaps(other) for other in taken)


def test_clusters_get_one_after_the_other_and_then_an_error() -> None:
    taken: list[IPv4Network] = []
    for _ in range(3):
        taken.append(choose_subnet(taken))
    assert [str(subnet) for subnet in taken] == ["10.213.0.0/24", "10.213.1.0/24", "10.213.2.0/24"]
    assert str(choose_subnet([IPv4Network("10.0.0.0/8")])) == "172.30.0.0/24"
    with pytest.raises(CommandError, match="no free subnet in 10"):
        choose_subnet(list(POOLS))


# --- mounts -------------------------------------------------------------------------------------------


def test_mounts_are_found_by_folder_the_last_one_first(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"27 1 254:0 / / rw - ext4 /dev/vda rw\n"
        b"40 27 0:40 / /c/hosts/s1 rw - tmpfs kmini rw\n"
        b"41 40 0:41 / /c/hosts/s1/with\\040blank\\134and\\011tab\\040\xc3\xa4 rw - tmpfs kmini rw\n"
        b"42 27 0:42 / /c/hosts-of-others rw - tmpfs kmini rw\n"
    )
    found = mounts_under(Path("/c/hosts"), table=table)
    assert found == [Path("/c/hosts/s1/with blank\\and\ttab ä"), Path("/c/hosts/s1")]


# --- processes ----------------------------------------------------------------------------------------


def this_process() -> Process:
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    return Process(name="test", pid=os.getpid(), start_ticks=int(ticks))


def test_a_process_is_known_by_its_start_too() -> None:
    own = this_process()
    assert processes.alive(own)
    assert not processes.wait_gone(own, timeout_s=0)
    other = msgspec.structs.replace(own, start_ticks=own.start_ticks + 1)
    assert not processes.alive(other)
    assert processes.wait_gone(other, timeout_s=0)
    processes.kill(other)  # it is not us


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ticks = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
    process = Process(name="test", pid=child.pid, start_ticks=int(ticks))
    assert processes.alive(process)
    processes.kill(process)
    assert not processes.alive(process)
    assert child.wait() == -9
    assert child.stdin is not None
    child.stdin.close()
    processes.kill(process)
    processes.terminate(process)


def test_daemons_do_not_see_our_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMINI_DATA_DIR", "/elsewhere")
    monkeypatch.setenv("PATH", "/bin")
    assert "KMINI_DATA_DIR" not in processes.environment()
    assert processes.environment()["PATH"] == "/bin"


def test_who_comes_when_the_host_is_gone_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(Path(enter.__file__)), str(tmp_path / "gone"), "/none", "-", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == enter.FAILED
    assert done.stderr == f"error: {tmp_path / 'gone'}/cgroup.procs: No such file or directory\n"


# --- daemons and links --------------------------------------------------------------------------------


def test_a_servers_command_line() -> None:
    line = command_line(STATE, STATE.host("s2"), Files(Path("/c")))
    assert line[1:] == [
        *("-m", "kmini", "server", "--name", "s2", "--data-dir", "/c/hosts/s2/kmini", "--ca-dir", "/c/pki"),
        *("--advertise-address", "10.213.7.12", "--initial-cluster", "s1=10.213.7.11:2380,s2=10.213.7.12:2380"),
        *("--snapshot-every", "0"),
    ]


def test_an_agents_command_line() -> None:
    line = command_line(STATE, STATE.host("n1"), Files(Path("/c")))
    assert line[1:] == [
        *("-m", "kmini", "agent", "--node-name", "n1", "--data-dir", "/c/hosts/n1/kmini", "--runtime", "fake"),
        *("--server", "https://10.213.7.11:6443,https://10.213.7.12:6443", "--token-file", "/c/agent-token"),
    ]


@pytest.mark.parametrize(
    ("first", "second", "between"),
    [
        (set(), set(), True),
        ({"s1"}, set(), True),
        ({"s2"}, set(), True),
        ({"s3"}, set(), False),
        ({"s1"}, {"s2"}, True),
        ({"s2", "s3"}, {"s1"}, True),
        ({"s1"}, {"s3"}, False),
    ],
)
def test_which_cuts_are_healed(first: set[str], second: set[str], between: bool) -> None:
    assert _is_between(Cut(sender="s1", receiver="s2"), first, second) is between


@given(st.lists(st.sampled_from(["s1", "s2", "n1", OUTSIDE]), unique=True, min_size=1, max_size=3))
def test_without_a_second_side_hosts_are_cut_from_all_other_hosts(first: list[str]) -> None:
    pairs = Cluster._pairs(STATE, first, [])
    others = {host.name for host in STATE.hosts} - set(first)
    assert pairs == {Cut(sender=sender, receiver=receiver) for sender in first for receiver in others}


# --- who leads, and how it is shown -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "leader"),
    [
        ({}, None),
        ({"s1": access.Leadership("", 3)}, None),
        ({"s1": access.Leadership("s1", 3), "s2": access.Leadership("s2", 4)}, "s2"),
        ({"s1": access.Leadership("s1", 3), "s2": access.Leadership("", 4)}, None),
        ({"s1": access.Leadership("", 4), "s2": access.Leadership("s2", 4)}, "s2"),
        ({"s1": CommandError("not there"), "s2": access.Leadership("s1", 4)}, "s1"),
    ],
)
def test_the_newest_term_says_who_leads(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, access.Leadership | Exception], leader: str | None
) -> None:
    def ask(host: HostState, _pki: Path) -> access.Leadership:
        answer = said.get(host.name, CommandError("not there"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(access, "_leadership", ask)
    assert access.leader(STATE, Files(Path("/c"))) == leader


def test_a_report_as_text() -> None:
    host = report.HostReport(
        name="s1",
        role="server",
        address="10.213.7.11",
        condition="dead",
        ready=False,
        leader=True,
        processes=[report.ProcessReport(name="server", pid=7, alive=False)],
        data_dir="/c/hosts/s1/kmini",
    )
    text = report.as_text(
        report.ClusterReport(
            folder="/c",
            id="0a1b2c3d",
            phase="up",
            subnet=str(SUBNET),
            tmpfs=True,
            healthy=False,
            leader="s1",
            hosts=[host],
            cuts=[Cut(sender="s1", receiver=OUTSIDE)],
        )
    )
    assert text.splitlines()[0] == "cluster 0a1b2c3d in /c on 10.213.7.0/24, disks on tmpfs, leader s1"
    assert text.splitlines()[3].split() == ["s1", "leader", "10.213.7.11", "dead", "no", "server", "7", "(gone)"]
    assert text.splitlines()[4] == "cut: s1 -> outside"


# --- the command line ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["partition"], "name one or two hosts"),
        (["partition", "s1", "s2", "s3"], "name one or two hosts"),
        (["partition", "s1", "--from", "s1", "--to", "s2"], "name one or two hosts"),
        (["partition", "--from", "s1"], "--from and --to go together"),
        (["heal", "s1", "s2", "s3"], "at most two hosts"),
        (["kill"], "Missing argument 'HOST'"),
        (["run", "s1"], "Missing argument"),
        (["up", "--servers", "many"], "not a valid integer"),
        (["up", "--timeout", "soon"], "is not a duration"),
    ],
)
def test_bad_usage_names_the_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    from kmini.cli import run

    name, *rest = arguments
    assert run(["cluster", name, "--dir", str(tmp_path), *rest]) == 2
    assert says in capsys.readouterr().err


def test_every_command_has_help_and_a_folder() -> None:
    for name, command in command_group.commands.items():
        assert command.help, name
        assert "--dir" in {flag for parameter in command.params for flag in parameter.opts}, name


def test_who_is_not_root_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CommandError, match="only root can make"):
        Cluster(tmp_path / "c").up()
    assert not (tmp_path / "c").exists()


def test_nothing_is_taken_down_where_nothing_is(tmp_path: Path) -> None:
    assert Cluster(tmp_path / "c").down() is False
    assert not (tmp_path / "c").exists()
    with pytest.raises(CommandError, match="no cluster runs"):
        Cluster(tmp_path / "c").leader()
