"""Services whose addresses containers get: the API's, or those that were there last."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import msgspec
import pytest
from fake_api import FakeApi
from virtual_time import run

from apiserver.api.core.service import Service
from apiserver.client import Informer
from nodeagent.spec.known_services import EVERY_S, KnownServices


def service(name: str, namespace: str = "default") -> Service:
    body = {"metadata": {"name": name, "namespace": namespace}, "spec": {"ports": [{"port": 80}]}}
    return msgspec.convert(body, Service)


def names(found: list[Service] | None) -> list[str] | None:
    return None if found is None else sorted(each.metadata.name for each in found)


def test_what_was_there_last_serves_until_the_api_answers(tmp_path: Path) -> None:
    path = tmp_path / "services.json"

    async def story() -> None:
        api = FakeApi()
        async with api.client("node") as client:
            assert KnownServices(Informer(client, Service), path).of("default") is None
            await client.create(service("a"))
            await client.create(service("other", "kube-system"))
            async with Informer(client, Service) as informer:
                services = KnownServices(informer, path)
                running = asyncio.create_task(services.run())
                await informer.wait_for_sync()
                await asyncio.sleep(1)
                await client.create(service("b"))
                await asyncio.sleep(2 * EVERY_S)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            later = Informer(client, Service)
            remembering = KnownServices(later, path)
            assert names(remembering.of("default")) == ["a", "b"]
            assert names(remembering.of("kube-system")) == ["other"]
            await client.delete(Service, "a", namespace="default")
            async with later:
                await later.wait_for_sync()
                assert names(remembering.of("default")) == ["b"]

    run(story())


def test_a_file_that_cannot_be_read_is_as_none(tmp_path: Path) -> None:
    path = tmp_path / "services.json"
    path.write_bytes(b"[{")

    async def story() -> None:
        async with FakeApi().client("node") as client:
            assert KnownServices(Informer(client, Service), path).of("default") is None

    run(story())


def test_a_disk_that_fails_is_no_end_of_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    async def story() -> None:
        path = tmp_path / "services.json"
        path.write_bytes(b"[]")
        monkeypatch.setattr(Path, "read_bytes", broken)
        async with FakeApi().client("node") as client, Informer(client, Service) as informer:
            running = asyncio.create_task(KnownServices(informer, path).run())
            await asyncio.sleep(2 * EVERY_S)
            assert not running.done()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run(story())
