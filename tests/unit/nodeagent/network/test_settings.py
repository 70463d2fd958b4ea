"""What a node knows of the cluster's network: from the API, and from before when that does not answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from fake_api import FakeApi

from apiserver.api.cluster_network import ClusterNetwork, dns_address, from_config_map, to_config_map
from nodeagent.errors import AgentError, BadIdentity
from nodeagent.network import settings
from nodeagent.network.settings import FILE_NAME, cluster_network

NETWORK = ClusterNetwork(
    dns_ip="10.96.0.10", domain="cluster.local", cluster_cidr="10.244.0.0/16", service_cidr="10.96.0.0/16"
)


def learned(api: FakeApi, folder: Path) -> ClusterNetwork:
    async def body() -> ClusterNetwork:
        return await cluster_network(api.client(), folder, asked_for_s=5.0)

    return asyncio.run(body())


def test_what_is_written_is_what_is_read() -> None:
    assert from_config_map(to_config_map(NETWORK)) == NETWORK


@pytest.mark.parametrize(("cidr", "address"), [("10.96.0.0/16", "10.96.0.10"), ("192.0.2.0/29", "192.0.2.6")])
def test_the_dns_has_the_tenth_address(cidr: str, address: str) -> None:
    assert dns_address(cidr) == address


@pytest.mark.parametrize(("key", "value"), [("clusterDNS", ""), ("clusterDNS", "x"), ("serviceCIDR", "10.96.0.1/16")])
def test_what_is_missing_or_wrong_is_named(key: str, value: str) -> None:
    found = to_config_map(NETWORK)
    found.data[key] = value
    with pytest.raises(ValueError, match="kube-system/kmini-cluster"):
        from_config_map(found)


def test_a_node_learns_it_and_knows_it_when_the_api_is_away(tmp_path: Path) -> None:
    api = FakeApi()
    api.put(to_config_map(NETWORK))
    assert learned(api, tmp_path) == NETWORK
    assert learned(FakeApi(), tmp_path) == NETWORK


def test_what_the_cluster_says_now_counts_more_than_what_was_known(tmp_path: Path) -> None:
    known = msgspec.structs.replace(NETWORK, domain="old.local")
    (tmp_path / FILE_NAME).write_bytes(msgspec.json.encode(known))
    assert learned(FakeApi(), tmp_path) == known
    api = FakeApi()
    api.put(to_config_map(NETWORK))
    assert learned(api, tmp_path) == NETWORK
    assert learned(FakeApi(), tmp_path) == NETWORK


def test_a_full_disk_keeps_no_node_from_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who removes images from it must be able to start."""

    def full(path: Path, _data: bytes) -> None:
        raise BadIdentity(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(settings, "write_file", full)
    api = FakeApi()
    api.put(to_config_map(NETWORK))
    assert learned(api, tmp_path) == NETWORK


def test_it_waits_for_the_cluster_when_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{broken", encoding="utf-8")

    async def body() -> None:
        api = FakeApi()
        asking = asyncio.create_task(cluster_network(api.client(), tmp_path))
        done, _ = await asyncio.wait({asking}, timeout=0.05)
        assert not done
        api.put(to_config_map(NETWORK))
        assert await asking == NETWORK

    asyncio.run(body())


def test_a_network_that_no_node_can_have_is_said_so(tmp_path: Path) -> None:
    api = FakeApi()
    api.put(to_config_map(msgspec.structs.replace(NETWORK, cluster_cidr="fd00::/64")))
    with pytest.raises(AgentError, match="fd00::/64 is not IPv4"):
        learned(api, tmp_path)
