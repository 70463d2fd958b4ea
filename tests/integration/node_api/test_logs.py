"""Logs from a node through the API server, and what a client that follows is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from container_logs import BEGIN, put_log_aside
from joined_agent import until
from kmini.testing.fixture import Kmini
from node_api_world import NodeWorld, node_world
from open_files import open_files
from raw_http import RawConnection

from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError, BadRequest, NotFound, TooManyRequests
from apiserver.client.requests import Request
from nodeagent.server import container_logs


async def logs(world: NodeWorld, name: str, **query: object) -> str:
    path = f"/api/v1/namespaces/{world.kmini.namespace}/pods/{name}/log"
    asked = tuple((key, str(value)) for key, value in query.items())
    return (await world.client.send(Request(method="GET", path=path, query=asked))).body.decode()


def test_of_a_container_that_runs(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "logs-1") as world:
            await world.pod("web")
            world.runtime.write("main", "one", "two", "three")
            assert await logs(world, "web") == "one\ntwo\nthree\n"
            assert await logs(world, "web", tailLines=1) == "three\n"
            assert await logs(world, "web", limitBytes=5) == "one\nt"
            assert await logs(world, "web", tailLines=1, timestamps=True) == "2026-01-02T03:04:05.000000000Z three\n"
            assert await logs(world, "web", sinceTime=BEGIN.isoformat()) == "one\ntwo\nthree\n"
            assert await logs(world, "web", sinceTime="2026-01-02T03:04:05.1Z") == ""
            assert await logs(world, "web", sinceSeconds=1) == ""
            with pytest.raises(BadRequest, match='previous terminated container "main" in pod "web" not found'):
                await logs(world, "web", previous=True)

    asyncio.run(story())


def test_of_one_that_was_restarted(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "logs-2") as world:
            pod = await world.pod("web")
            world.runtime.write("main", "first")
            (container,) = world.runtime.running
            await world.runtime.stop_container(container.id, grace_period_s=0)

            async def restarted() -> bool:
                status = (await world.client.get(Pod, "web")).status
                return [each.restart_count for each in status.container_statuses] == [1]

            await until(restarted, "the restart")
            world.runtime.write("main", "second", pod_uid=pod.metadata.uid)
            assert await logs(world, "web") == "second\n"
            assert await logs(world, "web", previous=True) == "first\n"

    asyncio.run(story())


def test_what_cannot_be_shown(kmini: Kmini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "logs-3") as world:
            await world.pod("web")
            with pytest.raises(ApiError, match=r"cannot read the log 0\.log: No such file"):
                await logs(world, "web")
            world.runtime.write("main", "one")
            with pytest.raises(BadRequest, match="container none is not valid for pod web"):
                await logs(world, "web", container="none")
            answer = await world.ask(f"/containerLogs/{kmini.namespace}/web/none", world.masters())
            assert (answer.code, answer.json["message"]) == (404, 'container "none" not found in pod "web"')
            with pytest.raises(NotFound):
                await logs(world, "nobody")
            world.runtime.go_down("it is away")
            with pytest.raises(ApiError, match="it is away"):
                await logs(world, "web")
            world.runtime.come_back()
            monkeypatch.setattr(container_logs, "STREAMS_MAX", 0)
            with pytest.raises(TooManyRequests, match="logs are read already"):
                await logs(world, "web")

    asyncio.run(story())


def test_who_follows_hears_all_of_it_and_then_the_end(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "logs-4") as world:
            pod = await world.pod("web", restartPolicy="Never")
            world.runtime.write("main", "one")
            async with world.line() as line:
                path = f"/containerLogs/{kmini.namespace}/web/main?follow=true"
                line.send(f"GET {path} HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n".encode())
                assert await heard(line, b"one\n")
                world.runtime.write("main", "two")
                assert await heard(line, b"two\n")
                (container,) = world.runtime.running
                log = world.runtime.log_file(container.pod, "main", 0)
                put_log_aside(log)
                world.runtime.write("main", "three")
                assert await heard(line, b"three\n")
                await world.runtime.stop_container(container.id, grace_period_s=0)
                rest = await asyncio.wait_for(asyncio.to_thread(line.rest), 60)
                assert rest.endswith(b"0\r\n\r\n"), "an end, not a connection that broke"
            assert pod.metadata.uid == container.pod.uid

    asyncio.run(story())


async def heard(line: RawConnection, text: bytes) -> bool:
    def wait() -> bool:
        while read := line.line():
            if read == text:
                return True
        return False

    return await asyncio.wait_for(asyncio.to_thread(wait), 60)


def test_who_follows_and_goes_leaves_nothing(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "logs-5") as world:
            await world.pod("web")
            world.runtime.write("main", "one")
            async with world.line() as line:
                path = f"/containerLogs/{kmini.namespace}/web/main?follow=true"
                line.send(f"GET {path} HTTP/1.1\r\nHost: n\r\n\r\n".encode())
                assert await heard(line, b"one\n")
                assert await logs_open(tmp_path) == 1

            async def closed() -> bool:
                return await logs_open(tmp_path) == 0

            await until(closed, "the log is closed")

    asyncio.run(story())


async def logs_open(folder: Path) -> int:
    return len(await asyncio.to_thread(open_files, folder / "logs"))
