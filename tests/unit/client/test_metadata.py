"""Objects by their metadata: what is asked for, and what is kept."""

from __future__ import annotations

from contextlib import aclosing

import pytest
import virtual_time
from controllers_world_objects import config_map, owner_of
from fake_api import FakeApi
from fake_api_verbs import ADMIN

from apiserver.api.core.config import ConfigMap
from apiserver.api.errors import Conflict, InternalError
from apiserver.api.kinds import KINDS
from apiserver.api.meta import DeleteOptions, Preconditions
from apiserver.auth.user import User
from apiserver.client import ListOptions, metadata
from apiserver.client.requests import METADATA, METADATA_LIST, Request
from apiserver.client.responses import Response

CONFIG_MAP = KINDS["core", "ConfigMap"]


class Listening(FakeApi):
    """Keeps what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[str] = []

    def do(self, request: Request, client: str = "test", user: User = ADMIN) -> Response:
        self.accepted.append(dict(request.headers)["Accept"])
        return super().do(request, client, user)


def test_only_metadata_is_asked_for_and_kept() -> None:
    async def body() -> None:
        api = Listening()
        client = api.client()
        owner = api.put(config_map("owner"))
        api.put(config_map("a", {"k": "v"}, metadata={"ownerReferences": [owner_of(owner)], "finalizers": ["x.io/y"]}))
        page = await metadata.list_page(client, CONFIG_MAP, namespace="default", options=ListOptions(limit=1))
        assert [each.name for each in page.items] == ["a"]
        assert page.metadata.continue_
        found = await metadata.get(client, CONFIG_MAP, "a", namespace="default")
        assert [each.uid for each in found.owner_references] == [owner.metadata.uid]
        assert (found.finalizers, found.deletion_timestamp) == (["x.io/y"], None)
        assert api.accepted == [METADATA_LIST, METADATA]

    virtual_time.run(body())


def test_a_watch_tells_of_metadata() -> None:
    async def body() -> None:
        api = FakeApi()
        before = str(api.store.revision)
        api.put(config_map("a"))
        api.remove(ConfigMap, "a")
        watch = metadata.open_watch(api.client(), CONFIG_MAP, options=ListOptions(resource_version=before))
        told = []
        async with aclosing(watch.events()) as events:
            async for event in events:
                told.append((event.type, event.object.name))
                if len(told) == 2:
                    break
        assert told == [("ADDED", "a"), ("DELETED", "a")]

    virtual_time.run(body())


def test_writes_hold_for_what_was_seen_alone() -> None:
    async def body() -> None:
        api = FakeApi()
        client = api.client()
        api.put(config_map("a"))
        seen = await metadata.get(client, CONFIG_MAP, "a", namespace="default")
        version = {"uid": seen.uid, "resourceVersion": seen.resource_version}
        changed = await metadata.patch(
            client, CONFIG_MAP, "a", {**version, "finalizers": ["x.io/y"]}, namespace="default"
        )
        assert changed.finalizers == ["x.io/y"]
        with pytest.raises(Conflict):
            await metadata.patch(client, CONFIG_MAP, "a", {**version, "finalizers": []}, namespace="default")
        options = DeleteOptions(preconditions=Preconditions(uid=seen.uid, resource_version=seen.resource_version))
        with pytest.raises(Conflict):
            await metadata.delete(client, CONFIG_MAP, "a", namespace="default", options=options)

    virtual_time.run(body())


def test_what_is_no_object_is_an_error_of_the_api() -> None:
    with pytest.raises(InternalError, match="no object with metadata"):
        metadata.decode(b'{"metadata":{"name":7}}')
