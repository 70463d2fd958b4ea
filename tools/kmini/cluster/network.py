"""Hosts on one bridge: made, cut and healed through netlink.

Each host is a network namespace with one link, `eth0`. The other ends hang on a bridge in a namespace of the cluster's
own, the switch. One pair of links leads from there to the root namespace, which is not changed otherwise: one link, one
address, and the route that comes with it. Hosts have it as their gateway, so that they know an address of their own as
machines do; further out they get only where the root namespace forwards.

A cut is one direction between two places: the sender gets a permanent neighbour entry that gives the receiver's address
to a MAC that nobody has. The bridge floods such frames and everybody drops them: lost without a word, for connections
that exist as for new ones, for routes and tunnels that lead over that address too, while the other direction goes on
(a host answers ARP to whoever asked, not by its table). Healing removes the entry and the next packet asks anew. It is
one netlink message and needs no module and no tool. Filters would: nftables and tc are not built into every sandbox's
kernel, and what is tested in the hosts makes and flushes filters itself. What a cut does not lose: broadcasts, and
IPv6, which is off on `eth0`.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ..errors import CommandError
from . import namespaces
from .state import OUTSIDE, ClusterState, HostState, link_name

Result = TypeVar("Result")

RUN_DIR = Path("/run/kmini/cluster")
SWITCH = "switch"
FOLDER = "folder"
BRIDGE = "bridge"
HOST_LINK = "eth0"
DEAD_MAC = "02:00:00:00:de:ad"  # of the range for local use, and no link of ours has it
PREFIX_LENGTH = 24
ALONE_TIMEOUT_S = 60.0
ALONE_POLL_S = 0.02
#: Where subnets come from, away from Kubernetes' usual ranges for pods and Services and from Docker's.
POOLS = tuple(map(IPv4Network, ("10.213.0.0/16", "172.30.0.0/16", "192.168.128.0/17")))


def namespace_path(state: ClusterState, place: str) -> Path:
    """The namespace of a host, or of the switch."""
    return RUN_DIR / state.id / place


# --- subnets ------------------------------------------------------------------------------------------


def choose_subnet(taken: list[IPv4Network]) -> IPv4Network:
    """The first /24 of the pools that overlaps nothing of `taken`. Raises CommandError when there is none."""
    for pool in POOLS:
        for subnet in pool.subnets(new_prefix=PREFIX_LENGTH):
            if not any(subnet.overlaps(other) for other in taken):
                return subnet
    raise CommandError(f"no free subnet in {', '.join(map(str, POOLS))}: this machine has routes to all of them")


def networks_in_use() -> list[IPv4Network]:
    """What the root namespace has a route to, but for the default route. Raises OSError, CommandError."""
    found = []
    with _netlink() as link:
        for route in link.get_routes(family=2):
            length, target = route["dst_len"], route.get_attr("RTA_DST")
            if length and target:
                found.append(IPv4Network(f"{target}/{length}", strict=False))
    return found


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold what all clusters of this network namespace share: from the choice of a subnet to the route that shows that
    it is taken, and while empty folders are removed.

    An abstract socket's name goes with whoever holds it, and leaves no file. Raises CommandError when another cluster
    has it for too long.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as holder:
        deadline = time.monotonic() + ALONE_TIMEOUT_S
        while True:
            try:
                holder.bind("\0kmini-cluster")
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                if time.monotonic() > deadline:
                    raise CommandError("another cluster is being built or removed all the time") from error
                time.sleep(ALONE_POLL_S)
        yield


# --- building and removing ----------------------------------------------------------------------------


def build(state: ClusterState, folder: Path) -> None:
    """Namespaces, bridge and links. Nothing of it may be there. Raises OSError, CommandError.

    `folder` is the cluster's, noted here for when somebody removes it while the cluster runs.
    """
    places = [SWITCH, *(host.name for host in state.hosts)]
    (RUN_DIR / state.id).mkdir(parents=True, exist_ok=True)
    (RUN_DIR / state.id / FOLDER).write_bytes(os.fsencode(folder))
    for place in places:
        namespaces.create(namespace_path(state, place))
    _in_place(state, SWITCH, lambda link: _build_switch(link, state))
    for host in state.hosts:
        _in_place(state, host.name, partial(_build_host, host=host, gateway=state.outside_address))
    _build_outside(state)


def clusters_of(folder: Path) -> list[str]:
    """Ids of clusters that were built from this folder, whatever is in it now. Raises OSError."""
    wanted = os.fsencode(folder)
    return [note.parent.name for note in RUN_DIR.glob(f"*/{FOLDER}") if note.read_bytes() == wanted]


def remove(cluster_id: str) -> None:
    """All of it, also what is half built, and whatever else was mounted there. Idempotent. Raises OSError."""
    with _netlink() as link:
        for index in link.link_lookup(ifname=link_name(cluster_id)):
            link.link("del", index=index)
    folder = RUN_DIR / cluster_id
    for mount in namespaces.mounts_under(folder):
        namespaces.unmount(mount)
    for path in folder.iterdir() if folder.is_dir() else ():
        namespaces.remove(path)
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()
    for parent in (RUN_DIR, RUN_DIR.parent):
        with contextlib.suppress(OSError):  # others are in it, or it is gone
            parent.rmdir()


def exists(state: ClusterState) -> bool:
    """Whether every namespace is there."""
    return all(namespace_path(state, place).exists() for place in (SWITCH, *(host.name for host in state.hosts)))


def _build_switch(link: Any, state: ClusterState) -> None:
    link.link("add", ifname=BRIDGE, kind="bridge", br_stp_state=0, br_forward_delay=0)
    bridge = _index(link, BRIDGE)
    link.link("set", index=bridge, state="up")
    for host in state.hosts:
        _plug_in(link, state, host.name)
    with _opened(Path("/proc/self/ns/net")) as root:
        link.link("add", ifname=OUTSIDE, kind="veth", peer={"ifname": state.link_name, "net_ns_fd": root})
    link.link("set", index=_index(link, OUTSIDE), master=bridge, state="up")


def _plug_in(link: Any, state: ClusterState, host: str) -> None:
    with _opened(namespace_path(state, host)) as namespace:
        link.link("add", ifname=host, kind="veth", peer={"ifname": HOST_LINK, "net_ns_fd": namespace})
    link.link("set", index=_index(link, host), master=_index(link, BRIDGE), state="up")


def rebuild_host(state: ClusterState, host: HostState) -> None:
    """A namespace in place of its old one, with the cuts that it has, and nothing else of what was there, also when
    somebody was interrupted in here. No process may be in it. Raises OSError, CommandError."""
    path = namespace_path(state, host.name)
    _in_place(state, SWITCH, lambda link: _unplug(link, host.name))
    namespaces.remove(path)
    namespaces.create(path)
    _in_place(state, SWITCH, lambda link: _plug_in(link, state, host.name))
    _in_place(state, host.name, partial(_build_host, host=host, gateway=state.outside_address))
    for each in state.cuts:
        if each.sender == host.name:
            cut(state, sender=each.sender, receiver=each.receiver)


def _unplug(link: Any, host: str) -> None:
    for index in link.link_lookup(ifname=host):
        link.link("del", index=index)


def _build_host(link: Any, host: HostState, *, gateway: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        Path(f"/proc/sys/net/ipv6/conf/{HOST_LINK}/disable_ipv6").write_text("1")
    link.link("set", index=_index(link, "lo"), state="up")
    _give_address(link, HOST_LINK, host.address)
    link.route("add", dst="default", gateway=gateway)


def _build_outside(state: ClusterState) -> None:
    with _netlink() as link:
        _give_address(link, state.link_name, state.outside_address)


def _give_address(link: Any, name: str, address: str) -> None:
    index = _index(link, name)
    link.addr("add", index=index, address=str(ipaddress.IPv4Address(address)), prefixlen=PREFIX_LENGTH)
    link.link("set", index=index, state="up")


# --- cuts ---------------------------------------------------------------------------------------------


def cut(state: ClusterState, *, sender: str, receiver: str) -> None:
    """From now on nothing that `sender` sends reaches `receiver`. Raises OSError, CommandError."""
    address = state.address_of(receiver)

    def work(link: Any) -> None:
        link.neigh("replace", dst=address, lladdr=DEAD_MAC, ifindex=_link_of(link, state, sender), state="permanent")

    _in_place(state, sender, work)


def mend(state: ClusterState, *, sender: str, receiver: str) -> None:
    """The opposite. No error when there was no cut. Raises OSError, CommandError."""
    address = state.address_of(receiver)

    def work(link: Any) -> None:
        try:
            link.neigh("del", dst=address, ifindex=_link_of(link, state, sender))
        except NetlinkError as error:
            if error.code != errno.ENOENT:
                raise

    _in_place(state, sender, work)


def _link_of(link: Any, state: ClusterState, place: str) -> int:
    return _index(link, state.link_name if place == OUTSIDE else HOST_LINK)


# --- netlink ------------------------------------------------------------------------------------------


def _in_place(state: ClusterState, place: str, work: Callable[[Any], Result]) -> Result:
    """`work` with a netlink socket of the place's namespace."""

    def call() -> Result:
        with _netlink() as link:
            return work(link)

    return call() if place == OUTSIDE else namespaces.inside(namespace_path(state, place), call)


@contextlib.contextmanager
def _netlink() -> Iterator[Any]:
    """Raises CommandError with the kernel's word."""
    try:
        with IPRoute() as link:
            yield link
    except NetlinkError as error:
        raise CommandError(f"the kernel refused a change of the network: {os.strerror(error.code)}") from error


def _index(link: Any, name: str) -> int:
    for index in link.link_lookup(ifname=name):
        return int(index)
    raise CommandError(f"the link {name} is not there: has somebody removed it?")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
