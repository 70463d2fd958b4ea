"""What a cluster is made of on this machine: put up, looked at, and removed by its state alone.

Everything that is made outside the cluster's folder has the cluster's id in its name and is known before it is made, so
that `remove` is right after anything: a build that was killed half way, a reboot, or a second call.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from ipaddress import IPv4Network

import msgspec

from nodeagent.errors import AgentError
from nodeagent.runtime import cgroups as controllers
from nodeagent.runtime.containerd_config import check_socket, find_programs

from ..errors import CommandError, NotReady
from . import access, cgroups, disks, namespaces, network, processes
from .cgroups import Group
from .daemons import DAEMONS, Files, command_line
from .state import ClusterState, HostState, Runtime, boot_id, group_name, new_id, plan_hosts, write

POLL_S = 0.1


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    servers: int
    nodes: int
    tmpfs: bool
    images: bool = False
    runtime: Runtime = "containerd"
    server_arguments: tuple[str, ...] = ()
    node_arguments: tuple[str, ...] = ()


# --- may it be, and is it -----------------------------------------------------------------------------


def check_root() -> None:
    """Raises CommandError."""
    if os.geteuid() != 0:
        raise CommandError("hosts are network namespaces and cgroups, which only root can make: run this as root")


def check_machine() -> None:
    """Whether hosts can be made here. Raises CommandError saying what is missing."""
    check_root()
    try:
        namespaces.allowed()
    except OSError as error:
        raise CommandError(f"this machine lets nobody make a network namespace ({error.strerror})") from error
    top = cgroups.hierarchy()
    if not os.access(top, os.W_OK):
        raise CommandError(f"{top} is mounted read-only: hosts need a cgroup each")


def check_containers(wish: Wish, files: Files) -> None:
    """Whether nodes can run what they are to run. Raises CommandError saying what is missing."""
    if not wish.nodes or wish.runtime != "containerd":
        return
    try:
        find_programs()
        check_socket(files.containerd(f"n{wish.nodes}").socket)
    except AgentError as error:
        raise CommandError(f"{error}; or use nodes that only pretend: --runtime fake") from error


def runs(state: ClusterState) -> bool:
    """Whether it was built to the end, since the machine started, and its namespaces are there."""
    return state.phase == "up" and state.boot_id == boot_id() and network.exists(state)


def check_same(state: ClusterState, wish: Wish, files: Files) -> None:
    """Raises CommandError when what runs is not what is asked for."""
    servers, nodes = len(state.of_role("server")), len(state.of_role("node"))
    if (servers, nodes) != (wish.servers, wish.nodes):
        raise CommandError(
            f"a cluster of {servers} servers and {nodes} nodes runs in {files.folder} already: "
            "take it down first, or use another folder"
        )


def group_of(state: ClusterState, host: str) -> Group:
    return Group(cgroups.hierarchy() / state.group_name / host)


# --- building -----------------------------------------------------------------------------------------


def build(known: ClusterState | None, wish: Wish, files: Files) -> ClusterState:
    """Keys, network, cgroups and disks; no daemon yet. `known` is what was there before and is removed. Raises
    CommandError.

    A cluster that was down keeps its addresses, because its servers know each other by them.
    """
    try:
        with network.alone():
            state = _planned(known, wish, files)
            write(files.state, state)
            network.build(state, files.folder)
        access.prepare_keys(state, files)
        disks.prepare(files, tmpfs=state.tmpfs, images=state.images)
        for host in state.hosts:
            group_of(state, host.name).create()
            disks.make(files, host.name, tmpfs=state.tmpfs, images=state.images)
    except OSError as error:
        raise CommandError(f"cannot build the cluster: {error.filename or ''}: {error.strerror}") from error
    return state


def _planned(known: ClusterState | None, wish: Wish, files: Files) -> ClusterState:
    in_use = network.networks_in_use()
    kept = known is not None and not known.tmpfs and any(_has_data(files, host.name) for host in known.hosts)
    if known is not None and kept:
        subnet = IPv4Network(known.subnet)
        if any(subnet.overlaps(other) for other in in_use):
            raise CommandError(f"the servers in {files.folder} have addresses of {subnet}, which is in use now")
        if len(known.of_role("server")) != wish.servers:
            raise CommandError(
                f"{files.folder} holds the data of {len(known.of_role('server'))} servers, not {wish.servers}: "
                "`kmini cluster down --purge` removes it"
            )
        if known.images != wish.images:
            has = "images" if known.images else "no images"
            raise CommandError(f"the disks in {files.folder} are {has}: start it as before, or remove it with its data")
    else:
        subnet = network.choose_subnet(in_use)
    return ClusterState(
        id=known.id if known is not None else new_id(),
        boot_id=boot_id(),
        phase="building",
        subnet=str(subnet),
        tmpfs=wish.tmpfs,
        images=wish.images,
        runtime=wish.runtime,
        hosts=plan_hosts(subnet, servers=wish.servers, nodes=wish.nodes),
        server_arguments=wish.server_arguments,
        node_arguments=wish.node_arguments,
    )


def _has_data(files: Files, host: str) -> bool:
    return files.data_dir(host).exists() or files.image(host).exists()


def power_off(state: ClusterState, name: str, files: Files) -> HostState:
    """The plug is pulled: what was not synced is lost, the kernel too, with its network and its boot id. The host is
    ready to be started anew. Raises OSError, CommandError."""
    if not state.images:
        raise CommandError("the disks of this cluster lose nothing: `kmini cluster up --images` has some that do")
    disks.lose_power(files, name)
    group_of(state, name).kill()
    disks.unmount(files, name)
    network.rebuild_host(state, state.host(name))
    disks.mount(files, name)
    host = msgspec.structs.replace(state.host(name), processes=(), boot_id=str(uuid.uuid4()))
    files.boot.mkdir(exist_ok=True, mode=0o700)
    files.boot_id(name).write_text(f"{host.boot_id}\n", encoding="ascii")
    return host


def start_daemon(state: ClusterState, host: HostState, files: Files) -> HostState:
    """The host with its daemon started. Raises CommandError."""
    name = DAEMONS[host.role]
    if state.images and not disks.is_mounted(files, host.name):
        raise CommandError(
            f"the disk of {host.name} is not mounted, so that all its data would be missing: "
            f"`kmini cluster power-off {host.name}` ends what was broken off, then start it"
        )
    process = processes.start(
        name,
        leaf=group_of(state, host.name).leaf,
        namespace=network.namespace_path(state, host.name),
        boot_id=files.boot_id(host.name) if host.boot_id and host.role == "server" else None,
        log=files.log(host.name, name),
        argv=command_line(state, host, files),
    )
    return msgspec.structs.replace(host, processes=(process,))


def take_agent_token(state: ClusterState, files: Files, deadline: float) -> None:
    """Keep what nodes join with: a server writes it a moment after it is ready. Raises NotReady, CommandError."""
    from apiserver.auth.pki import write_file

    while True:
        for server in state.of_role("server"):
            with contextlib.suppress(FileNotFoundError):
                write_file(files.agent_token, (files.data_dir(server.name) / "token").read_bytes(), secret=True)
                return
        if time.monotonic() > deadline:
            raise NotReady(f"no server wrote the token that nodes join with: see {files.logs}")
        time.sleep(POLL_S)


# --- removing -----------------------------------------------------------------------------------------


def ids(known: ClusterState | None, files: Files) -> list[str]:
    """Of what may be there: by the state, or, when somebody removed that, by what was noted outside the folder."""
    return [known.id] if known is not None else network.clusters_of(files.folder)


def remove(cluster_id: str, files: Files) -> None:
    """Processes, containers, cgroups, links, namespaces, mounts: whatever is there. Raises CommandError."""
    check_root()
    try:
        Group(cgroups.hierarchy() / group_name(cluster_id)).remove()
        if not controllers.remove(f"/{group_name(cluster_id)}"):
            raise CommandError(f"control groups /{group_name(cluster_id)} are still in use")
        with network.alone():
            network.remove(cluster_id)
        for mount in (*namespaces.mounts_under(files.hosts), *namespaces.mounts_under(files.images)):
            namespaces.unmount(mount)
    except OSError as error:
        raise CommandError(f"cannot remove the cluster: {error.filename or ''}: {error.strerror}") from error


def purge(files: Files) -> None:
    """Remove what a cluster keeps in its folder, and the folder when nothing else is in it. Raises CommandError."""
    try:
        for folder in (files.hosts, files.images, files.boot, files.pki, files.logs):
            if folder.is_dir():
                shutil.rmtree(folder)
        for path in (files.kubeconfig, files.agent_token, files.state, files.lock):
            path.unlink(missing_ok=True)
        if not any(files.folder.iterdir()):
            files.folder.rmdir()
    except OSError as error:
        raise CommandError(f"cannot remove {error.filename}: {error.strerror}") from error
