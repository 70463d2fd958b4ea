"""Keys of addresses that do not agree with the Services are put right, and never one that somebody needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import virtual_time
from controllers_world_objects import service
from fake_api import FakeApi
from fake_api_store import storage_of

from apiserver.address_repair import AddressRepair, Holder, Plan, plan
from apiserver.api.core.service import Service
from apiserver.api.errors import Invalid
from apiserver.client import Client
from apiserver.effects.addresses import address_key, port_key
from apiserver.registry.table import table
from apiserver.storage import Storage, Transaction, key_of
from raftstore import KeyValue

SERVICES = table().of_key("services")
FREE = "10.96.7.7"


class Scene:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.client: Client = self.api.client()
        self.storage: Storage = storage_of(self.api.store)
        self.repair = AddressRepair(self.storage, SERVICES, lambda: True)

    def value(self, key: bytes) -> bytes | None:
        found = self.storage.peek_key(key)
        return None if found is None else found.value

    async def plant(self, key: bytes, value: bytes | None) -> None:
        """Behind the API server's back."""
        transaction = Transaction()
        if value is None:
            transaction.delete(key)
        else:
            transaction.put(key, value)
        await self.storage.commit(transaction)

    async def takes(self, address: str, name: str = "other") -> bool:
        try:
            await self.client.create(service(name, clusterIP=address))
        except Invalid:
            return False
        return True


def scene(body: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        await body(Scene())

    virtual_time.run(main())


def test_a_key_that_no_service_has_is_freed() -> None:
    async def body(scene: Scene) -> None:
        await scene.plant(address_key(FREE), b"default/gone")
        await scene.plant(port_key(30_123, "TCP"), b"default/gone")
        assert not await scene.takes(FREE)
        found = await scene.repair.repair()
        assert {key for key, _ in found.leaked} == {address_key(FREE), port_key(30_123, "TCP")}
        assert scene.value(port_key(30_123, "TCP")) is None
        assert await scene.takes(FREE)

    scene(body)


def test_a_service_that_was_deleted_behind_the_servers_back() -> None:
    async def body(scene: Scene) -> None:
        made = await scene.client.create(service("web"))
        await scene.plant(key_of(SERVICES, "default", "web"), None)
        assert not await scene.takes(made.spec.cluster_ip)
        await scene.repair.repair()
        assert await scene.takes(made.spec.cluster_ip)

    scene(body)


def test_the_key_of_a_service_is_put_back() -> None:
    async def body(scene: Scene) -> None:
        made = await scene.client.create(service("web", type="NodePort"))
        address, port = made.spec.cluster_ip, made.spec.ports[0].node_port
        await scene.plant(address_key(address), None)
        await scene.plant(port_key(port, "TCP"), b"default/another")
        await scene.repair.repair()
        assert scene.value(address_key(address)) == b"default/web"
        assert scene.value(port_key(port, "TCP")) == b"default/web"
        assert not await scene.takes(address)

    scene(body)


def test_what_agrees_is_left_alone() -> None:
    async def body(scene: Scene) -> None:
        await scene.client.create(service("web", type="NodePort"))
        await scene.client.create(service("none", clusterIP="None"))
        await scene.client.create(service("far", type="ExternalName", externalName="example.com"))
        before = scene.api.store.revision
        assert await scene.repair.repair() == Plan([], [])
        assert scene.api.store.revision == before

    scene(body)


@pytest.mark.parametrize("taken", [False, True])
def test_who_comes_meanwhile_keeps_his_key(monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    """Between the look and the repair the leaked key is freed, and perhaps taken by a Service that needs it."""

    async def body(scene: Scene) -> None:
        await scene.plant(address_key(FREE), b"default/gone")
        look = scene.repair._look

        async def looked() -> Plan:
            found = await look()
            await scene.plant(address_key(FREE), None)
            if taken:
                assert await scene.takes(FREE, "web")
            return found

        monkeypatch.setattr(scene.repair, "_look", looked)
        await scene.repair.repair()
        assert scene.value(address_key(FREE)) == (b"default/web" if taken else None)

    scene(body)


def test_a_service_that_goes_meanwhile_gets_no_key_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(scene: Scene) -> None:
        made = await scene.client.create(service("web"))
        await scene.plant(address_key(made.spec.cluster_ip), None)
        look = scene.repair._look

        async def looked() -> Plan:
            found = await look()
            await scene.client.delete(Service, "web")
            return found

        monkeypatch.setattr(scene.repair, "_look", looked)
        await scene.repair.repair()
        assert scene.value(address_key(made.spec.cluster_ip)) is None

    scene(body)


def test_of_two_services_with_one_address_the_key_keeps_its_own() -> None:
    def kv(value: bytes) -> Any:
        return KeyValue(key=b"k", value=value, create_revision=1, mod_revision=5, version=1, lease=0)

    first, second = Holder(b"default/a", b"/a", 1), Holder(b"default/b", b"/b", 2)
    both = {b"k": [first, second]}
    assert plan([kv(b"default/b")], both) == Plan([], [])
    assert plan([kv(b"default/c")], both) == Plan([], [(b"k", 5, first)])
    assert plan([], both) == Plan([], [(b"k", 0, first)])
    assert plan([kv(b"default/c")], {}) == Plan([(b"k", 5)], [])
