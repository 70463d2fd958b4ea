"""What can be seen of the node's own links and routes without a netlink library: which link has an address, how long
its packets may be, and whether routes of ours are still there. For the network namespace of this process.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from array import array
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

from .links import Item, Link, Route

_SIOCGIFCONF, _SIOCGIFMTU = 0x8912, 0x8921  # netdevice(7)
_ENTRY_BYTES = 40
_ENTRIES_MAX = 1024
_ROUTES = Path("/proc/self/net/route")


class Underlay(NamedTuple):
    """The link that has an address. `name` is "" when none has."""

    name: str
    mtu: int


def link_of(address: str) -> Underlay:
    """Raises OSError."""
    entries = array("B", bytes(_ENTRY_BYTES * _ENTRIES_MAX))
    where, _ = entries.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        answer = fcntl.ioctl(asking, _SIOCGIFCONF, struct.pack("iL", len(entries), where))
        used = struct.unpack_from("i", answer)[0]
        for start in range(0, used, _ENTRY_BYTES):
            entry = entries[start : start + _ENTRY_BYTES].tobytes()
            if socket.inet_ntoa(entry[20:24]) == address:
                name = entry[:16].partition(b"\0")[0].partition(b":")[0]
                told = fcntl.ioctl(asking, _SIOCGIFMTU, struct.pack("16s24x", name))
                return Underlay(name.decode(), struct.unpack_from("16xi", told)[0])
    return Underlay("", 0)


def still_there(items: Iterable[Item], *, table: Path = _ROUTES) -> bool:
    """Whether our links and routes are, as far as this shows. Raises OSError."""
    links = {name for _, name in socket.if_nameindex()}
    routes = set(_routes(table.read_text(encoding="ascii")))
    for item in items:
        if isinstance(item, Link) and item.name not in links:
            return False
        if isinstance(item, Route):
            gateway = IPv4Address(item.gateway or 0)
            if (IPv4Network(item.network), gateway) not in routes:
                return False
    return True


def _routes(text: str) -> Iterable[tuple[IPv4Network, IPv4Address]]:
    """Numbers are hexadecimal, bytes in the machine's order."""
    for line in text.splitlines()[1:]:
        _, network, gateway, _, _, _, _, mask, *_ = line.split()
        yield IPv4Network(f"{_number(network)}/{_number(mask)}"), _number(gateway)


def _number(text: str) -> IPv4Address:
    return IPv4Address(struct.pack("=L", int(text, 16)))
