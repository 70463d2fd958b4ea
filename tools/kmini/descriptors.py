"""How many files and connections a server may have open.

A shell gives 1,024, for the sake of programs that use select(). The bounds of a server's ports are higher, and a
replica that cannot open a file of its store has to stop: strangers could make it by connections alone.
"""

from __future__ import annotations

import logging
import resource

ENOUGH = 65_536  # as packaging/systemd gives
NEEDED = 16_384  # all connections and handshakes of the API's port, and the store

log = logging.getLogger("kmini.server")


def take_enough() -> int:
    """As many as the machine lets this process have, at most ENOUGH; returns how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft != resource.RLIM_INFINITY and soft < NEEDED:
        log.warning("open files are few: raise the limit (ulimit -Hn)", extra={"limit": soft, "needed": NEEDED})
    return soft
