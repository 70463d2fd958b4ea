"""Ports for servers of tests: below the range from which the kernel draws ports for outgoing connections.

A port that was free a moment ago and lies inside that range may be taken by any connection before the
server binds it; outside, only another test's server could take it, and a random start makes that unlikely.
"""

from __future__ import annotations

import contextlib
import random
import socket

LOWEST, HIGHEST = 12_000, 32_000


def free_ports(count: int) -> list[int]:
    """Different ports on loopback that nobody listens on now."""
    found: list[int] = []
    candidate = random.randrange(LOWEST, HIGHEST)
    while len(found) < count:
        candidate = candidate + 1 if candidate < HIGHEST else LOWEST
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", candidate))
            found.append(candidate)
    return found


def free_port() -> int:
    return free_ports(1)[0]
