"""Until hosts are ready: by what servers say of themselves and of nodes, with a word now and then, and a bound."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from ..errors import CommandError, NotReady
from ..supervise import last_error
from . import access, processes
from .daemons import Files
from .state import ClusterState, HostState, read

POLL_S = 0.1
TELL_AFTER_S = 1.0
TELL_EVERY_S = 5.0


def until_ready(
    state: ClusterState, hosts: Sequence[HostState], files: Files, *, deadline: float, say: Callable[[str], None]
) -> None:
    """`deadline` by time.monotonic. Raises NotReady, CommandError when a daemon ended by itself."""
    started = told = time.monotonic()
    missing = {host.name for host in hosts}
    while missing:
        state = read(files.state) or state  # somebody else may have started or killed a host meanwhile
        chosen = [host for host in state.hosts if host.name in missing]
        _check_alive(chosen, files)
        ready = missing & _ready(state, chosen, files)
        missing -= ready
        now = time.monotonic()
        for name in sorted(ready):
            say(f"{name} is ready" + (f" ({now - started:.1f} s)" if now - started > TELL_AFTER_S else ""))
        if missing and now > deadline:
            raise NotReady(f"{', '.join(sorted(missing))} not ready in time: the logs are in {files.logs}")
        if missing and now - told > TELL_EVERY_S:
            told = now
            say(f"waiting for {', '.join(sorted(missing))} ({now - started:.0f} s)")
        time.sleep(POLL_S if missing else 0)


def until_leader(state: ClusterState, files: Files, *, deadline: float, other_than: str | None) -> str:
    """The first server that is found to lead and is not `other_than`. Raises NotReady."""
    while True:
        found = access.leader(state, files)
        if found is not None and found != other_than:
            return found
        if time.monotonic() > deadline:
            besides = f" besides {other_than}" if other_than else ""
            raise NotReady(f"no server{besides} leads in time: the logs are in {files.logs}")
        time.sleep(POLL_S)


def _ready(state: ClusterState, hosts: Sequence[HostState], files: Files) -> frozenset[str]:
    servers = [host for host in hosts if host.role == "server"]
    ready = access.ready_servers(servers, files) if servers else frozenset()
    if any(host.role == "node" for host in hosts):
        ready |= access.ready_nodes(state, files)
    return ready


def _check_alive(hosts: Iterable[HostState], files: Files) -> None:
    for host in hosts:
        for process in host.processes:
            if not processes.alive(process):
                said = last_error(files.log(host.name, process.name), 0)
                raise CommandError(f"{process.name} on {host.name} ended: {said}")
