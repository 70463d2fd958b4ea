"""Ports for servers of tests: below the range from which the kernel draws ports for outgoing connections.

A port that was free a moment ago and lies inside that range may be taken by any connection before the
server binds it; outside, only another test's server could take it. No port is given twice in a process, before
all were, and a random start keeps processes apart.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket

LOWEST, HIGHEST = 12_000, 32_000
_FIRST = random.randrange(LOWEST, HIGHEST)
_candidates = itertools.cycle((*range(_FIRST, HIGHEST), *range(LOWEST, _FIRST)))


def free_ports(count: int) -> list[int]:
    """Different ports on loopback that nobody listens on now."""
    found: list[int] = []
    while len(found) < count:
        candidate = next(_candidates)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", candidate))
            found.append(candidate)
    return found


def free_port() -> int:
    return free_ports(1)[0]
