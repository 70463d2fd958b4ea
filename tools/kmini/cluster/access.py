"""How the root namespace talks to the servers of a cluster: as its admin, with bounded patience.

A question goes to all servers at once: some may be dead, frozen or cut off, and none of that may add up.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .. import kubeconfig
from ..addresses import join_host_port
from ..api import admin_context, json_object, request
from ..errors import CommandError
from ..layout import Layout
from . import processes
from .daemons import API_PORT, ETCD_PORT, Files, server_urls
from .state import ClusterState, HostState

ASK_TIMEOUT_S = 2.0
NODES = "/api/v1/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
Answer = TypeVar("Answer")


class Leadership(NamedTuple):
    """What one server says: whom it takes for the leader ("" for nobody), and in which term."""

    leader: str
    term: int


def prepare_keys(state: ClusterState, files: Files) -> None:
    """Shared keys, the admin's certificate and the kubeconfig; what is there and good stays. Raises CommandError."""
    from apiserver.auth.keyring import PkiError
    from apiserver.auth.pki import init_shared

    from ..certificates import issue_admin

    try:
        init_shared(files.pki)
        issue_admin(files.pki)
        kubeconfig.write(files.kubeconfig, server_urls(state), folder=files.pki)
    except (PkiError, OSError) as error:
        raise CommandError(str(error)) from error


def ready_servers(hosts: Iterable[HostState], files: Files) -> frozenset[str]:
    """Names of those that say they are ready now, and have got through all of their start."""
    context = admin_context(files.pki)

    def ask(host: HostState) -> bool:
        address = join_host_port(host.address, API_PORT)
        running = Layout(files.data_dir(host.name)).running()
        if running is None or not running.ready:
            return False  # /readyz comes before its last writes, which must not meet a fault of ours
        return bool(request(address, context, "GET", "/readyz", timeout_s=ASK_TIMEOUT_S))

    return frozenset(name for name, ready in _ask_all(hosts, ask).items() if ready)


def ready_nodes(state: ClusterState, files: Files) -> frozenset[str]:
    """Names of nodes that are Ready and whose agent, the one that runs now, has renewed the node's lease.

    As the first server that answers has it; none when none does. Ready alone would be what an agent before said.
    """
    context = admin_context(files.pki)

    def ask(host: HostState) -> tuple[dict[str, Any], dict[str, Any]]:
        address = join_host_port(host.address, API_PORT)
        nodes, leases = (request(address, context, "GET", path, timeout_s=ASK_TIMEOUT_S) for path in (NODES, LEASES))
        return json_object(nodes, address), json_object(leases, address)

    for nodes, leases in _ask_all(state.of_role("server"), ask).values():
        renewed = {each["metadata"]["name"]: renewal_of(each) for each in leases.get("items") or ()}
        ready = {each["metadata"]["name"] for each in nodes.get("items") or () if _is_ready(each)}
        return frozenset(
            host.name
            for host in state.of_role("node")
            if host.name in ready
            and all(processes.started_at(process) < renewed.get(host.name, 0.0) for process in host.processes)
        )
    return frozenset()


def renewal_of(lease: dict[str, Any]) -> float:
    """When a lease was renewed, in seconds since 1970; 0 when that is not known."""
    try:
        return datetime.datetime.fromisoformat(lease.get("spec", {}).get("renewTime") or "").timestamp()
    except ValueError:
        return 0.0


def leader(state: ClusterState, files: Files) -> str | None:
    """The name of the server that leads in the newest term anybody knows; None when that is not known.

    It is what the others take for their leader until they choose a new one: it may be dead or paused by now.
    """
    known = _ask_all(state.of_role("server"), lambda host: _leadership(host, files.pki)).values()
    newest = max((said.term for said in known), default=0)
    return next((said.leader for said in known if said.term == newest and said.leader), None)


def _leadership(host: HostState, pki: Path) -> Leadership:
    from ..client import EtcdClient

    with EtcdClient(join_host_port(host.address, ETCD_PORT), pki, timeout_s=ASK_TIMEOUT_S) as client:
        status, listed = client.status(), client.members()
    names = {member.ID: member.name for member in listed.members}
    return Leadership(names.get(status.leader, ""), status.raftTerm)


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _ask_all(hosts: Iterable[HostState], ask: Callable[[HostState], Answer]) -> dict[str, Answer]:
    """Answers by host; who did not give one is not among them."""
    asked = list(hosts)
    found: dict[str, Answer] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        for host, future in [(host, pool.submit(ask, host)) for host in asked]:
            try:
                found[host.name] = future.result()
            except CommandError:
                continue  # not there, not ready, or not in time: it does not answer
    return found
