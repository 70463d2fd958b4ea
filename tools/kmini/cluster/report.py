"""How a cluster is: for `kmini cluster status`, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from . import access, building, processes
from .daemons import Files
from .state import ClusterState, Cut, HostState, Role

#: running: its daemon runs; dead: it was started and ended by itself; stopped: nobody started it since it was killed.
HostCondition = Literal["running", "paused", "dead", "stopped"]


class ProcessReport(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    pid: int
    alive: bool


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """`ready` is what the server says of itself, or what the servers say of the node."""

    name: str
    role: Role
    address: str
    condition: HostCondition
    ready: bool
    leader: bool
    processes: Sequence[ProcessReport]
    data_dir: str


class ClusterReport(msgspec.Struct, frozen=True, kw_only=True):
    folder: str
    id: str
    phase: str
    subnet: str
    tmpfs: bool
    healthy: bool
    leader: str | None
    hosts: Sequence[HostReport]
    cuts: Sequence[Cut]


def look(state: ClusterState, files: Files) -> ClusterReport:
    """Asks everybody; takes a few seconds when somebody does not answer. Raises CommandError."""
    conditions = {host.name: _condition(state, host) for host in state.hosts}
    running = [host for host in state.of_role("server") if conditions[host.name] == "running"]
    ready = access.ready_servers(running, files)
    leader = access.leader(state, files) if ready else None
    if state.of_role("node") and ready:
        ready |= access.ready_nodes(state, files)
    hosts = [
        HostReport(
            name=host.name,
            role=host.role,
            address=host.address,
            condition=conditions[host.name],
            ready=host.name in ready and conditions[host.name] == "running",
            leader=host.name == leader,
            processes=[
                ProcessReport(name=process.name, pid=process.pid, alive=processes.alive(process))
                for process in host.processes
            ],
            data_dir=str(files.data_dir(host.name)),
        )
        for host in state.hosts
    ]
    return ClusterReport(
        folder=str(files.folder),
        id=state.id,
        phase=state.phase,
        subnet=state.subnet,
        tmpfs=state.tmpfs,
        healthy=state.phase == "up" and leader is not None and not state.cuts and all(host.ready for host in hosts),
        leader=leader,
        hosts=hosts,
        cuts=state.cuts,
    )


def _condition(state: ClusterState, host: HostState) -> HostCondition:
    if building.group_of(state, host.name).frozen():
        return "paused"
    if not host.processes:
        return "stopped"
    return "running" if all(map(processes.alive, host.processes)) else "dead"


def as_json(report: ClusterReport) -> str:
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def as_text(report: ClusterReport) -> str:
    disks = ", disks on tmpfs" if report.tmpfs else ""
    lines = [
        f"cluster {report.id} in {report.folder} on {report.subnet}{disks}, leader {report.leader or 'unknown'}",
        "",
        f"{'HOST':<6} {'ROLE':<8} {'ADDRESS':<16} {'STATE':<10} {'READY':<6} PROCESSES",
    ]
    for host in report.hosts:
        shown = ", ".join(f"{each.name} {each.pid}{'' if each.alive else ' (gone)'}" for each in host.processes)
        role = "leader" if host.leader else host.role
        lines.append(
            f"{host.name:<6} {role:<8} {host.address:<16} {host.condition:<10} "
            f"{'yes' if host.ready else 'no':<6} {shown or '-'}"
        )
    lines += [f"cut: {cut.sender} -> {cut.receiver}" for cut in report.cuts]
    return "\n".join(lines)
