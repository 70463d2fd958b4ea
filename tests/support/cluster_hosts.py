"""What tests of `kmini cluster` need: packets between hosts, processes in them, and what a cluster left behind."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from folder_processes import processes_of
from kmini.cluster import Cluster, CommandError
from kmini.cluster.building import check_machine
from kmini.cluster.cgroups import hierarchy
from kmini.cluster.namespaces import mounts_under
from kmini.cluster.network import RUN_DIR

LOST_AFTER_S = 1.0
ANSWERED_WITHIN_S = 30.0
PATIENCE_S = 60.0

#: One ICMP echo, answered by the other kernel: exit code 0 when the answer comes.
PING = """
import os, socket, struct, sys, time
own = os.getpid() & 0xFFFF
packet = struct.pack("!BBHHH", 8, 0, (~(0x0800 + own + 1) - ((0x0800 + own + 1) >> 16)) & 0xFFFF, own, 1)
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
    raw.sendto(packet, (sys.argv[1], 0))
    deadline = time.monotonic() + float(sys.argv[2])
    while (left := deadline - time.monotonic()) > 0:
        raw.settimeout(left)
        try:
            answer = raw.recv(2048)
        except TimeoutError:
            break
        if answer[20] == 0 and struct.unpack("!H", answer[24:26])[0] == own:
            sys.exit(0)
sys.exit(1)
"""

#: Prints each datagram that comes to this port.
HEAR_UDP = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
    heard.bind(("0.0.0.0", int(sys.argv[1])))
    print("listening", flush=True)
    while True:
        print(heard.recv(2048).decode(), flush=True)
"""

#: One datagram.
SAY_UDP = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as said:
    said.sendto(sys.argv[3].encode(), (sys.argv[1], int(sys.argv[2])))
"""

#: Accepts one connection and prints what comes; says how it ended.
HEAR_TCP = """
import socket, sys
with socket.create_server(("0.0.0.0", int(sys.argv[1]))) as server:
    print("listening", flush=True)
    connection, _ = server.accept()
    print("connected", flush=True)
    try:
        while data := connection.recv(2048):
            print(data.decode(), end="", flush=True)
        print("closed", flush=True)
    except OSError as error:
        print("failed", error, flush=True)
"""

#: Connects and sends each line of its stdin, and says so.
SAY_TCP = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    print("connected", flush=True)
    for line in sys.stdin:
        connection.sendall(line.encode())
        print("sent", flush=True)
"""


def missing() -> str:
    """Why no cluster can be made on this machine; empty when one can."""
    try:
        check_machine()
    except CommandError as error:
        return str(error)
    return ""


class Talker:
    """A Python script in a host, its stdout read line by line."""

    def __init__(self, cluster: Cluster, host: str, script: str, *arguments: object) -> None:
        self._process = cluster.popen(
            host,
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._pending = b""
        self.pid = self._process.pid

    def line(self, timeout_s: float = PATIENCE_S) -> str | None:
        """The next line; None when none comes in time, or the script ended."""
        assert self._process.stdout is not None
        while b"\n" not in self._pending:
            if not select.select([self._process.stdout], [], [], timeout_s)[0]:
                return None
            more = os.read(self._process.stdout.fileno(), 4096)
            if not more:
                return None
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """The script alone: what it forked may hold its pipes, and is the host's."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@contextlib.contextmanager
def talking(cluster: Cluster, host: str, script: str, *arguments: object) -> Iterator[Talker]:
    talker = Talker(cluster, host, script, *arguments)
    try:
        yield talker
    finally:
        talker.end()


def ping(cluster: Cluster, host: str, other: str, timeout_s: float = ANSWERED_WITHIN_S) -> bool:
    """Whether a host's ping of another host (or of an address) is answered."""
    hosts = cluster.hosts
    address = hosts[other].address if other in hosts else other
    return cluster.run(host, [sys.executable, "-c", PING, address, str(timeout_s)]).returncode == 0


def lost(cluster: Cluster, host: str, other: str) -> bool:
    """Whether a host's ping of another one is not answered in a while."""
    return not ping(cluster, host, other, LOST_AFTER_S)


def ping_from_outside(address: str, timeout_s: float = ANSWERED_WITHIN_S) -> bool:
    done = subprocess.run([sys.executable, "-c", PING, address, str(timeout_s)], check=False)
    return done.returncode == 0


def lost_from_outside(address: str) -> bool:
    return not ping_from_outside(address, LOST_AFTER_S)


def traces(cluster_id: str, folder: Path) -> Sequence[str]:
    """Everything of a cluster that is left on this machine outside its folder."""
    found = [f"link {path.name}" for path in Path("/sys/class/net").iterdir() if cluster_id in path.name]
    found += [f"cgroup {path}" for path in hierarchy().iterdir() if cluster_id in path.name]
    found += [f"file {path}" for path in RUN_DIR.glob("*") if cluster_id in path.name]
    found += [f"mount {path}" for path in [*mounts_under(folder), *mounts_under(RUN_DIR / cluster_id)]]
    found += [f"process {pid}" for pid in processes_of(folder)]
    return found
