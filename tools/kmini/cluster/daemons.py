"""What runs in a host of each role, as command lines of docs/contract.md, and the files a cluster has.

DIR/cluster.json, cluster.lock   state.py
DIR/pki/                         what all servers share, and the admin's certificate
DIR/kubeconfig                   one context per server
DIR/agent-token                  what nodes join with (0600)
DIR/hosts/NAME/                  the host's disk, a tmpfs of its own when asked; daemons keep their data in `kmini`
DIR/images/NAME.ext4             that disk, when it can lose power
DIR/boot/NAME                    the boot id of a host that lost power
DIR/logs/NAME-DAEMON.log         not on the host's disk: what was said outlives whatever is done to that
"""

from __future__ import annotations

import sys
from pathlib import Path

from nodeagent.runtime.containerd_config import Layout

from .state import ClusterState, HostState

API_PORT = 6443
PEER_PORT = 2380
ETCD_PORT = 2379
#: The daemon of a role: the name of its `kmini` command.
DAEMONS = {"server": "server", "node": "agent"}


class Files:
    """The paths under a cluster's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "cluster.json"
        self.lock = folder / "cluster.lock"
        self.pki = folder / "pki"
        self.kubeconfig = folder / "kubeconfig"
        self.agent_token = folder / "agent-token"
        self.hosts = folder / "hosts"
        self.images = folder / "images"
        self.boot = folder / "boot"
        self.logs = folder / "logs"

    def disk(self, host: str) -> Path:
        return self.hosts / host

    def image(self, host: str) -> Path:
        return self.images / f"{host}.ext4"

    def boot_id(self, host: str) -> Path:
        """What a host that lost power has in place of the kernel's."""
        return self.boot / host

    def data_dir(self, host: str) -> Path:
        return self.hosts / host / "kmini"

    def containerd(self, host: str) -> Layout:
        """Of the containerd that the host's agent starts."""
        return Layout(self.data_dir(host) / "agent" / "containerd")

    def log(self, host: str, daemon: str) -> Path:
        return self.logs / f"{host}-{daemon}.log"


def server_urls(state: ClusterState) -> dict[str, str]:
    """Name → URL of each server's API."""
    return {host.name: f"https://{host.address}:{API_PORT}" for host in state.of_role("server")}


def command_line(state: ClusterState, host: HostState, files: Files) -> list[str]:
    """The daemon of this host."""
    kmini = [sys.executable, "-m", "kmini"]
    data_dir = str(files.data_dir(host.name))
    if host.role == "server":
        members = ",".join(f"{other.name}={other.address}:{PEER_PORT}" for other in state.of_role("server"))
        return [
            *(*kmini, "server", "--name", host.name, "--data-dir", data_dir, "--ca-dir", str(files.pki)),
            *("--advertise-address", host.address, "--initial-cluster", members),
            *state.server_arguments,
        ]
    return [
        *(*kmini, "agent", "--node-name", host.name, "--data-dir", data_dir, "--runtime", state.runtime),
        *("--server", ",".join(server_urls(state).values()), "--token-file", str(files.agent_token)),
        *(("--cgroup", f"/{state.group_name}/{host.name}") if state.runtime == "containerd" else ()),
        *state.node_arguments,
    ]
