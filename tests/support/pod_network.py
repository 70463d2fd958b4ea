"""A node with pods and a client outside, each a network namespace: what a service proxy is tried on. Needs root.

    outside (192.0.2.2) ── node (192.0.2.1, bridge 10.244.0.1) ── pods 10.244.0.2, .3, ...

Sockets are made inside a namespace and used from here: no process runs in one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_MTU_DISCOVER, _NEVER_CUT = 10, 2  # ip(7): IP_MTU_DISCOVER, IP_PMTUDISC_DO
_ECHO = 8
_numbers = count()
PATIENCE_S = 20.0
PORT = 8080
NODE, OUTSIDE = "192.0.2.1", "192.0.2.2"
GATEWAY = "10.244.0.1"  # the node, as its pods see it


def missing() -> str:
    """Why there can be no such network here; "" when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "nft", "nsenter"):
        if shutil.which(program) is None:
            return f"packet rules need {program}"
    made = subprocess.run(["unshare", "--net", "nft", "list", "ruleset"], capture_output=True, text=True, check=False)
    return f"packet rules cannot be made here: {made.stderr.strip()}" if made.returncode else ""


class Network:
    """`pods`: addresses. Servers answer each connection with their address and close it when the client does."""

    def __init__(self, pods: int) -> None:
        self.name = f"km{os.getpid()}-{next(_numbers)}"
        self.pods = [f"10.244.0.{number}" for number in range(2, 2 + pods)]
        self.patience_s = PATIENCE_S
        self._closing: list[socket.socket] = []

    @property
    def prefix(self) -> tuple[str, ...]:
        """Runs a command on the node."""
        return ("nsenter", f"--net=/run/netns/{self.name}-node")

    def place(self, address: str) -> str:
        named = {NODE: "node", GATEWAY: "node", OUTSIDE: "outside"}
        return f"{self.name}-{named.get(address) or 'p' + address.rpartition('.')[2]}"

    def make(self) -> None:
        for address in (NODE, OUTSIDE, *self.pods):
            _ip(f"netns add {self.place(address)}", f"-n {self.place(address)} link set lo up")
        node, outside = self.place(NODE), self.place(OUTSIDE)
        _ip(
            f"-n {node} link add br0 type bridge",
            f"-n {node} addr add {GATEWAY}/24 dev br0",
            f"-n {node} link set br0 up",
            f"-n {node} link add eth0 type veth peer name eth0 netns {outside}",
            f"-n {node} addr add {NODE}/24 dev eth0",
            f"-n {outside} addr add {OUTSIDE}/24 dev eth0",
            f"-n {node} link set eth0 up",
            f"-n {outside} link set eth0 up",
            f"-n {outside} route add default via {NODE}",
            f"-n {node} route add default via {OUTSIDE}",
        )
        for address in self.pods:
            pod, link = self.place(address), "v" + address.rpartition(".")[2]
            _ip(
                f"-n {node} link add {link} type veth peer name eth0 netns {pod}",
                f"-n {node} link set {link} master br0",
                f"-n {node} link set {link} type bridge_slave hairpin on",
                f"-n {node} link set {link} up",
                f"-n {pod} addr add {address}/24 dev eth0",
                f"-n {pod} link set eth0 up",
                f"-n {pod} route add default via {GATEWAY}",
            )
        with self.inside(NODE):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
            with contextlib.suppress(FileNotFoundError):  # br_netfilter is not there: pods then ask pods directly
                Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text("1", encoding="ascii")

    def remove(self) -> None:
        for each in self._closing:
            each.close()
        for address in (NODE, OUTSIDE, *self.pods):
            subprocess.run(["ip", "netns", "del", self.place(address)], check=False, capture_output=True)

    @contextlib.contextmanager
    def inside(self, address: str) -> Iterator[None]:
        """This thread is there meanwhile."""
        with inside(f"/run/netns/{self.place(address)}"):
            yield

    # --- those who answer ---------------------------------------------------------------------------------

    def serve(self, address: str) -> None:
        """TCP and UDP: an answer is `<own address> <client's address>`."""
        with self.inside(address):
            tcp = socket.create_server((address, PORT), backlog=128)
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind((address, PORT))
        self._closing += [tcp, udp]
        threading.Thread(target=_answer_tcp, args=(tcp, address), daemon=True).start()
        threading.Thread(target=_answer_udp, args=(udp, address), daemon=True).start()

    # --- those who ask ------------------------------------------------------------------------------------

    def connect(self, source: str, to: tuple[str, int]) -> socket.socket:
        with self.inside(source):
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(self.patience_s)
        try:
            connection.connect(to)
        except BaseException:
            connection.close()
            raise
        return connection

    def ask(self, source: str, to: tuple[str, int]) -> list[str]:
        """Who answered, and whom he saw."""
        with self.connect(source, to) as connection:
            return say(connection)

    def datagram(self, source: str) -> socket.socket:
        with self.inside(source):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(PATIENCE_S)
        return made


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread is in the network namespace meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as before, open(namespace, "rb") as there:
        assert libc.setns(there.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(before.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


def reaches(address: str, *, size: int = 8, source: str = "", within_s: float = 20.0) -> bool:
    """Whether an ICMP echo of so many bytes comes back from there whole: no packet may be cut into pieces."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as asking:
        asking.setsockopt(socket.IPPROTO_IP, _MTU_DISCOVER, _NEVER_CUT)
        asking.bind((source, 0))
        asking.settimeout(within_s)
        body = os.urandom(size)
        head = struct.pack("!BBHHH", _ECHO, 0, 0, os.getpid() & 0xFFFF, 1)
        checksum = struct.pack("!H", _checksum(head + body))
        try:
            asking.sendto(head[:2] + checksum + head[4:] + body, (address, 0))
            while True:
                answer, (by, _) = asking.recvfrom(65_535)
                if by == address and answer.endswith(body) and answer[20] == 0:
                    return True
        except OSError:  # too long, no way, no answer
            return False


def _checksum(data: bytes) -> int:
    words: tuple[int, ...] = struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2])
    total = sum(words) + (data[-1] << 8 if len(data) % 2 else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def say(connection: socket.socket) -> list[str]:
    connection.sendall(b"?")
    return connection.recv(100).decode().split()


def _answer_tcp(listening: socket.socket, own: str) -> None:
    with contextlib.suppress(OSError):  # closed
        while True:
            connection, (client, _) = listening.accept()
            threading.Thread(target=_talk, args=(connection, f"{own} {client}".encode()), daemon=True).start()


def _talk(connection: socket.socket, answer: bytes) -> None:
    with connection, contextlib.suppress(OSError):
        while connection.recv(1):
            connection.sendall(answer)


def _answer_udp(sock: socket.socket, own: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            _, client = sock.recvfrom(100)
            sock.sendto(f"{own} {client[0]}".encode(), client)


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
