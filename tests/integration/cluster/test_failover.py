"""Servers in hosts are a cluster: they go on without the one that is cut off, and take it back."""

from __future__ import annotations

import json
import ssl
import sys

from kmini.api import ApiFailure, admin_context, request
from kmini.cluster import Cluster

MAPS = "/api/v1/namespaces/default/configmaps"


def write(cluster: Cluster, host: str, name: str) -> None:
    """Once it is certain: another election may come between, and then nobody knows what became of it."""
    body = json.dumps({"metadata": {"name": name}}).encode()
    while answer(cluster, host, "POST", body) is None and name not in names(cluster, host):
        pass  # the test's own time limit is the bound


def names(cluster: Cluster, host: str) -> set[str]:
    while (found := answer(cluster, host, "GET")) is None:
        pass
    return {item["metadata"]["name"] for item in json.loads(found)["items"]}


def answer(cluster: Cluster, host: str, method: str, body: bytes | None = None) -> bytes | None:
    """None when there is no leader or was none in time, or when it is there already."""
    try:
        return request(f"{cluster.hosts[host].address}:6443", admin(cluster), method, MAPS, body)
    except ApiFailure as error:
        if error.code not in (409, 503, 504):
            raise
    return None


def admin(cluster: Cluster) -> ssl.SSLContext:
    return admin_context(cluster.files.pki)


def test_the_kubeconfig_has_a_context_for_each_server(cluster: Cluster) -> None:
    config = json.loads(cluster.kubeconfig.read_text())
    assert [context["name"] for context in config["contexts"]] == list(cluster.hosts)
    assert [each["cluster"]["server"] for each in config["clusters"]] == [
        f"https://{host.address}:6443" for host in cluster.hosts.values()
    ]
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    for host in cluster.hosts:
        write(cluster, host, f"through-{host}")
        assert f"through-{host}" in names(cluster, host)


def test_a_leader_that_is_cut_off_is_replaced_and_catches_up(cluster: Cluster) -> None:
    old = cluster.wait_leader()
    cluster.isolate(old)
    new = cluster.wait_leader(other_than=old)
    write(cluster, new, "while-one-was-away")
    cluster.heal()
    cluster.wait_ready()
    assert "while-one-was-away" in names(cluster, old)


def test_a_leader_that_cannot_send_is_replaced(cluster: Cluster) -> None:
    """It hears the others, and they do not hear it."""
    old = cluster.wait_leader()
    others = [host for host in cluster.hosts if host != old]
    cluster.partition(old, others, one_way=True)
    write(cluster, cluster.wait_leader(other_than=old), "without-the-one-nobody-hears")


def test_a_leader_that_hangs_is_replaced_and_comes_back(cluster: Cluster) -> None:
    old = cluster.wait_leader()
    cluster.pause(old)
    new = cluster.wait_leader(other_than=old)
    write(cluster, new, "while-one-hung")
    cluster.resume(old)
    cluster.wait_ready()
    assert "while-one-hung" in names(cluster, old)


def test_a_killed_leader_is_replaced_and_comes_back_with_its_disk(cluster: Cluster) -> None:
    old = cluster.wait_leader()
    write(cluster, old, "before-the-kill")
    cluster.kill(old)
    new = cluster.wait_leader(other_than=old)
    write(cluster, new, "after-the-kill")
    cluster.start(old)
    cluster.wait_ready()
    assert {"before-the-kill", "after-the-kill"} <= names(cluster, old)


def test_a_client_in_a_host_uses_the_same_kubeconfig(cluster: Cluster) -> None:
    script = (
        "import asyncio, sys\n"
        "from apiserver.api.core.namespace import Namespace\n"
        "from apiserver.client import Client\n"
        "async def main():\n"
        "    async with Client.from_kubeconfig(sys.argv[1]) as client:\n"
        "        print((await client.get(Namespace, 'default')).metadata.name)\n"
        "asyncio.run(main())\n"
    )
    done = cluster.run("s2", [sys.executable, "-c", script, str(cluster.kubeconfig)])
    assert done.stdout == "default\n", done.stderr
