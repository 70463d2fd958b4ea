"""What a server writes of the cluster's network, for nodes: the DNS's Service and a ConfigMap, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from api_server import RunningApi, api_on, api_server

SERVICES = "/api/v1/namespaces/kube-system/services"
SETTINGS = "/api/v1/namespaces/kube-system/configmaps/kmini-cluster"
NODE = "system:node:n1"


def run(folder: Path, test: Callable[[RunningApi], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(folder, cluster_cidr="10.20.0.0/16", cluster_domain="kmini.test") as api:
            await test(api)

    asyncio.run(body())


async def settings(api: RunningApi) -> dict[str, str]:
    answer = await api.json("GET", SETTINGS, user=NODE, groups=["system:nodes"])
    assert answer.code == 200, answer
    found: dict[str, str] = answer.body["data"]
    return found


def test_nodes_learn_the_network_and_nothing_beside_it(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        assert await settings(api) == {
            "clusterDNS": "10.96.0.10",
            "clusterDomain": "kmini.test",
            "clusterCIDR": "10.20.0.0/16",
            "serviceCIDR": "10.96.0.0/16",
        }
        spec = (await api.json("GET", f"{SERVICES}/kube-dns")).body["spec"]
        assert spec["clusterIP"] == "10.96.0.10"
        assert [(each["name"], each["port"], each["protocol"]) for each in spec["ports"]] == [
            ("dns", 53, "UDP"),
            ("dns-tcp", 53, "TCP"),
        ]
        await api.create("/api/v1/namespaces/kube-system/configmaps", {"metadata": {"name": "other"}})
        for path, user, groups in (
            (SETTINGS.replace("kmini-cluster", "other"), NODE, ["system:nodes"]),
            (SETTINGS, "somebody", ["system:authenticated"]),
        ):
            assert (await api.json("GET", path, user=user, groups=groups)).code == 403

    run(tmp_path, test)


def test_what_the_cluster_began_with_stays(tmp_path: Path) -> None:
    """Also for a server whose flags say something else, or where the address was taken before there was a DNS."""

    async def test(api: RunningApi) -> None:
        before = await settings(api)
        async with api_on(api.store, api.pki_dir, cluster_cidr="10.30.0.0/16", name="n2") as other:
            assert await settings(other) == before
        await api.json("DELETE", f"{SERVICES}/kube-dns")
        await api.json("DELETE", SETTINGS)
        spec = {"clusterIP": "10.96.0.10", "ports": [{"port": 80}]}
        await api.create(SERVICES, {"metadata": {"name": "taken"}, "spec": spec})
        async with api_on(api.store, api.pki_dir, name="n2") as other:
            found = (await other.json("GET", f"{SERVICES}/kube-dns")).body["spec"]["clusterIP"]
            assert found.startswith("10.96.")
            assert found != "10.96.0.10"
            assert (await settings(other))["clusterDNS"] == found

    run(tmp_path, test)
