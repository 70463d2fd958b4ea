"""What is done to a host is done to everything in it, and to nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cluster_hosts import talking
from kmini.cluster import Cluster, CommandError
from kmini_process import eventually

#: Leaves a grandchild in a session of its own, says who it is, and stays.
SCATTER = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setpgid(0, 0)
        print(os.getpid(), flush=True)
        time.sleep(600)
    time.sleep(600)
time.sleep(600)
"""

#: Counts without end.
COUNT = """
import itertools, sys, time
for number in itertools.count():
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    time.sleep(0.01)
"""


def exists(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def server_pid(cluster: Cluster, host: str) -> int:
    (process,) = cluster.state.host(host).processes
    return process.pid


def test_killing_a_host_kills_whoever_ran_from_it(cluster: Cluster) -> None:
    with talking(cluster, "s2", SCATTER) as here, talking(cluster, "s3", SCATTER) as elsewhere:
        gone, stays = int(here.line() or 0), int(elsewhere.line() or 0)
        server = server_pid(cluster, "s2")
        cluster.kill("s2")
        assert not exists(gone)
        assert not exists(server)
        assert exists(stays)
        assert exists(server_pid(cluster, "s3"))
        assert cluster.state.host("s2").processes == ()
        cluster.kill("s3")
        assert not exists(stays)


def test_a_paused_host_can_be_killed_and_started(cluster: Cluster) -> None:
    old = server_pid(cluster, "s1")
    cluster.pause("s1")
    cluster.kill("s1")
    assert not exists(old)
    assert not cluster.paused("s1")
    cluster.start("s1")
    cluster.wait_ready("s1")
    assert server_pid(cluster, "s1") != old


def test_one_process_can_be_killed(cluster: Cluster) -> None:
    with talking(cluster, "s1", SCATTER) as other:
        pid, server = int(other.line() or 0), server_pid(cluster, "s1")
        cluster.kill("s1", process="server")
        assert not exists(server)
        assert exists(pid)
        cluster.kill("s1")
        assert not exists(pid)
    with pytest.raises(CommandError, match="no process 'server' was started on s1: it has nothing"):
        cluster.kill("s1", process="server")


def test_starting_what_runs_starts_nothing(cluster: Cluster) -> None:
    before = server_pid(cluster, "s1")
    cluster.start("s1")
    assert server_pid(cluster, "s1") == before


def test_a_daemon_that_ended_by_itself_is_started_again(cluster: Cluster) -> None:
    before = server_pid(cluster, "s2")
    assert cluster.run("s2", ["kill", "-9", str(before)]).returncode == 0
    eventually(lambda: not exists(before), what="the end of the server")
    with pytest.raises(CommandError, match="server on s2 ended"):
        cluster.wait_ready("s2")
    cluster.start("s2")
    cluster.wait_ready("s2")


def test_a_paused_host_stands_still_and_goes_on_where_it_was(cluster: Cluster) -> None:
    with talking(cluster, "s3", COUNT) as counter:
        assert counter.line() == "0"
        cluster.pause("s3")
        while counter.line(0.5) is not None:
            pass  # what was in the pipe
        assert counter.running()
        assert cluster.paused("s3")
        assert not cluster.paused("s2")
        with pytest.raises(CommandError, match="s3 is paused"):
            cluster.run("s3", ["true"])
        cluster.pause("s3")
        cluster.resume("s3")
        cluster.resume("s3")
        assert counter.line() is not None
    assert cluster.run("s3", ["true"]).returncode == 0


def test_a_daemon_is_in_a_session_of_its_own(cluster: Cluster) -> None:
    """^C in the terminal of whoever started it is not meant for it."""
    pid = server_pid(cluster, "s1")
    assert os.getsid(pid) == pid


def test_a_restart_is_an_end_in_good_order(cluster: Cluster) -> None:
    before = server_pid(cluster, "s3")
    log = cluster.hosts["s3"].log
    seen = log.stat().st_size
    cluster.restart("s3")
    cluster.wait_ready("s3")
    assert server_pid(cluster, "s3") != before
    assert "stopped" in log.read_text()[seen:]


def test_commands_run_inside(cluster: Cluster) -> None:
    host = cluster.hosts["s2"]
    done = cluster.run("s2", ["cat", "/proc/self/cgroup"])
    assert str(host.group.name) in done.stdout
    assert host.address in cluster.run("s2", ["ip", "-4", "address"]).stdout
    assert cluster.run("s2", ["cat"], input="through\n").stdout == "through\n"
    assert cluster.run("s2", ["sh", "-c", "echo wrong >&2; exit 7"]).stderr == "wrong\n"
    assert cluster.run("s2", ["sh", "-c", "exit 7"]).returncode == 7
    missing = cluster.run("s2", ["no-such-command"])
    assert (missing.returncode, missing.stderr) == (125, "error: no-such-command: No such file or directory\n")
    with pytest.raises(CommandError, match="did not end within 0 s"):
        cluster.run("s2", [sys.executable, "-c", COUNT], timeout_s=0.3)
    with pytest.raises(CommandError, match="no host 'n1'"):
        cluster.run("n1", ["true"])
    with pytest.raises(CommandError, match="no command"):
        cluster.run("s1", [])


def test_a_host_knows_an_address_of_its_own(cluster: Cluster) -> None:
    """As a machine with a gateway does: daemons that are told none find it (kmini.addresses.own_address)."""
    shown = cluster.run("s1", ["ip", "route", "get", "192.0.2.1"]).stdout
    assert f"src {cluster.hosts['s1'].address}" in shown


def test_a_host_has_ipv4_of_its_own_and_no_ipv6_on_its_link(cluster: Cluster) -> None:
    shown = cluster.run("s1", ["ip", "-o", "address", "show", "dev", "eth0"]).stdout
    assert "inet " in shown
    assert "inet6" not in shown
