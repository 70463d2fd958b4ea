"""What a write is made of: its version speaks of the object alone, and the object is the one that was checked."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from pathlib import Path

from api_server import RunningApi, api_server

from apiserver.admission.plugin import Admission, Base, Lookup

DEFAULT = "/api/v1/namespaces/default"
AT_ONCE = 5


def run(folder: Path, test: Callable[[RunningApi], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(folder) as api:
            await test(api)

    asyncio.run(body())


def test_bindings_to_one_node_at_once_are_no_conflict(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
        room = {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "8", "memory": "8Gi", "pods": "110"}}}
        assert (await api.json("PUT", "/api/v1/nodes/n1/status", room)).code == 200

        async def bind(name: str) -> int:
            pod = {"metadata": {"name": name}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
            made = await api.create(f"{DEFAULT}/pods", pod)
            metadata = {"name": name, "resourceVersion": made["metadata"]["resourceVersion"]}
            binding = {"metadata": metadata, "target": {"kind": "Node", "name": "n1"}}
            return (await api.json("POST", f"{DEFAULT}/pods/{name}/binding", binding)).code

        assert await asyncio.gather(*(bind(f"p{number}") for number in range(AT_ONCE))) == [201] * AT_ONCE

    run(tmp_path, test)


def test_one_of_two_changes_of_the_same_version_is_a_conflict(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        made = await api.create(f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}})
        version = made["metadata"]["resourceVersion"]
        bodies = [
            {"metadata": {"name": "a", "resourceVersion": version}, "data": {"a": str(each)}} for each in range(4)
        ]
        answers = await asyncio.gather(*(api.json("PUT", f"{DEFAULT}/configmaps/a", body) for body in bodies))
        assert sorted(answer.code for answer in answers) == [200, 409, 409, 409]

    run(tmp_path, test)


class Replacing(Base):
    """Puts another object in the place of what was sent."""

    name = "Replacing"

    def __init__(self, **metadata: str) -> None:
        self._metadata = metadata

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        if request.operation == "CREATE" and request.obj is not None:
            request.obj = copy.deepcopy(request.obj)
            for field, value in self._metadata.items():
                setattr(request.obj.metadata, field, value)


def test_what_a_plug_in_puts_in_is_checked_and_stored(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        chain, path = api.server.admission, f"{DEFAULT}/configmaps"
        own = chain.plugins

        async def created(**metadata: str) -> int:
            chain.plugins = (*own, Replacing(**metadata))
            return (await api.json("POST", path, {"metadata": {"name": "a"}})).code

        assert await created(name="Not a name") == 422
        assert await created(namespace="kube-system") == 400
        assert await created(name="b") == 201
        assert (await api.json("GET", f"{path}/a")).code == 404
        assert (await api.json("GET", f"{path}/b")).body["metadata"]["name"] == "b"

    run(tmp_path, test)
