"""By which address others reach this node: the one with which it would talk to a server.

It is kept on the node's disk, for a start when no way leads to any server (a cable that is out, a router without
power): pods that are remembered need no server, and the node is the same as before.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from .identity import read_file, write_file

log = logging.getLogger(__name__)

FILE_NAME = "address"


def node_address(hosts: Sequence[str], folder: Path, *, outward: Callable[[], str]) -> str:
    """`hosts`: of the servers, the best first; `folder`: the agent's; `outward`: the address for others when the
    servers are on this machine. Names are looked up, which may take its time. Raises OSError when no way leads to any
    server and none ever did, BadIdentity when the disk fails."""
    path, reason = folder / FILE_NAME, OSError("there is no server")
    for host in hosts:
        try:
            found = _way_to(host)
        except OSError as error:
            reason = error
            continue
        address = outward() if ipaddress.ip_address(found).is_loopback else found
        if address != _remembered(path):
            write_file(path, f"{address}\n".encode())
        return address
    known = _remembered(path)
    if known is None:
        raise reason
    log.warning("no way leads to a server: the node has its last address", extra={"address": known})
    return known


def _way_to(host: str) -> str:
    """The address with which this machine would talk to it. Nothing is sent. Raises OSError."""
    family, kind, protocol, _, where = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(where)
        return str(probe.getsockname()[0])


def _remembered(path: Path) -> str | None:
    """None too for what is no address: it is written anew."""
    raw = read_file(path)
    try:
        return None if raw is None else str(ipaddress.ip_address(raw.decode("ascii").strip()))
    except ValueError:
        log.warning("the node's last address cannot be read", extra={"file": str(path)})
        return None
