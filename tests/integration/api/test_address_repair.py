"""The leader frees an address that leaked, on a real store and by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from api_server import api_server
from store_cluster import until

from apiserver import address_repair
from apiserver.effects.addresses import address_key, port_key

SERVICES = "/api/v1/namespaces/default/services"


def service(name: str, **spec: object) -> dict[str, object]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def test_a_planted_leak_is_freed_and_what_is_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_repair, "LOOK_S", 0.05)
    monkeypatch.setattr(address_repair, "EVERY_S", 0.05)

    async def body() -> None:
        async with api_server(tmp_path) as api:
            made = await api.create(SERVICES, service("web", type="NodePort"))
            leaked, used = address_key("10.96.9.9"), address_key(made["spec"]["clusterIP"])
            await api.store.put(leaked, b"default/gone")
            await api.store.put(port_key(31_999, "UDP"), b"default/gone")
            await api.store.put(used, b"default/somebody-else")
            await until(lambda: not api.store.peek(leaked) and not api.store.peek(port_key(31_999, "UDP")))
            await until(lambda: (found := api.store.peek(used)) is not None and found.value == b"default/web")
            again = await api.create(SERVICES, service("other", clusterIP="10.96.9.9"))
            assert again["spec"]["clusterIP"] == "10.96.9.9"
            answer = await api.json("POST", SERVICES, service("third", clusterIP=made["spec"]["clusterIP"]))
            assert answer.code == 422

    asyncio.run(asyncio.wait_for(body(), 180))
